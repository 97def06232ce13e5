/** Compares what the sweep noticed with all keywords and known values, and tries the patterns of those that stand there. */
import { type AssignmentMemo, isNamed } from "./assignment.ts";
import type { Frame } from "./frame.ts";
import type { KeywordIndex } from "./keyword-index.ts";
import { isTellingPiece, type KnownForm } from "./known-secret.ts";
import { EFFORT, type Ledger } from "./ledger.ts";
import { keywordOffsets, matchAt, mayBegin, type Probe, reportMatch } from "./probe.ts";

/** What a byte string of the index stands for. */
export type Target = ProbeTarget | KnownTarget;

/** A keyword of a detector. */
export class ProbeTarget {
  readonly type = "probe";
  readonly probe: Probe;
  readonly keyword: Uint8Array;
  /** Nothing but the rest of a name and what assigns a value can follow the keyword. */
  readonly named: boolean;
  #offsets: readonly number[] | undefined;

  constructor(probe: Probe, keyword: Uint8Array) {
    this.probe = probe;
    this.keyword = keyword;
    this.named = isNamed(probe.detector.pattern, Buffer.from(keyword).toString("latin1"));
  }

  /** So far behind a match's beginning the keyword can stand. */
  get offsets(): readonly number[] {
    this.#offsets ??= keywordOffsets(this.probe, this.keyword);
    return this.#offsets;
  }
}

/** A form of a known value. */
export class KnownTarget {
  readonly type = "known";
  readonly form: KnownForm;
  /** In this pass over a text it was found up to `until`. */
  pass = 0;
  until = 0;

  constructor(form: KnownForm) {
    this.form = form;
  }
}

export class KeywordSearch {
  readonly #index: KeywordIndex<Target>;
  readonly #ledger: Ledger;
  readonly #assignments: AssignmentMemo;
  #pass = 0;

  constructor(index: KeywordIndex<Target>, assignments: AssignmentMemo, ledger: Ledger) {
    this.#index = index;
    this.#assignments = assignments;
    this.#ledger = ledger;
  }

  /** `frame` was swept with the index's bits. Notes in it where keywords stand. */
  search(frame: Frame): void {
    this.#pass++;
    this.#assignments.open(frame);
    frame.forgetKeywords();
    const { hits, hitCount } = frame;
    for (let i = 0; i < hitCount; i++) this.#lookUp(frame, hits[i] as number);
  }

  #lookUp(frame: Frame, at: number): void {
    const { bytes } = frame;
    const gram = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    const entries = this.#index.lookup(gram);
    if (entries === undefined || this.#ledger.gaveUp) return;
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i];
      if (entry === undefined) continue;
      const { target } = entry;
      if (target.type === "known") this.#compareKnown(frame, at, entry.offset, target);
      else {
        const start = at - entry.offset;
        if (start < 0 || !stands(entry.bytes, entry.ignoreCase, bytes, start, frame.length)) continue;
        if (!this.#ledger.spend(EFFORT.keyword)) return;
        frame.keywords.add(start);
        frame.reach(start - (target.offsets[0] ?? 0), target.probe.ready.max);
        this.#tryAround(frame, target, start);
      }
    }
  }

  #tryAround(frame: Frame, target: ProbeTarget, keyword: number): void {
    const { probe } = target;
    if (target.named && !this.#assignments.follows(keyword + target.keyword.length)) return;
    if (probe.pass !== this.#pass) {
      probe.pass = this.#pass;
      probe.until = 0;
    }
    const { offsets } = target;
    const { ready } = probe;
    if (ready.growing && !this.#matchesNearest(frame, target, keyword)) return;
    for (let i = 0; i < offsets.length; i++) {
      const at = keyword - (offsets[i] as number);
      if (at < probe.until || !mayBegin(ready, frame.bytes, at, frame.length)) continue;
      const match = matchAt(probe, frame, at, this.#ledger);
      if (match === undefined || match.end <= keyword) continue;
      probe.until = match.end;
      reportMatch(this.#ledger, frame, probe, match);
      return;
    }
  }

  /** Where a match that begins farther from its keyword has one in it that begins nearer: it is enough to try that. */
  #matchesNearest(frame: Frame, { probe, offsets }: ProbeTarget, keyword: number): boolean {
    const at = keyword - (offsets[offsets.length - 1] ?? 0);
    if (!mayBegin(probe.ready, frame.bytes, at, frame.length)) return false;
    if (!this.#ledger.spend(EFFORT.pattern)) return false;
    const { sticky, reach } = probe.ready;
    const { text, from } = frame.around(at, reach);
    sticky.lastIndex = at - from;
    return sticky.test(text);
  }

  #compareKnown(frame: Frame, at: number, offset: number, target: KnownTarget): void {
    const { form } = target;
    if (target.pass !== this.#pass) {
      target.pass = this.#pass;
      target.until = 0;
    }
    if (at < target.until) return;
    const { bytes, length } = frame;
    const wanted = form.bytes;
    let begin = 0;
    while (begin < offset && begin < at && bytes[at - begin - 1] === wanted[offset - begin - 1]) begin++;
    let end = 0;
    while (offset + end < wanted.length && at + end < length && bytes[at + end] === wanted[offset + end])
      end++;
    const found = begin + end;
    if (found < form.piece) return;
    if (found < wanted.length) {
      const telling = Math.max(offset - begin, form.from);
      if (offset + end - telling < form.piece) return;
      if (!isTellingPiece(wanted.subarray(telling, offset + end))) return;
    }
    target.until = at + end;
    const { secret, value } = form;
    this.#ledger.report(secret.kind, secret.name, { start: at - begin, end: at + end }, value);
  }
}

function stands(
  wanted: Uint8Array,
  ignoreCase: boolean,
  bytes: Uint8Array,
  at: number,
  length: number,
): boolean {
  if (at + wanted.length > length) return false;
  for (let i = 0; i < wanted.length; i++) {
    const byte = bytes[at + i] as number;
    const want = wanted[i] as number;
    if (byte === want) continue;
    if (!ignoreCase || (byte ^ want) !== 0x20 || (byte | 0x20) < 0x61 || (byte | 0x20) > 0x7a) return false;
  }
  return true;
}
