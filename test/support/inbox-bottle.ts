/**
 * A running bottle as far as an operator's answers go: a real control socket before a real inbox with a real log, and
 * no guest behind it. What an agent would ask comes from {@link InboxBottle.ask}.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Allowed } from "../../src/approvals/allowed.ts";
import { EMPTY_LEDGER } from "../../src/approvals/ledger.ts";
import { openLog } from "../../src/audit/log.ts";
import type { Ask } from "../../src/contract/approvals.ts";
import type { GitReview, GitReviewAnswer } from "../../src/contract/git-gate.ts";
import { type ControlHandlers, serveControl } from "../../src/keeper/control-server.ts";
import { createInbox, type Inbox, type InForce } from "../../src/keeper/inbox.ts";
import { homeOf } from "../../src/lib/paths.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { createScope } from "../../src/lib/scope.ts";
import type { BottleCli } from "./bottle-cli.ts";

export interface InboxBottle {
  readonly id: string;
  readonly inbox: Inbox;
  /** What was put in force, the last of it last. */
  readonly applied: readonly InForce[];
  /** As the agent would. @returns the ticket. */
  ask(ask: Ask, justification?: string): Promise<string>;
  /** As git-gate would. */
  review(review: GitReview): Promise<GitReviewAnswer>;
  end(): Promise<void>;
}

export interface InboxBottleOptions {
  readonly agent?: string;
  readonly label?: string;
  readonly planned?: Partial<Allowed>;
  readonly patienceMs?: number;
  /** Whose record there is, for commands that look for the bottle's manifest. */
  readonly manifest?: string;
  readonly copyDisk?: ControlHandlers["copyDisk"];
}

export function askHost(host: string, methods: readonly string[] = ["GET"], path = "/v1"): Ask {
  return { kind: "host", host, methods: [...methods], paths: [{ type: "prefix", value: path }] };
}

export async function openInboxBottle(
  cli: Pick<BottleCli, "home" | "runtime">,
  id: string,
  options: InboxBottleOptions = {},
): Promise<InboxBottle> {
  const agent = options.agent ?? "worker";
  const scope = createScope();
  const [state, runtime] = [join(cli.home, "state", id), join(cli.runtime, "bot-bottle", id)];
  for (const folder of [state, runtime]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  scope.defer("folders", async () => {
    await removeTree(runtime);
    await removeTree(state);
  });
  const token = randomBytes(16).toString("hex");
  writeFileSync(join(state, "token"), token, { mode: 0o600 });
  if (options.manifest !== undefined) {
    const plan = { agent: { name: agent }, bottle: { name: options.manifest }, routes: [] };
    const record = { version: 1, id, startedAt: new Date().toISOString(), plan };
    writeFileSync(join(state, "bottle.json"), JSON.stringify(record), { mode: 0o600 });
  }
  const log = await openLog({ home: homeOf({ BOT_BOTTLE_HOME: cli.home }), bottle: id });
  scope.defer("log", () => log.close());
  const applied: InForce[] = [];
  const inbox: Inbox = createInbox({
    bottle: id,
    log,
    planned: { routes: [], repos: [], findings: [], gitExceptions: [], ...options.planned },
    secrets: [],
    ledger: EMPTY_LEDGER,
    frozen: false,
    patienceMs: options.patienceMs ?? 15 * 60_000,
    apply: async () => void applied.push(inbox.state),
    tellAgent: async () => {},
    notify: () => {},
  });
  scope.defer("inbox", async () => inbox.close());
  await serveControl(join(runtime, "control.sock"), token, handlersOf(id, agent, options, inbox), scope);
  return {
    id,
    inbox,
    applied,
    async ask(ask, justification = "because") {
      const answer = await inbox.ask({ kind: "request", ask, justification });
      if (answer.kind === "refused") throw new Error(answer.reason);
      return answer.request.ticket;
    },
    review: (review) => inbox.review(review),
    end: () => scope.close(),
  };
}

const refuse = async (): Promise<never> => {
  throw new Error("there is no guest behind it");
};

function handlersOf(
  id: string,
  agent: string,
  { label, copyDisk = refuse }: InboxBottleOptions,
  inbox: Inbox,
): ControlHandlers {
  return {
    status: () => ({
      ...{ id, agent, backend: "namespace", startedAt: new Date(0).toISOString(), keeperPid: process.pid },
      ...{ phase: "running", sidecars: [], ...(label !== undefined && { label }) },
    }),
    lack: undefined,
    thaw: (by) => inbox.thaw(by),
    exec: refuse,
    agent: refuse,
    dial: refuse,
    copyIn: refuse,
    copyOut: refuse,
    copyDisk,
    exportWork: refuse,
    stop: refuse,
    inbox,
  };
}
