/** How the host writes files of root's for a `namespace` guest: into the folder behind its read-only root. */
import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { chmod, cp, lstat, mkdir, readdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { removeTree } from "../../lib/remove-tree.ts";

/** The guest cannot write here, so no link of its making can lie in the way. */
export async function writeBelowRoot(
  rootDir: string,
  from: string,
  to: string,
  mode: number | undefined,
): Promise<void> {
  if (!to.startsWith("/etc/") || to.split("/").includes("..")) {
    throw new Error(`only /etc of a namespace guest has files of root's: ${to}`);
  }
  const target = join(rootDir, to);
  const beside = `${target}.${randomBytes(4).toString("hex")}`;
  const made = await mkdir(dirname(target), { recursive: true });
  if (made !== undefined) {
    for (let at = dirname(target); at.length >= made.length; at = dirname(at)) await chmod(at, 0o755);
  }
  try {
    await cp(from, beside, { recursive: true, verbatimSymlinks: true });
    await makeReadable(beside, mode);
    // A file is replaced at once; a folder only when there is none.
    if (lstatSync(target, { throwIfNoEntry: false })?.isDirectory()) await removeTree(target);
    await rename(beside, target);
  } catch (error) {
    await removeTree(beside);
    throw error;
  }
}

/** Whatever the operator's umask made of it: the guest's uid is neither its owner nor in its group. */
async function makeReadable(path: string, mode: number | undefined): Promise<void> {
  const stat = await lstat(path);
  if (stat.isDirectory()) {
    await chmod(path, 0o755);
    for (const name of await readdir(path)) await makeReadable(join(path, name), mode);
  } else if (stat.isFile()) await chmod(path, mode ?? (stat.mode & 0o111 ? 0o755 : 0o644));
}
