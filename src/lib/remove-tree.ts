/** Removing what an untrusted program filled: folders without permission bits, links, any depth, names of any bytes. */
import { randomBytes } from "node:crypto";
import { chmod, lstat, readdir, rename, rm } from "node:fs/promises";
import { codeOf } from "./errors.ts";

/** Tenths of a second, for what the first attempt is still at. */
const RETRIES = 5;

/** What it takes for a folder to be moved up: no system opens a path of more than 1,024 to 4,096 bytes, and a name has 255. */
const DEEP_BYTES = 700;

/** What the second attempt can mend. */
const HINDRANCES: readonly (string | undefined)[] = ["EACCES", "EPERM", "ENOTEMPTY", "ENAMETOOLONG"];

/**
 * Removes `path` and everything below it; links are removed, never followed. Absent is fine.
 * A folder that forbids its own listing is made listable first, and one too deep to be named is moved up.
 */
export async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    if (!HINDRANCES.includes(codeOf(error))) throw error;
    await openUp(Buffer.from(path));
    await rm(path, { recursive: true, force: true, maxRetries: RETRIES });
  }
}

/** A removal that has failed goes on for a moment in what it had begun: things vanish while we look, and beside us. */
async function openUp(top: Buffer): Promise<void> {
  const left = [top];
  for (let path = left.pop(); path !== undefined; path = left.pop()) {
    try {
      if (!(await lstat(path)).isDirectory()) continue;
      await chmod(path, 0o700);
      if (path.length - top.length > DEEP_BYTES) {
        const nearer = inside(top, randomBytes(16).toString("hex"));
        await rename(path, nearer);
        left.push(nearer);
        continue;
      }
      for (const name of await readdir(path, { encoding: "buffer" })) left.push(inside(path, name));
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
  }
}

function inside(folder: Buffer, name: Buffer | string): Buffer {
  return Buffer.concat([folder, Buffer.from("/"), Buffer.from(name)]);
}
