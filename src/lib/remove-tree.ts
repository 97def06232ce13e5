/** Removing what an untrusted program filled: folders without permission bits, links, any depth. */
import { chmod, lstat, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { codeOf } from "./errors.ts";

/** Tenths of a second, for what the first attempt is still at. */
const RETRIES = 5;

/**
 * Removes `path` and everything below it; links are removed, never followed. Absent is fine.
 * A folder that forbids its own listing is made listable first.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!["EACCES", "EPERM", "ENOTEMPTY"].includes(codeOf(error) ?? "")) throw error;
    await openUp(path);
    await rm(path, { recursive: true, force: true, maxRetries: RETRIES });
  }
}

/** A removal that has failed goes on for a moment in what it had begun: things vanish while we look, and beside us. */
async function openUp(path: string): Promise<void> {
  try {
    const stat = await lstat(path);
    if (!stat.isDirectory()) return;
    await chmod(path, 0o700);
    for (const name of await readdir(path)) await openUp(join(path, name));
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
