/**
 * Follows a log's chain line by line and says what is wrong with it, in words that name what somebody did.
 * Constant memory. After a fault it finds its feet again at once, so that one changed line is one problem
 * and not a problem for every line behind it. No text of the log goes into a problem: it may be hostile.
 */
import type { KeyObject } from "node:crypto";
import { unreachable } from "../lib/errors.ts";
import { type Entry, genesis, type Head, parseLine } from "./entry.ts";
import { checkHead, HEAD_EVENT, HEAD_EVERY } from "./head.ts";
import type { RawLine } from "./log-lines.ts";

export interface Problem {
  /** Counted from 1 in the file; the line at fault, or the first after what is missing. */
  readonly line: number;
  readonly code: ProblemCode;
  readonly detail: string;
}

type ProblemCode =
  | "empty"
  | "too-long"
  | "not-json"
  | "not-an-entry"
  | "not-canonical"
  /** The line's content is not what its hash was made of. */
  | "changed"
  /** Line numbers are skipped: lines were removed, or this one was moved up. */
  | "missing"
  /** A line that stood before stands again, or was moved down. */
  | "repeated"
  /** The right number, but made on top of another line than the one before. */
  | "not-chained"
  | "another-bottle"
  | "bad-head"
  | "other-key"
  | "bad-signature"
  /** More than 64 lines without a head. */
  | "missing-head"
  /** Something other than a resumption follows an orderly end. */
  | "after-close"
  /** A head that the operator kept elsewhere is not in the log. */
  | "known-head";

/** More than this are not kept (problems are still counted): a foreign file of a million lines is one finding. */
const MAX_PROBLEMS = 100;

export interface ChainState {
  readonly lines: number;
  /** The last line that was in its place. */
  readonly head: Head | undefined;
  /** Number of the last line under a good signature with an unbroken chain before it; 0 for none. */
  readonly sealed: number;
  /** Lines since the last head. */
  readonly sinceHead: number;
  /** The last line is a closing head. */
  readonly closed: boolean;
  /** Lines where the log was resumed although it had not been closed: a crash, or a cut. */
  readonly unclosed: readonly number[];
  readonly problems: readonly Problem[];
  readonly problemCount: number;
}

export interface ChainCheck {
  readonly state: ChainState;
  take(line: RawLine): void;
  /** Whether `line` is whole and the rightful next one; changes nothing. */
  fits(line: RawLine): boolean;
  /** Adds a finding that is not about a line taken; `line` as in {@link Problem}. */
  report(code: ProblemCode, detail: string, line: number): void;
}

export interface PublicKey {
  readonly publicKey: KeyObject;
  readonly fingerprint: string;
}

export function createChainCheck(
  bottle: string,
  key: PublicKey,
  onEntry: (entry: Entry) => void = () => {},
): ChainCheck {
  let lines = 0;
  let next: Pick<Entry, "seq" | "prev"> = { seq: 1, prev: genesis(bottle) };
  let head: Head | undefined;
  let sealed = 0;
  let sinceHead = 0;
  let closed = false;
  const unclosed: number[] = [];
  const problems: Problem[] = [];
  let problemCount = 0;

  const report = (code: ProblemCode, detail: string, line = lines): void => {
    problemCount++;
    if (problems.length < MAX_PROBLEMS) problems.push({ line, code, detail });
  };

  function place(entry: Entry): void {
    if (entry.seq < next.seq) {
      const detail = `line number ${entry.seq} stands here, after number ${next.seq - 1}`;
      report("repeated", detail);
      return;
    }
    if (entry.seq > next.seq) report("missing", missing(next.seq, entry.seq - 1));
    else if (entry.prev !== next.prev) reportUnchained(entry);
    accept(entry);
  }

  function reportUnchained(entry: Entry): void {
    if (entry.seq === 1) report("another-bottle", `this is not how the log of ${bottle} begins`);
    else
      report("not-chained", "made on top of another line than the one before: one of the two was replaced");
  }

  function accept(entry: Entry): void {
    if (closed && entry.event !== "log.resumed") {
      report("after-close", "follows an orderly end without a resumption");
    }
    if (!closed && entry.event === "log.resumed" && unclosed.length < MAX_PROBLEMS) unclosed.push(lines);
    next = { seq: entry.seq + 1, prev: entry.hash };
    head = { seq: entry.seq, hash: entry.hash };
    closed = false;
    if (entry.event === HEAD_EVENT) seal(entry);
    else countUnsealed();
    onEntry(entry);
  }

  function seal(entry: Entry): void {
    sinceHead = 0;
    const verdict = checkHead(entry, bottle, key);
    switch (verdict.kind) {
      case "bad":
        report(verdict.code, verdict.detail);
        return;
      case "good":
        closed = verdict.closing;
        if (problemCount === 0) sealed = entry.seq;
        return;
      default:
        unreachable(verdict);
    }
  }

  function countUnsealed(): void {
    sinceHead++;
    if (sinceHead <= HEAD_EVERY) return;
    report("missing-head", `more than ${HEAD_EVERY} lines without a signed head`);
    sinceHead = 0;
  }

  /** A changed line keeps its place by whatever of its place is left, so that the next is judged fairly. */
  function passOver(entry: Entry): void {
    if (entry.seq !== next.seq && entry.prev !== next.prev) return;
    next = { seq: next.seq + 1, prev: entry.hash };
    closed = false;
    sinceHead = entry.event === HEAD_EVENT ? 0 : sinceHead + 1;
  }

  return {
    get state() {
      return { lines, head, sealed, sinceHead, closed, unclosed, problems, problemCount };
    },
    report,
    fits({ bytes }) {
      if (bytes === undefined) return false;
      const parsed = parseLine(bytes);
      if (parsed.kind !== "entry" || !parsed.hashIsRight) return false;
      return parsed.entry.seq === next.seq && parsed.entry.prev === next.prev;
    },
    take(line) {
      lines++;
      if (line.bytes === undefined) {
        report("too-long", `a line of ${line.length} bytes is none of ours`);
        return;
      }
      const parsed = parseLine(line.bytes);
      switch (parsed.kind) {
        case "garbage":
          report(parsed.code, parsed.detail);
          return;
        case "entry":
          if (parsed.hashIsRight) {
            place(parsed.entry);
            return;
          }
          report("changed", "the line is not what was written: its hash does not match");
          passOver(parsed.entry);
          return;
        default:
          unreachable(parsed);
      }
    },
  };
}

function missing(first: number, last: number): string {
  return first === last
    ? `line number ${first} is missing here`
    : `line numbers ${first} to ${last} are missing here`;
}
