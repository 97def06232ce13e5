/**
 * Files that take their place by rename() or link() once they are whole. A draft's name says which process writes it, so
 * that what a killed writer has left is told from what a living one is at.
 */
import { randomBytes } from "node:crypto";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { namesIn } from "./on-disk.ts";
import { isProcessAlive, ownProcessStart } from "./process-start.ts";

/** `.<pid>.<birth>.<random>.tmp` */
const DRAFT = /^\.([1-9][0-9]{0,9})\.([0-9a-f-]+)\.[0-9a-f]{12}\.tmp$/;

/** A name in the folder of `path` that nobody has. Whoever makes the file removes it. */
export async function draftBeside(path: string): Promise<string> {
  const birth = await ownProcessStart();
  return join(dirname(path), `.${process.pid}.${birth}.${randomBytes(6).toString("hex")}.tmp`);
}

/** Removes the drafts in `folder` whose writers were killed. */
export async function sweepDrafts(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const [, pid, birth] = DRAFT.exec(name) ?? [];
    if (pid === undefined || birth === undefined || (await isProcessAlive(Number(pid), birth))) continue;
    await rm(join(folder, name), { force: true });
  }
}
