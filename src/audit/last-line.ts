/**
 * A last line without its newline: what a crash leaves, or a cut. Told apart from a line that somebody wrote: what
 * is complete and not the rightful next line was never torn. Nobody was ever told that a torn line had been written.
 */
import type { ChainCheck } from "./chain-check.ts";
import type { RawLine } from "./log-lines.ts";

/**
 * - `unfinished`: the rightful next line, of which only the newline is missing
 * - `torn`: a part of a line, or what a disk puts in the place of one
 * - `foreign`: complete, and not ours
 */
export type LastLine = "unfinished" | "torn" | "foreign";

/** `check` has taken all lines before it. */
export function judgeLastLine(check: ChainCheck, line: RawLine): LastLine {
  if (check.fits(line)) return "unfinished";
  return isJson(line) ? "foreign" : "torn";
}

function isJson({ bytes }: RawLine): boolean {
  if (bytes === undefined) return false;
  try {
    JSON.parse(bytes.toString("utf8"));
    return true;
  } catch {
    return false;
  }
}
