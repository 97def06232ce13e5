/** `bottle cleanup`: what crashed bottles left, found by name and label and not by memory. */

import { findLeftovers, removeLeftovers, sweepCommon } from "../../keeper/leftovers.ts";
import { confirm } from "../ask.ts";
import { print, printJson, report, tell } from "../output.ts";

export interface CleanupFlags {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly json?: true;
}

export async function cleanup(flags: CleanupFlags): Promise<number> {
  const leftovers = await findLeftovers();
  if (flags.json) printJson(leftovers);
  else for (const { bottle, kind, name } of leftovers) print(`${bottle}  ${kind}  ${name}`);
  if (leftovers.length === 0) {
    if (!flags.dryRun) await sweepCommon();
    if (!flags.json) tell("nothing was left behind");
    return 0;
  }
  if (flags.dryRun) return 0;
  if (
    !flags.yes &&
    !(await confirm(`remove these ${leftovers.length}?`, "add --yes to remove without being asked"))
  )
    return 0;
  await sweepCommon();
  let worst = 0;
  for (const id of new Set(leftovers.map(({ bottle }) => bottle))) {
    try {
      await removeLeftovers(id);
    } catch (error) {
      worst = Math.max(worst, report(error));
    }
  }
  return worst;
}
