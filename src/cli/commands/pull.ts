/** `bottle pull`: the agent's work as refs of this repository. Branches, index and files stay as they are. */

import { type BottlePaths, readRecord, writeRecord } from "../../keeper/bottle-record.ts";
import { tryLock } from "../../lib/lock-file.ts";
import { printable } from "../../lib/printable.ts";
import { isPulled, pullWork } from "../../provision/workspace/pull.ts";
import { readWork } from "../../provision/workspace/work.ts";
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
  await markPulled(paths, id, process.cwd());
  if (flags.json) printJson({ id, ...pulled });
  else {
    for (const { name, state } of pulled.refs) print(`${state.padEnd(9)}  ${printable(name, 500)}`);
    for (const { purpose, command } of pulled.usage) tell(`  ${command}    # ${purpose}`);
  }
  return 0;
}

/**
 * What is noted so goes with `bottle rm`, unasked. Of a bottle that runs there is more to come, and its keeper writes
 * what is known of it; one that ended since may hold more than was fetched, and what could not be taken out it holds.
 */
export async function markPulled(paths: BottlePaths, id: string, folder: string): Promise<void> {
  const lock = await tryLock(paths.lock);
  if (!("release" in lock)) return;
  try {
    const { notes } = (await readWork(paths.work)) ?? { notes: [] };
    if (notes.length > 0 || !(await isPulled(paths.work, id, folder))) return;
    await writeRecord(paths, { ...(await readRecord(paths)), work: "pulled" });
  } finally {
    await lock.release();
  }
}
