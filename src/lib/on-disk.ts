/** What is on the disk, where any of it may be missing, or be removed meanwhile by another process. */
import type { Stats } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type * as z from "zod";
import { codeOf } from "./errors.ts";

/** `stat` counts in these, whatever the file system's own are. */
const BLOCK_BYTES = 512;

/** In order; none when there is no such folder. */
export async function namesIn(folder: string): Promise<readonly string[]> {
  return ((await unlessMissing(readdir(folder))) ?? []).sort();
}

/** Of what a link leads to. */
export function statOf(path: string): Promise<Stats | undefined> {
  return unlessMissing(stat(path));
}

/** What it takes on the disk with all that is in it, in bytes: less than its length where it has holes. */
export async function bytesOnDisk(path: string): Promise<number> {
  const status = await statOf(path);
  if (status === undefined) return 0;
  if (!status.isDirectory()) return status.blocks * BLOCK_BYTES;
  const sizes = await Promise.all((await namesIn(path)).map((name) => bytesOnDisk(join(path, name))));
  return sizes.reduce((all, size) => all + size, 0);
}

/** A cache's file that is missing, cut or from another version is one that is not there: it can be made again. */
export async function cachedRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const text = await unlessMissing(readFile(path, "utf8"));
  try {
    const result = schema.safeParse(JSON.parse(text ?? "null"));
    return result.success ? result.data : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function unlessMissing<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
