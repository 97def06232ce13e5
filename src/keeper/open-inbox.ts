/**
 * A bottle's inbox, as its log left it: a keeper that was killed between a decision and its effect comes back to the
 * decision.
 */
import { spawn } from "node:child_process";
import {
  type ApprovalEvent,
  approvalEvent,
  isLive,
  type Ledger,
  record,
  replay,
} from "../approvals/ledger.ts";
import { outgrown } from "../approvals/outgrown.ts";
import type { Entry } from "../audit/entry.ts";
import type { AuditLog } from "../audit/log.ts";
import { eachEvent } from "../audit/read-events.ts";
import type { BottlePlan } from "../contract/plan.ts";
import type { Scope } from "../lib/scope.ts";
import { createSteadyClock } from "../lib/steady-clock.ts";
import { plannedAllowed } from "./in-force.ts";
import { createInbox, type Inbox } from "./inbox.ts";

export interface InboxRequest {
  readonly id: string;
  readonly plan: BottlePlan;
  readonly log: AuditLog;
  /** The bottle has lived before. */
  readonly resumed: boolean;
  readonly secrets: readonly string[];
  readonly tellAgent: () => Promise<void>;
  readonly apply: () => Promise<void>;
  /** Why nothing can be recorded for now. */
  readonly lack: () => string | undefined;
}

/** For pushes that wait where the agent itself cannot ask. */
const PATIENCE_MS = 15 * 60_000;
/** A command that hears of something has this long for it. */
const NOTIFY_MS = 30_000;
/** At once; what comes while so many still run is not told, and waits in the inbox as everything does. */
const MOST_NOTIFIERS = 4;

export async function openInbox(request: InboxRequest, scope: Scope): Promise<Inbox> {
  const { id, plan, log } = request;
  const { ledger, frozen, until, untimed } = request.resumed
    ? await recalled(log.path)
    : { ledger: replay([]), frozen: false, until: 0, untimed: [] };
  const planned = plannedAllowed(id, plan);
  const clock = createSteadyClock(until);
  const over = new Map<string, Ending>([
    ...untimed.map((ticket) => [ticket, UNTIMED] as const),
    ...outgrown(planned, ledger).map((ticket) => [ticket, OUTGROWN] as const),
  ]);
  const inbox = createInbox({
    ...{ bottle: id, log, planned, clock, frozen },
    secrets: request.secrets,
    ledger: await without(over, ledger, log, clock()),
    patienceMs: plan.supervise?.patienceMs ?? PATIENCE_MS,
    apply: request.apply,
    lack: request.lack,
    tellAgent: request.tellAgent,
    notify: notifier(id, plan.supervise?.notify, log),
  });
  scope.defer("inbox", async () => inbox.close());
  return inbox;
}

/** The manifest may be another than when it was given. */
const OUTGROWN = {
  how: "revoked",
  reason: "by the manifest as it is now it would allow what was not shown when it was given",
} as const;
const UNTIMED = {
  how: "expired",
  reason: "the host's clock was set back since it was given: how much of its time is left is not known",
} as const;
type Ending = typeof OUTGROWN | typeof UNTIMED;

/** Grants that end with a time. */
function timed(ledger: Ledger): readonly string[] {
  return [...ledger.values()].flatMap((request) =>
    isLive(request) && request.outcome.status === "approved" && request.outcome.grant.terms.expiresAt !== null
      ? [request.ticket]
      : [],
  );
}

async function without(
  over: ReadonlyMap<string, Ending>,
  recalled: Ledger,
  log: AuditLog,
  at: number,
): Promise<Ledger> {
  let ledger = recalled;
  for (const [ticket, end] of over) {
    const ended: ApprovalEvent = { event: "grant.ended", data: { ticket, ...end, by: "keeper", at } };
    await log.append(ended.event, ended.data);
    ledger = record(ledger, ended);
  }
  return ledger;
}

/**
 * @returns `until`: the moment that it is by a clock which never goes back. All that the host's went on counts, between
 *     two lives too, also after it was once far ahead. `untimed`: tickets whose time has gone on by nobody knows how much.
 */
async function recalled(path: string) {
  const isOurs = (event: string): boolean => /^(?:request|grant)\.|^bottle\.(?:frozen|thawed)$/.test(event);
  const entries: Entry[] = [];
  const replayed = (some: readonly Entry[]): Ledger =>
    replay(some.flatMap(({ event, data }) => approvalEvent(event, data) ?? []));
  let setBackAfter = 0;
  let [until, last] = [0, 0];
  const pass = (time: number): void => {
    if (time < last) setBackAfter = entries.length;
    until += Math.max(0, time - last);
    last = time;
  };
  await eachEvent(path, (entry) => {
    pass(Date.parse(entry.time));
    if (!isOurs(entry.event)) return;
    entries.push(entry);
    // By the clock of that life, which the host's may have put ahead while nothing was written.
    until = Math.max(until, approvalEvent(entry.event, entry.data)?.data.at ?? 0);
  });
  pass(Date.now());
  const ledger = replayed(entries);
  const before = timed(replayed(entries.slice(0, setBackAfter)));
  const state = entries.findLast(({ event }) => event.startsWith("bottle."));
  return {
    ...{ ledger, frozen: state?.event === "bottle.frozen", until },
    untimed: timed(ledger).filter((ticket) => before.includes(ticket)),
  };
}

/** A fixed argv, and no word of the agent's in it: what happened is on its stdin, as data. */
function notifier(
  id: string,
  argv: readonly [string, ...string[]] | undefined,
  log: AuditLog,
): (event: string, data: object) => void {
  if (argv === undefined) return () => {};
  const [program, ...args] = argv;
  let running = 0;
  return (event, data) => {
    if (running >= MOST_NOTIFIERS) return;
    running += 1;
    const child = spawn(program, args, { stdio: ["pipe", "ignore", "ignore"], timeout: NOTIFY_MS });
    const ended = (problem: string | undefined): void => {
      running -= 1;
      if (problem !== undefined) log.happened("notify.failed", { program, problem }).catch(() => {});
    };
    child.once("error", (error) => ended(error.message));
    child.once("close", (code, signal) => {
      if (child.pid !== undefined) ended(code === 0 ? undefined : `ended with ${signal ?? code}`);
    });
    child.stdin.on("error", () => {});
    child.stdin.end(`${JSON.stringify({ bottle: id, event, data })}\n`);
  };
}
