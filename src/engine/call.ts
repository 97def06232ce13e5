/** One question to an engine's tool, and what to make of its answer. */
import { basename } from "node:path";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { type RunResult, run } from "../lib/processes.ts";

/** An engine answers in 50 ms; on a busy machine, and Docker Desktop waking up, in some seconds. */
export const ANSWER_MS = 60_000;
const COMPLAINT_CHARACTERS = 600;

export interface Engine {
  /** Path of the tool. */
  readonly program: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** By its name: a few words mean something else to it, and it does some things later. */
export function isPodman({ program }: Engine): boolean {
  return basename(program).startsWith("podman");
}

/** @throws the signal's reason, when it is given up. */
export function ask(
  engine: Engine,
  words: readonly string[],
  timeoutMs = ANSWER_MS,
  signal?: AbortSignal,
): Promise<RunResult> {
  return run([engine.program, ...words], { env: engine.env, timeoutMs, ...(signal && { signal }) });
}

export async function must(
  engine: Engine,
  words: readonly string[],
  timeoutMs?: number,
  signal?: AbortSignal,
): Promise<RunResult> {
  const result = await ask(engine, words, timeoutMs, signal);
  if (result.code !== 0) throw complaint(engine, words, result);
  return result;
}

export function complaint(engine: Engine, words: readonly string[], result: RunResult): UserError {
  // What went wrong is said last.
  const end = result.stderr.trim().slice(-COMPLAINT_CHARACTERS);
  return new UserError(
    `${engine.program} ${words.slice(0, 2).join(" ")}: ${printable(end, COMPLAINT_CHARACTERS)}`,
  );
}

/** What `inspect` says of one thing; podman puts it into a list. */
export function inspected(bytes: Buffer): unknown {
  const said = jsonOf(bytes);
  return Array.isArray(said) ? said[0] : said;
}

export function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Of an answer that is a list of names. */
export function linesOf(bytes: Buffer): readonly string[] {
  return bytes
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "");
}
