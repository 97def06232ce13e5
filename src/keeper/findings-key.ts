/**
 * The key of the marks by which findings are named, the same for as long as the bottle lives: over a resume, what was
 * masked keeps its mask, and an exception still means what it was given for. It opens nothing, so it is no credential;
 * but who had it and the log could try whether a guessed value is what was found. So it stays with the operator, in
 * the bottle's state, is removed with it, and goes to the sidecars that look for values, never to the guest.
 */
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { codeOf } from "../lib/errors.ts";
import { writeFileAtomic } from "../lib/paths.ts";

const KEY_BYTES = 32;

/** Reads it, or makes it: when there is none yet, or what is there is none. */
export async function findingsKeyOf(paths: { readonly findingsKey: string }): Promise<Buffer> {
  const kept = await readKept(paths.findingsKey);
  if (kept?.length === KEY_BYTES) return kept;
  const made = randomBytes(KEY_BYTES);
  await writeFileAtomic(paths.findingsKey, made);
  return made;
}

async function readKept(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}
