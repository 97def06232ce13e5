/**
 * What was made once from files of this host, and is not made again while those files are what they were: their
 * names and how they looked are written down with it.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import * as z from "zod";
import { fileStamp } from "../../lib/file-stamp.ts";
import { cachedRecord } from "../../lib/on-disk.ts";
import { makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";

const recordSchema = z.strictObject({
  made: z.string(),
  from: z.array(z.tuple([z.string(), z.string()])),
});

/**
 * @param what names it, together with all that `make` does not hear from a file.
 * @param make calls `from` with each file that it reads, before it does, and returns what it made: where that is.
 */
export async function madeFrom(
  what: readonly string[],
  cache: string,
  make: (from: (path: string) => string) => Promise<string>,
): Promise<string> {
  const record = recordOf(what, cache);
  const known = await readRecord(record);
  if (known !== undefined) return known;
  const files = new Map<string, string | undefined>();
  const made = await make((path) => {
    files.set(path, fileStamp(path));
    return path;
  });
  const from = [...files].map(([path, stamp = ""]) => [path, stamp]);
  await makePrivateDir(join(record, ".."));
  await writeFileAtomic(record, JSON.stringify({ made, from }));
  return made;
}

/** What is there already, without making anything. */
export function knownMade(what: readonly string[], cache: string): Promise<string | undefined> {
  return readRecord(recordOf(what, cache));
}

function recordOf(what: readonly string[], cache: string): string {
  const name = createHash("sha256").update(JSON.stringify(what)).digest("hex").slice(0, 32);
  return join(cache, "qemu", "made", name);
}

async function readRecord(path: string): Promise<string | undefined> {
  const known = await cachedRecord(path, recordSchema);
  if (known === undefined) return undefined;
  const { made, from } = known;
  const isSame = [[made, fileStamp(made)] as const, ...from].every(
    ([file, stamp]) => stamp !== undefined && stamp !== "" && fileStamp(file) === stamp,
  );
  return isSame ? made : undefined;
}
