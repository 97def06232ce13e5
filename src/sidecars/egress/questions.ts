/**
 * What the operator is asked by egress itself, where a route says `outbound_on_match: ask`: that the one value which
 * was found may go to that host. The request was refused meanwhile, as nobody waits for a person with a connection open; sent
 * again, it passes once the answer is yes, which comes as a policy with an exception. What is asked holds the value's mark and
 * never the value, and a guest can cause no more of it than a person reads.
 */
import { randomUUID } from "node:crypto";
import { egressAskSchema } from "../../contract/approvals.ts";
import { type Refusal, type Subject, targetOf } from "./denial.ts";
import type { Emit } from "./events.ts";
import type { Limits } from "./limits.ts";

const MINUTE_MS = 60_000;

export interface Questions {
  about(refusal: Refusal, subject: Subject): void;
  /** False when there is no such question. */
  answer(ask: string): boolean;
}

/** @param now milliseconds, of any origin. */
export function createQuestions(
  emit: Emit,
  { questionsPerMinute }: Pick<Limits, "questionsPerMinute">,
  now: () => number = () => performance.now(),
): Questions {
  /** Those of the last minute, by what they ask for. The keeper joins what is asked again. */
  const asked = new Map<string, { readonly ask: string; readonly at: number }>();

  return {
    about({ ask: wanted, asks, reason }, subject) {
      if (asks !== true) return;
      const at = now();
      for (const [key, each] of asked) if (at - each.at >= MINUTE_MS) asked.delete(key);
      const { success, data } = egressAskSchema.safeParse({
        kind: "request",
        ask: { kind: "finding", ...wanted?.arguments },
        justification: `egress: ${reason}: ${targetOf(subject)}`,
      });
      if (!success) return;
      const { host, detector, finding } = data.ask;
      const key = `${host} ${detector} ${finding}`;
      if (asked.has(key) || asked.size >= questionsPerMinute) return;
      const ask = randomUUID();
      asked.set(key, { ask, at });
      emit({ type: "ask", ask, data });
    },
    answer: (ask) => [...asked.values()].some((each) => each.ask === ask),
  };
}
