/**
 * Folders for machines that are no bottle's: one that becomes a template, or shows whether the processor can. Each is
 * named after the process that uses it, so that what a killed one left is found (I9).
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { runtimeDir } from "../../lib/paths.ts";
import { isProcessAlive, ownProcessStart } from "../../lib/process-start.ts";
import { removeTree } from "../../lib/remove-tree.ts";

/** `vm.<pid>.<start>.<random>`; no bottle's name has a dot. */
const NAME = /^vm\.(\d{1,10})\.([0-9a-f-]+)\.[0-9a-f]{4}$/;

/** Removes it afterwards, whatever comes; and first whatever others left. */
export async function inWorkFolder(use: (work: string) => Promise<void>): Promise<void> {
  await sweepWorkFolders();
  const mark = `${process.pid}.${await ownProcessStart()}`;
  const work = join(runtimeDir(), `vm.${mark}.${randomBytes(2).toString("hex")}`);
  await mkdir(work, { mode: 0o700 });
  try {
    await use(work);
  } finally {
    await removeTree(work);
  }
}

/** Removes those of processes that are gone. */
export async function sweepWorkFolders(): Promise<void> {
  const parent = runtimeDir();
  for (const name of await readdir(parent)) {
    const [, pid, start = ""] = NAME.exec(name) ?? [];
    if (pid !== undefined && !(await isProcessAlive(Number(pid), start)))
      await removeTree(join(parent, name));
  }
}
