/**
 * What an install leaves beside its files, so that every later start can tell in a few `stat`s that they
 * are still as they were when their hash was checked: size, time and mode of each. Hashing a quarter of
 * a gigabyte would cost every start half a second and guard against nobody: who can write to the
 * operator's cache is the operator. What this finds is a file that was cut, replaced or chmodded.
 */
import { lstat, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { writeFileAtomic } from "../lib/paths.ts";

const RECORD = "installed.json";

const recordSchema = z.object({
  integrity: z.string(),
  files: z.record(z.string(), z.object({ size: z.number(), mtimeMs: z.number(), mode: z.number() })),
});
type InstalledRecord = z.infer<typeof recordSchema>;

/** The last step of an install: without the record there is none. */
export async function writeRecord(dir: string, integrity: string, files: readonly string[]): Promise<void> {
  const record: InstalledRecord = { integrity, files: {} };
  for (const file of files) {
    const { size, mtimeMs, mode } = await stat(join(dir, file));
    record.files[file] = { size, mtimeMs, mode };
  }
  await writeFileAtomic(join(dir, RECORD), `${JSON.stringify(record)}\n`);
}

/** Whether `dir` holds these files, unchanged since they were installed from those bytes. */
export async function recordHolds(
  dir: string,
  integrity: string,
  files: readonly string[],
): Promise<boolean> {
  let record: InstalledRecord;
  try {
    record = recordSchema.parse(JSON.parse(await readFile(join(dir, RECORD), "utf8")));
  } catch {
    return false;
  }
  if (record.integrity !== integrity) return false;
  for (const file of files) {
    const known = record.files[file];
    const there = await lstat(join(dir, file)).catch(() => undefined);
    if (known === undefined || there === undefined || !there.isFile()) return false;
    const { size, mtimeMs, mode } = there;
    if (size !== known.size || mtimeMs !== known.mtimeMs || mode !== known.mode) return false;
  }
  return true;
}
