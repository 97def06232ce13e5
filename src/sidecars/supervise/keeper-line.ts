/** What supervise asks the keeper, each answered once or given up. The keeper alone decides and records. */
import { randomUUID } from "node:crypto";
import { type SuperviseAnswer, type SuperviseAsk, superviseAnswerSchema } from "../../contract/approvals.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { LIMITS } from "./limits.ts";

export interface KeeperLine {
  ask(data: SuperviseAsk): Promise<SuperviseAnswer>;
  /** False when there is no such question, or this is no answer. */
  answer(ask: string, answer: unknown): boolean;
}

const SILENT: SuperviseAnswer = {
  kind: "refused",
  code: "unavailable",
  reason: "the bottle's keeper did not answer in time",
};

export function createKeeperLine(emit: (message: FromSidecar) => void): KeeperLine {
  const open = new Map<string, (answer: SuperviseAnswer) => void>();
  return {
    ask(data) {
      const ask = randomUUID();
      return new Promise((resolve) => {
        const settle = (answer: SuperviseAnswer): void => {
          clearTimeout(timer);
          open.delete(ask);
          resolve(answer);
        };
        const timer = setTimeout(() => settle(SILENT), LIMITS.keeperMs);
        open.set(ask, settle);
        emit({ type: "ask", ask, data });
      });
    },
    answer(ask, answer) {
      const settle = open.get(ask);
      const parsed = superviseAnswerSchema.safeParse(answer);
      if (settle === undefined || !parsed.success) return false;
      settle(parsed.data);
      return true;
    },
  };
}
