/** `bottle pull`: the agent's work as refs of this repository. Branches, index and files stay as they are. */

import { type BottlePaths, readRecord, writeRecord } from "../../keeper/bottle-record.ts";
import { tryLock } from "../../lib/lock-file.ts";
import { printable } from "../../lib/printable.ts";
import { pullWork } from "../../provision/workspace/pull.ts";
import { latestWork } from "../bottle-work.ts";
import { print, printJson, tell } from "../output.ts";

export async function pull(id: string, flags: { readonly json?: true }): Promise<number> {
  const { paths, work } = await latestWork(id);
  if (work.empty) {
    tell(`${id} has no work to pull`);
    if (flags.json) printJson({ id, refs: [] });
    return 0;
  }
  const pulled = await pullWork(paths.work, id, process.cwd());
  await markPulled(paths);
  if (flags.json) printJson({ id, ...pulled });
  else {
    for (const { name, state } of pulled.refs) print(`${state.padEnd(9)}  ${printable(name, 500)}`);
    for (const { purpose, command } of pulled.usage) tell(`  ${command}    # ${purpose}`);
  }
  return 0;
}

/** Of a bottle that runs there is more to come, and its keeper writes what is known of it. */
async function markPulled(paths: BottlePaths): Promise<void> {
  const lock = await tryLock(paths.lock);
  if (!("release" in lock)) return;
  try {
    await writeRecord(paths, { ...(await readRecord(paths)), work: "pulled" });
  } finally {
    await lock.release();
  }
}
