/**
 * The end of a bottle: work is taken out while the guest still runs, then everything is undone in reverse
 * order. What the operator has not got yet is never removed.
 */
import type { ExitStatus } from "../contract/backend.ts";
import { messageOf } from "../lib/errors.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { exportWork } from "../provision/workspace/export.ts";
import type { WorkSummary } from "../provision/workspace/work.ts";
import { writeRecord } from "./bottle-record.ts";
import type { Settlement } from "./control-protocol.ts";
import type { LaunchedBottle } from "./launch.ts";

/** Takes the agent's work, as it is now, into the state directory's own repository. */
export async function takeOutWork(bottle: LaunchedBottle): Promise<WorkSummary> {
  const { workspaceFrom } = bottle.record.plan;
  const work = await exportWork(bottle.guest, bottle.base, bottle.paths.work, {
    id: bottle.id,
    ...(workspaceFrom !== undefined && { operatorFolder: workspaceFrom }),
  });
  await bottle.log.append("work.exported", { commits: work.commits, empty: work.empty });
  return work;
}

export async function settle(bottle: LaunchedBottle, exit: ExitStatus, scope: Scope): Promise<Settlement> {
  const problems: string[] = [];
  let work: WorkSummary | undefined;
  try {
    work = await takeOutWork(bottle);
  } catch (error) {
    problems.push(`the agent's work could not be taken out: ${messageOf(error)}`);
  }
  const clean = exit.kind === "exited" && exit.code === 0;
  const kept = !clean || work === undefined || !work.empty;
  const ended = { at: new Date().toISOString(), exit: describeExit(exit) };
  try {
    await bottle.log.append("bottle.ended", { ...ended, kept });
    await writeRecord(bottle.paths, {
      ...bottle.record,
      ended,
      ...(work !== undefined && { work: work.empty ? ("none" as const) : ("exported" as const) }),
    });
  } catch (error) {
    problems.push(messageOf(error));
  }
  problems.push(...(await closeScope(scope)));
  if (!kept) {
    try {
      await removeTree(bottle.paths.state);
    } catch (error) {
      problems.push(`${bottle.paths.state} could not be removed: ${messageOf(error)}`);
    }
  }
  return { id: bottle.id, exit, kept, ...(work !== undefined && { work }), problems };
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
