/**
 * Verifies a log offline: the chain, the signatures, and whether its end is there. Reads only.
 *
 * A log proves its own beginning and middle. Its end it proves only by a closing head; and a log cut back
 * to an earlier orderly end, between two runs of the same bottle, looks like one that ended there. Against
 * that, keep a line's hash elsewhere, the head's, and give it as `knownHead`.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { codeOf, messageOf, UserError } from "../lib/errors.ts";
import { isBottleId } from "../lib/names.ts";
import { type ChainState, createChainCheck, type Problem } from "./chain-check.ts";
import type { Head } from "./entry.ts";
import { fingerprintOf, parsePublicKey, publicKeyPath, readPublicKey } from "./host-key.ts";
import { judgeLastLine } from "./last-line.ts";
import { type RawLine, readRawLines } from "./log-lines.ts";
import { hasWriter } from "./writer-mark.ts";

export interface VerifyOptions {
  /** PEM text of the writer's public key. Default: `host-key.pub` beside the log. */
  readonly publicKey?: string;
  /** Whose log it is said to be. Default: the file's name without `.jsonl`. */
  readonly bottle?: string;
  /** The hash of a head kept elsewhere, which the log must still contain. */
  readonly knownHead?: string;
}

/**
 * - `intact`: every line in its place, the last of them a signed closing head
 * - `open`: so far good, and its keeper is running
 * - `open-or-cut`: good as far as it goes, but no closing head: a keeper was killed, or lines were cut off
 * - `torn`: the same, and behind the lines that are good there is a part of another
 * - `broken`: see the problems
 */
type Verdict = "intact" | "open" | "open-or-cut" | "torn" | "broken";

/** Plain JSON. */
export interface VerifyReport {
  readonly path: string;
  readonly bottle: string;
  readonly verdict: Verdict;
  readonly lines: number;
  /** The last line in its place; what to keep elsewhere. */
  readonly head: Head | null;
  /** The last line number under a good signature; behind it, up to 64 lines rest on the chain alone. */
  readonly sealed: number;
  /** Fingerprint of the key that the signatures were checked with. */
  readonly key: string;
  /** Length of a torn last line, which counts for nothing; 0 for none. */
  readonly tornBytes: number;
  /** Lines that resumed a log without an orderly end: after a crash, or after a cut. */
  readonly unclosed: readonly number[];
  readonly problems: readonly Problem[];
  /** At least `problems.length`; only the first hundred are listed. */
  readonly problemCount: number;
}

/** @throws UserError when the log or the public key cannot be read; what is wrong *in* the log is in the report. */
export async function verifyLog(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  const auditDir = dirname(path);
  const bottle = options.bottle ?? basename(path, ".jsonl");
  if (!isBottleId(bottle)) {
    throw new UserError(`${basename(path)} is not named after a bottle`, {
      hint: "name the bottle whose log it is",
    });
  }
  const publicKey =
    options.publicKey === undefined
      ? await readPublicKey(publicKeyPath(auditDir))
      : parsePublicKey(options.publicKey, "the public key");
  const key = { publicKey, fingerprint: fingerprintOf(publicKey) };
  const { knownHead } = options;
  let metKnownHead = false;
  const check = createChainCheck(bottle, key, ({ hash }) => {
    if (hash === knownHead) metKnownHead = true;
  });

  const openBefore = await hasWriter(auditDir, bottle);
  const file = await openForReading(path);
  let last: RawLine | undefined;
  try {
    for await (const line of readRawLines(file, (await file.stat()).size)) {
      if (line.terminated) check.take(line);
      else last = line;
    }
  } finally {
    await file.close();
  }
  // A keeper may have started, or ended, while the file was read.
  const open = openBefore || (await hasWriter(auditDir, bottle));

  // While a keeper writes, its last line may be on its way.
  let tornBytes = 0;
  if (last !== undefined && !open) {
    if (judgeLastLine(check, last) === "foreign") check.take(last);
    else tornBytes = last.length;
  }
  const behind = check.state.lines + 1;
  if (behind === 1 && !open) check.report("empty", "the log has no whole line", behind);
  if (knownHead !== undefined && !metKnownHead) {
    check.report("known-head", `the head kept elsewhere (${knownHead}) is not in this log`, behind);
  }
  const { lines, head, sealed, unclosed, problems, problemCount } = check.state;
  return {
    path,
    bottle,
    verdict: verdictOf(check.state, tornBytes > 0, open),
    lines,
    head: head ?? null,
    sealed,
    key: key.fingerprint,
    tornBytes,
    unclosed,
    problems,
    problemCount,
  };
}

function verdictOf(state: ChainState, torn: boolean, open: boolean): Verdict {
  if (state.problemCount > 0) return "broken";
  if (torn) return "torn";
  if (state.closed) return "intact";
  return open ? "open" : "open-or-cut";
}

async function openForReading(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    // Nonblocking, since a pipe at that place would make the open wait for ever.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    throw new UserError(`cannot read the audit log ${path}: ${codeOf(cause) ?? messageOf(cause)}`, {
      hint: "logs are in the audit folder of BOT_BOTTLE_HOME (~/.bot-bottle), one for each bottle",
      cause,
    });
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw new UserError(`${path} is not a file`, { hint: "give the path of a log" });
}
