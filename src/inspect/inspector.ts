/**
 * Finds secrets in hostile bytes. One inspector serves a whole sidecar; it keeps nothing between texts.
 *
 * What is found: every detector's kind of secret; known secrets and canaries of MIN_KNOWN bytes and more, whole or
 * any PIECE neighbouring bytes that look random; operators' rules; and, where asked for, phrases of prompt
 * injection. Each of them plainly, and through any of
 *
 *   base64 (both alphabets, any padding or none, wrapped, spaced, at any alignment), base32 (both cases, the same where it has digits),
 *   hex (both cases, separated by colons, spaces, commas, `0x`, `\x`);
 *   percent, JSON, C and HTML escapes (repeated without limit), UTF-16, full-width and other compatibility forms,
 *   accents, look-alike letters, zero-width, combining and bidirectional marks, tag characters;
 *
 * and any chain of them with at most UNPACKINGS (4) of the first group; between those, any number of the second.
 * A text may come in any pieces: the findings are the same as for the whole, because it is looked at in blocks of
 * its own, each with LOOK_AHEAD bytes of the next.
 *
 * What is not found: values in compressed, encrypted or otherwise computed form (callers undo content encodings);
 * values spread over several texts; runs of base64 of less than 15 digits, other than of known secrets; a detector's
 * secret with other characters put between its own; letters in disguise within base32 that begins behind junk of its
 * own alphabet; some chains of four and more escapes, in which what has
 * backslashes is percent or HTML, and that has backslashes again (which backslash doubles which can be read in more ways than are
 * tried; of random chains of that kind one in a hundred is missed); what is longer than LOOK_AHEAD, encoded, is found by its first
 * part. Work is bounded by construction (ledger.ts), and what was not looked into because of that is a finding.
 *
 * Where to read on: scanner.ts has the order in which one text is looked at. What it looks with: sweep.ts and simd/ (every
 * byte), keyword-search.ts, run-search.ts and word-list.ts (what stands there plainly), unpacker.ts (what is packed),
 * disguise-regions.ts and text-cleaner.ts (what is in disguise). ledger.ts bounds the work and takes what is found,
 * path.ts tells where that was in the raw text, and mask.ts takes it out.
 */
import { createHmac } from "node:crypto";
import { Gathered } from "../lib/gathered.ts";
import type { Detector } from "./detector.ts";
import type { Finding, FindingKind } from "./finding.ts";
import { KeywordIndex } from "./keyword-index.ts";
import { KnownTarget, ProbeTarget, type Target } from "./keyword-search.ts";
import { type KnownSecret, knownForms } from "./known-secret.ts";
import type { RawFinding } from "./ledger.ts";
import type { RuleSet } from "./own-rules.ts";
import { PHRASES } from "./phrases.ts";
import { Probe } from "./probe.ts";
import { RUN_CLASSES } from "./run-search.ts";
import { Scanner, type ScannerParts } from "./scanner.ts";
import { WordList } from "./word-list.ts";

export interface InspectorOptions {
  readonly detectors: readonly Detector[];
  readonly known?: readonly KnownSecret[];
  /** Operators' own rules: `await compileRules(…)`. */
  readonly rules?: RuleSet;
  /** Look for phrases of prompt injection (responses). */
  readonly phrases?: boolean;
  /** Key of the fingerprints; keep it for as long as the same value should get the same mark. */
  readonly fingerprintKey: Uint8Array;
}

export interface Inspector {
  /** All findings of a whole text, by start, none inside another of the same detector. */
  scan(text: Uint8Array): Finding[];
  /** The same findings for a text that comes in pieces, in constant memory. */
  stream(): InspectionStream;
}

export interface InspectionStream {
  push(chunk: Uint8Array): Released;
  /** What is left. The stream is spent. */
  end(): Released;
}

export interface Released {
  /** Bytes that can no longer become part of a finding: pass them on, after masking. */
  readonly bytes: Buffer;
  /** Findings that lie in `bytes`; offsets count from the beginning of `bytes`. None is ever split. */
  readonly findings: readonly Finding[];
}

/** A text is looked at in blocks of this size: large enough that what they share costs little. */
export const BLOCK = 256 * 1024;
/** Each with so much of what comes next: longer than any value that is looked for, encoded four times. */
export const LOOK_AHEAD = 24 * 1024;
/** And so much of what came before: boundaries, and the rest of an escape or of a group of digits. */
const LOOK_BEHIND = 1024;

/**
 * Throws a UserError for a known secret that is too short. A detector that is not well-formed throws when it is
 * first triggered: nothing passes unread.
 */
export function compileInspector(options: InspectorOptions): Inspector {
  const scanner = new Scanner(scannerParts(options));
  const inspect = (text: Uint8Array, accepted: number, last: boolean): Block | undefined =>
    nextBlock(scanner, options.fingerprintKey, text, accepted, last);
  return {
    scan(text) {
      const findings: Finding[] = [];
      let block = inspect(text, 0, true);
      while (block !== undefined) {
        findings.push(...block.findings);
        block = inspect(text, block.accepted, true);
      }
      return findings;
    },
    stream() {
      return openStream(inspect);
    },
  };
}

