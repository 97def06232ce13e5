/**
 * The end of a bottle: its sidecars end, work is taken out while the guest still runs, then everything is undone in
 * reverse order. What the operator has not got yet is never removed.
 */
import { remedyOf } from "../approvals/difference.ts";
import { unkept } from "../approvals/unkept.ts";
import type { ExitStatus } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import type { Scope } from "../lib/scope.ts";
import { execUntil } from "../provision/guest-command.ts";
import { exportWork } from "../provision/workspace/export.ts";
import type { WorkSummary } from "../provision/workspace/work.ts";
import { writeRecord } from "./bottle-record.ts";
import type { Settlement } from "./control-protocol.ts";
import { plannedAllowed } from "./in-force.ts";
import type { LaunchedBottle } from "./launch.ts";

/** Some programs of a guest's, each of which has its own limit: together they must not add up to days. */
const MAX_TAKING_OUT_MS = 60 * 60_000;

/** Takes the agent's work, as it is now, into the state directory's own repository. */
export async function takeOutWork(bottle: LaunchedBottle): Promise<WorkSummary> {
  const { workspaceFrom } = bottle.record.plan;
  const late = new AbortController();
  const timer = setTimeout(
    () =>
      late.abort(new UserError(`the guest was not done with it in ${MAX_TAKING_OUT_MS / 60_000} minutes`)),
    MAX_TAKING_OUT_MS,
  );
  try {
    const guest = { ...bottle.guest, exec: execUntil(late.signal, bottle.guest.exec) };
    const work = await exportWork(guest, bottle.base, bottle.paths.work, {
      id: bottle.id,
      ...(workspaceFrom !== undefined && { operatorFolder: workspaceFrom }),
    });
    await bottle.log.happened("work.exported", { commits: work.commits, empty: work.empty });
    return work;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * @param options.isDisposable nothing in it can be missed: no work is looked for and nothing is kept.
 */
export async function settle(
  bottle: LaunchedBottle,
  exit: ExitStatus,
  options: { readonly isDisposable: boolean },
  scope: Scope,
): Promise<Settlement> {
  const problems: string[] = [];
  const attempt = async <T>(step: () => Promise<T>, whatFailed: string): Promise<T | undefined> => {
    try {
      return await step();
    } catch (error) {
      problems.push(`${whatFailed}: ${messageOf(error)}`);
      return undefined;
    }
  };
  // What the agent left running may take its time while git looks through its files: it has no way out meanwhile.
  await Promise.allSettled(bottle.sidecars.map((sidecar) => sidecar.stop()));
  const work = options.isDisposable
    ? undefined
    : await attempt(() => takeOutWork(bottle), "the agent's work could not be taken out");
  const isClean = exit.kind === "exited" && exit.code === 0;
  // What was asked for and can still be given is for this bottle's next life.
  const waits = unkept(plannedAllowed(bottle.id, bottle.record.plan), bottle.inbox.state.ledger).flatMap(
    ({ status, parts }) =>
      parts.map((part) => `${status === "approved" ? "agreed" : "asked"}: ${remedyOf(part)}`),
  );
  const kept = !options.isDisposable && !(isClean && work?.empty === true && waits.length === 0);
  const ended = { at: new Date().toISOString(), exit: describeExit(exit) };
  await attempt(() => bottle.log.append("bottle.ended", { ...ended, kept }), "the end was not recorded");
  // Whatever the log did: it is by this that others know the bottle for one that has ended.
  const record = {
    ...bottle.record,
    ended,
    ...(waits.length > 0 && { waits }),
    ...(work !== undefined && { work: work.empty ? ("none" as const) : ("exported" as const) }),
  };
  await attempt(() => writeRecord(bottle.paths, record), "its record could not be written");
  if (!kept) bottle.discard();
  problems.push(...(await closeScope(scope)));
  return {
    id: bottle.id,
    exit,
    kept,
    ...(kept && waits.length > 0 && { waits }),
    ...(work !== undefined && { work }),
    problems,
  };
}

export function describeExit(exit: ExitStatus): string {
  switch (exit.kind) {
    case "exited":
      return `exit ${exit.code}`;
    case "signalled":
      return exit.signal;
    case "lost":
      return exit.reason;
  }
}

/** Closes, and tells what could not be undone instead of failing over it. */
export async function closeScope(scope: Scope): Promise<readonly string[]> {
  try {
    await scope.close();
    return [];
  } catch (error) {
    return [messageOf(error)];
  }
}