interface Block {
  /** Offsets count from the beginning of the text that was given. */
  readonly findings: readonly Finding[];
  /** Up to where the text is settled. */
  readonly accepted: number;
}

/** The next block of `text` from `accepted` on; undefined when there is none, or not enough of it yet. */
function nextBlock(
  scanner: Scanner,
  key: Uint8Array,
  text: Uint8Array,
  accepted: number,
  last: boolean,
): Block | undefined {
  const left = text.length - accepted;
  const isLast = left <= BLOCK + LOOK_AHEAD;
  if (left === 0 || (isLast && !last)) return undefined;
  const from = Math.max(0, accepted - LOOK_BEHIND);
  const to = isLast ? text.length : accepted + BLOCK + LOOK_AHEAD;
  const found = scanner
    .scan(text, from, to)
    .map((raw) => ({ ...raw, start: Math.max(accepted, raw.start + from), end: raw.end + from }))
    .filter(({ end }) => end > accepted)
    .sort((a, b) => a.start - b.start || b.end - a.end || a.through.length - b.through.length);
  // No finding is split: the block ends behind the last one that begins in it.
  let until = isLast ? text.length : accepted + BLOCK;
  const findings: Finding[] = [];
  for (const { value, ...finding } of withoutNested(found)) {
    if (finding.start >= until) break;
    until = Math.max(until, finding.end);
    findings.push({ ...finding, fingerprint: fingerprint(key, value) });
  }
  return { findings, accepted: until };
}

/** `found` is sorted: by start, the longest first. */
function withoutNested(found: readonly RawFinding[]): RawFinding[] {
  const reach = new Map<string, number>();
  return found.filter(({ kind, detector, end }) => {
    const name = `${kind} ${detector}`;
    if (end <= (reach.get(name) ?? 0)) return false;
    reach.set(name, end);
    return true;
  });
}

function fingerprint(key: Uint8Array, value: Uint8Array): string {
  return createHmac("sha256", key).update(value).digest("hex").slice(0, 16);
}

function openStream(
  inspect: (text: Uint8Array, accepted: number, last: boolean) => Block | undefined,
): InspectionStream {
  const gathered = new Gathered();
  /** So much of what is held was released before. */
  let accepted = 0;
  const advance = (last: boolean): Released => {
    if (!last && gathered.length - accepted <= BLOCK + LOOK_AHEAD)
      return { bytes: Buffer.alloc(0), findings: [] };
    const held = gathered.take();
    const begin = accepted;
    const findings: Finding[] = [];
    for (
      let block = inspect(held, accepted, last);
      block !== undefined;
      block = inspect(held, accepted, last)
    ) {
      accepted = block.accepted;
      for (const finding of block.findings)
        findings.push({ ...finding, start: finding.start - begin, end: finding.end - begin });
    }
    const bytes = held.subarray(begin, accepted);
    const kept = Math.max(0, accepted - LOOK_BEHIND);
    // A copy: the released part must not be kept alive by it.
    gathered.push(held.subarray(kept));
    accepted -= kept;
    return { bytes, findings };
  };
  return {
    push(chunk) {
      // A copy: the caller may use its buffer again before the block is full.
      gathered.push(chunk);
      return advance(false);
    },
    end: () => advance(true),
  };
}

function scannerParts(options: InspectorOptions): ScannerParts {
  const index = new KeywordIndex<Target>();
  const runs: ScannerParts["runs"][number][] = [];
  const words: ScannerParts["words"][number][] = [];
  const add = (detector: Detector, kind: FindingKind): void => {
    const { id, trigger, ignoreCase = false, check = () => true } = detector;
    const probe = new Probe(detector, kind);
    switch (trigger.kind) {
      case "keyword":
        for (const keyword of trigger.keywords.map((text) => Buffer.from(text, "latin1")))
          index.addWhole(keyword, ignoreCase, new ProbeTarget(probe, keyword));
        break;
      case "run":
        runs.push({ of: RUN_CLASSES[trigger.of], min: trigger.min, probe });
        break;
      case "words":
        words.push(new WordList({ kind, id, check, words: trigger.words, counts: trigger.counts }));
        break;
    }
  };
  for (const detector of options.detectors) add(detector, "pattern");
  if (options.phrases === true) for (const phrase of PHRASES) add(phrase, "phrase");
  for (const secret of options.known ?? [])
    for (const form of knownForms(secret)) {
      const target = new KnownTarget(form);
      if (form.piece === form.bytes.length) index.addWhole(form.bytes, false, target);
      else index.addPieces(form.bytes, form.piece, target);
    }
  index.seal();
  return { index, runs, words, rules: options.rules };
}
