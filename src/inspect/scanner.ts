/**
 * Looks into one text, and into everything that is encoded in it.
 *
 * A text is swept once. What the sweep noticed is looked at: keywords are compared and their patterns tried, runs of
 * digits and words are checked, runs of base64, base32 and hex that can be text are unpacked and scanned like a text
 * of their own, and neighbourhoods of escapes and disguised letters are cleaned and scanned again. What lies in such a
 * neighbourhood is unpacked from the cleaned text only. So each byte goes into at most one unpacking and one cleaning
 * a level, each level is smaller than the one before, and there are at most UNPACKINGS of them; besides, the bytes
 * decoded for one text are counted, and a text that wants more than WORK_FACTOR times its size is itself a finding.
 */
import {
  ALPHANUMERICS,
  BASE32_LOWER,
  BASE32_UPPER,
  BASE64_ASCII,
  BASE64_UTF8,
  BASE64_VALUE,
  BYTE_CLASSES,
  CAPITALS,
  DIGITS,
  HEX,
  HEX_ASCII,
  HEX_SEPARATED,
  SPACED,
  WORD_TABLES,
  WORDS,
} from "./byte-classes.ts";
import type { FindingKind } from "./finding.ts";
import { Frame } from "./frame.ts";
import type { KeywordIndex } from "./keyword-index.ts";
import { isTellingPiece, type KnownForm } from "./known-secret.ts";
import type { RuleSet } from "./own-rules.ts";
import { decodings, locate, type Span, type Step } from "./path.ts";
import { holdsText, isReadable, textReach } from "./plausible-text.ts";
import { keywordOffsets, type Match, matchAt, mayBegin, type Probe } from "./probe.ts";
import { squeeze } from "./squeeze.ts";
import { GRAM_WORDS, MARK, RUN, SECOND_GRAM, sweep } from "./sweep.ts";
import { BEGINNINGS, beginsDisguise, TextCleaner } from "./text-cleaner.ts";
import { base32AsciiPhases, type Packing, unpack } from "./unpack.ts";
import type { WordList } from "./word-list.ts";

/** Base64 in base64 in base64 in base64 is nobody's file format; each level costs a hostile text's scan more time. */
export const UNPACKINGS = 4;
/** Bytes that may be decoded for each byte of a text. Honest texts stay under 3. */
const WORK_FACTOR = 8;
/** So small texts may be decoded often. */
const FREE_WORK = 4096;
/**
 * Different values that look right and prove wrong, of all detectors. Each costs a microsecond or two: a text made of their
 * beginnings would cost a hundred times what others do. Honest texts have a few; this is a thousand times that.
 */
const FREE_REJECTIONS = 512;
const BYTES_A_REJECTION = 256;
/** A cleaned text reaches this far from the escape: as far as an escape can stand from the rest of its value. */
const NEIGHBOURHOOD = 256;
/** Escapes so close to the last one change nothing: the neighbourhood is that much longer. */
const NOT_AGAIN = 32;
/** More findings in one text say no more: the whole of it is one then. */
const MOST_FINDINGS = 200;
/** Digits of hex in which letters in disguise can be told from chance: identifiers are shorter. */
const DISGUISED_IN_HEX = 48;
/** Words of base64: what is readable for so long is no chance. */
const LONG_COVER = 16;
/** Fewer bytes hold no value that is looked for. */
const SMALLEST_UNPACKED = 6;

/** So many digits of few kinds hold no value; MARGIN of them are kept beside what follows. Multiples of all groups. */
const MONOTONOUS = 64;
const MARGIN = 16;
/** Fewer kinds of digits than any value shows in MONOTONOUS of them. */
const FEW_KINDS = 2;

export interface RawFinding {
  readonly kind: FindingKind;
  readonly detector: string;
  readonly start: number;
  readonly end: number;
  readonly through: ReturnType<typeof decodings>;
  /** The decoded value: never leaves the inspector. */
  readonly value: Buffer;
}

export type Target = ProbeTarget | KnownTarget;

export interface ProbeTarget {
  readonly type: "probe";
  readonly probe: Probe;
  /** So far behind a match's beginning the keyword can stand; known once it was met. */
  offsets: readonly number[] | undefined;
}

export interface KnownTarget {
  readonly type: "known";
  readonly form: KnownForm;
  pass: number;
  until: number;
}

export interface ScannerParts {
  readonly index: KeywordIndex<Target>;
  readonly runs: readonly { readonly of: number; readonly min: number; readonly probe: Probe }[];
  readonly words: readonly { readonly list: WordList; readonly probe: Probe }[];
  readonly rules: RuleSet | undefined;
}

/** Frames of one level: its text, that text cleaned, and digits squeezed out of either. */
class Level {
  readonly raw = new Frame();
  readonly cleaned = new Frame();
  readonly squeezed = new Frame();
  /** Up to where each of the packings was unpacked, by phase. */
  readonly done = new Int32Array(32);
}

export class Scanner {
  readonly #parts: ScannerParts;
  readonly #levels: Level[] = [];
  readonly #cleaner = new TextCleaner();
  #path: Step[] = [];
  #findings: RawFinding[] = [];
  #pass = 0;
  #work = 0;
  #rejected = new Set<string>();
  #mostRejected = 0;
  #gaveUp = false;

  constructor(parts: ScannerParts) {
    this.#parts = parts;
  }

  /** Findings of `source[from, to)`, offsets counted from `from`; unsorted, and some of them twice. */
  scan(source: Uint8Array, from: number, to: number): RawFinding[] {
    this.#findings = [];
    this.#path = [];
    this.#work = (to - from) * WORK_FACTOR + FREE_WORK;
    this.#gaveUp = false;
    if (this.#rejected.size > 0) this.#rejected = new Set();
    this.#mostRejected = FREE_REJECTIONS + Math.floor((to - from) / BYTES_A_REJECTION);
    for (const { list } of this.#parts.words) list.reset();
    const { raw } = this.#level(0);
    raw.load(source.subarray(from, to));
    this.#scanFrame(raw, 0, false);
    return this.#findings;
  }

  #level(depth: number): Level {
    let level = this.#levels[depth];
    if (level === undefined) {
      level = new Level();
      this.#levels[depth] = level;
    }
    return level;
  }

  #scanFrame(frame: Frame, depth: number, cleaned: boolean): void {
    if (this.#gaveUp) return;
    const { index, rules } = this.#parts;
    const level = this.#level(depth);
    sweep(frame, index.bits);
    this.#pass++;
    const { events, eventCount } = frame;
    const regions: number[] = [];
    let runs = 0;
    let near = 0;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      const at = event & ~3;
      switch (event & 3) {
        case MARK:
          if (at >= near && !cleaned) near = this.#noteDisguise(frame, at, regions);
          break;
        case RUN:
          // Runs are looked at once it is known what is in the neighbourhood of an escape.
          events[runs++] = at;
          events[runs++] = events[++i] as number;
          break;
        default:
          this.#lookUp(frame, at | ((event & SECOND_GRAM) << 1));
      }
    }
    if (rules !== undefined) this.#tryRules(frame, rules);
    if (runs > 0) {
      level.done.fill(0);
      for (let i = 0; i < runs; i += 2)
        this.#lookAtRun(frame, depth, (events[i] as number) >> 2, events[i + 1] as number, regions);
    }
    for (let i = 0; i + 1 < regions.length; i += 2)
      this.#clean(frame, depth, regions[i] as number, regions[i + 1] as number);
  }

  // Keywords

  #lookUp(frame: Frame, at: number): void {
    const { bytes } = frame;
    const gram = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16);
    const entries = this.#parts.index.lookup(gram);
    if (entries === undefined || this.#gaveUp) return;
    for (const entry of entries) {
      const { target } = entry;
      if (target.type === "known") this.#compareKnown(frame, at, entry.offset, target);
      else {
        const start = at - entry.offset;
        if (start >= 0 && stands(entry.bytes, entry.ignoreCase, bytes, start, frame.length))
          this.#tryAround(frame, target, entry.bytes, start);
      }
    }
  }

  #tryAround(frame: Frame, target: ProbeTarget, bytes: Uint8Array, keyword: number): void {
    const { probe } = target;
    if (probe.pass !== this.#pass) {
      probe.pass = this.#pass;
      probe.until = 0;
    }
    target.offsets ??= keywordOffsets(probe, bytes);
    for (const offset of target.offsets) {
      const at = keyword - offset;
      if (at < probe.until || !mayBegin(probe, frame.bytes, at, frame.length)) continue;
      const match = this.#match(frame, probe, at);
      if (match === undefined || match.end <= keyword) continue;
      probe.until = match.end;
      this.#reportMatch(frame, probe, match);
      return;
    }
  }

  #match(frame: Frame, probe: Probe, at: number): Match | undefined {
    if (this.#gaveUp) return undefined;
    const match = matchAt(probe, frame.text, at, this.#rejected);
    if (this.#rejected.size > this.#mostRejected) this.#giveUp("too-many-near-misses");
    return match;
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
    this.#report(secret.kind, secret.name, { start: at - begin, end: at + end }, value);
  }

  // Runs that are looked for in themselves

  #lookAtRun(frame: Frame, depth: number, word: number, classes: number, regions: readonly number[]): void {
    if ((classes & SEARCHED_RUNS) !== 0)
      for (const { of, min, probe } of this.#parts.runs)
        if ((classes & of) !== 0) this.#tryRun(frame, word, of, min, probe);
    if ((classes & WORDS) !== 0)
      for (const { list, probe } of this.#parts.words) this.#tryWords(frame, word, list, probe);
    if (depth >= UNPACKINGS) return;
    if ((classes & (BASE64_ASCII | BASE64_UTF8)) !== 0) {
      const phases = (classes | (classes >> 4)) & BASE64_ASCII;
      for (let phase = 0; phase < 4; phase++)
        if ((phases & (1 << phase)) !== 0) this.#unpackBase64(frame, depth, word, phase, classes, regions);
    }
    if ((classes & (HEX_ASCII | HEX)) !== 0) this.#unpackHex(frame, depth, word, classes, regions);
    if ((classes & BASE32_UPPER) !== 0) this.#unpackBase32(frame, depth, word, BASE32_UPPER, regions);
    if ((classes & BASE32_LOWER) !== 0) this.#unpackBase32(frame, depth, word, BASE32_LOWER, regions);
    if ((classes & SPACED) !== 0) this.#squeeze(frame, depth, word, SPACED, regions);
    if ((classes & HEX_SEPARATED) !== 0) this.#squeeze(frame, depth, word, HEX_SEPARATED, regions);
  }

  #tryRun(frame: Frame, word: number, of: number, min: number, probe: Probe): void {
    if (probe.pass !== this.#pass) {
      probe.pass = this.#pass;
      probe.until = 0;
    }
    if (word * 4 < probe.until) return;
    // An unbroken run is a value or it is not: only its beginning is tried.
    const unbroken = of === ALPHANUMERICS;
    const { start, end } = runAround(frame, word, of, unbroken ? probe.shape.max : Number.POSITIVE_INFINITY);
    if (end <= probe.until || end - start < min) return;
    const from = Math.max(start, probe.until);
    probe.until = end;
    const { bytes, length } = frame;
    const before = unbroken ? NOWHERE : probe.shape.before;
    for (let at = from; at < end; at++) {
      if (before !== undefined && at > start && before[bytes[at - 1] as number] === 0) {
        if (unbroken) return;
        continue;
      }
      if (!mayBegin(probe, bytes, at, length)) continue;
      const match = this.#match(frame, probe, at);
      if (match === undefined) continue;
      this.#reportMatch(frame, probe, match);
      at = match.end - 1;
    }
  }

  #tryWords(frame: Frame, word: number, list: WordList, probe: Probe): void {
    if (probe.pass !== this.#pass) {
      probe.pass = this.#pass;
      probe.until = 0;
    }
    if (word * 4 < probe.until) return;
    const { start, end } = runAround(frame, word, WORDS);
    probe.until = end;
    if (end - start < list.shortest) return;
    for (const phrase of list.find(frame.bytes, start, end))
      this.#report(probe.kind, probe.detector.id, phrase, Buffer.from(phrase.text));
  }

  // What is packed

  #unpackBase64(
    frame: Frame,
    depth: number,
    word: number,
    phase: number,
    classes: number,
    regions: readonly number[],
  ): void {
    const { done } = this.#level(depth);
    const half = frame === this.#level(depth).squeezed ? 16 : 0;
    const slot = half + phase;
    const covered = half + 10;
    if (word * 4 < (done[slot] as number)) return;
    const alive = (1 << phase) | (0x10 << phase);
    const { bytes, words, length } = frame;
    const isCovered = word * 4 < (done[covered] as number);
    // Inside what is text at one phase, most of what looks like text at another is chance, and short.
    if (isCovered && !isAlive(words[word + 1] as number, alive) && !isAlive(words[word - 3] as number, alive))
      return;
    const earliest = (done[slot] as number) >> 2;
    let low = word;
    while (low > earliest && isAlive(words[low - 1] as number, alive)) low--;
    let high = word + 1;
    while (high * 4 < length && isAlive(words[high] as number, alive)) high++;
    if (isCovered && high - low < ((classes & (1 << phase)) === 0 ? LONG_COVER : 4)) return;
    // Some quads more on either side: a value may begin or end in a quad that is not text as a whole.
    let from = low * 4 + phase;
    for (let i = 0; i < 3 && from >= 4 && isBase64Quad(bytes, from - 4); i++) from -= 4;
    let to = from;
    const until = Math.min(length, high * 4 + 12);
    while (to < until && (BASE64_VALUE[bytes[to] as number] as number) < 64) to++;
    done[slot] = to;
    if (isHexOnly(bytes, from, to)) return;
    // What this phase makes readable is read: chance at another is not looked for there.
    if (this.#unpack("base64", frame, depth, from, to, regions) && high - low > LONG_COVER)
      done[covered] = Math.max(done[covered] as number, high * 4);
  }

  #unpackHex(frame: Frame, depth: number, word: number, classes: number, regions: readonly number[]): void {
    const level = this.#level(depth);
    const { done } = level;
    const slot = (frame === level.squeezed ? 16 : 0) + 4;
    // A long run may hold disguised letters: those are not ASCII at either phase.
    const even = (classes & (0x100 | HEX)) !== 0 && word * 4 >= (done[slot] as number);
    const odd = (classes & (0x200 | HEX)) !== 0 && word * 4 >= (done[slot + 1] as number);
    if (!even && !odd) return;
    const { start, end } = runAround(frame, word, HEX);
    if ((classes & HEX_ASCII) === 0 && end - start < DISGUISED_IN_HEX) return;
    if (even) {
      done[slot] = end;
      this.#unpack("hex", frame, depth, start + (start & 1), end, regions);
    }
    if (odd) {
      done[slot + 1] = end;
      this.#unpack("hex", frame, depth, start + ((start ^ 1) & 1), end, regions);
    }
  }

  #unpackBase32(
    frame: Frame,
    depth: number,
    word: number,
    alphabet: number,
    regions: readonly number[],
  ): void {
    const level = this.#level(depth);
    const { done } = level;
    const slot = (frame === level.squeezed ? 16 : 0) + (alphabet === BASE32_UPPER ? 6 : 7);
    if (word * 4 < (done[slot] as number)) return;
    const { start, end } = runAround(frame, word, alphabet);
    done[slot] = end;
    // Lower-case prose without its spaces is base32 from beginning to end.
    if (frame !== level.squeezed) this.#unpack("base32", frame, depth, start, end, regions);
    // Behind junk it begins elsewhere: wherever 16 digits and more can be text.
    let alive = 0;
    let since = start;
    for (let at = start; at + 8 <= end; at += 8) {
      const phases = base32AsciiPhases(frame.bytes, at);
      const still = at === start ? phases : alive & phases;
      if (still === 0 && alive !== 0)
        this.#unpackBase32Phases(frame, depth, alive, since, at, start, end, regions);
      if (still === 0) since = at;
      alive = still === 0 ? phases : still;
    }
    this.#unpackBase32Phases(frame, depth, alive, since, end, start, end, regions);
  }

  #unpackBase32Phases(
    frame: Frame,
    depth: number,
    phases: number,
    since: number,
    until: number,
    start: number,
    end: number,
    regions: readonly number[],
  ): void {
    if (until - since < 16) return;
    for (let phase = 0; phase < 8; phase++) {
      if ((phases & (1 << phase)) === 0) continue;
      const from = Math.max(since - 8, start);
      this.#unpack("base32", frame, depth, from + ((phase - from) & 7), Math.min(until + 8, end), regions);
    }
  }

  #squeeze(frame: Frame, depth: number, word: number, of: number, regions: readonly number[]): void {
    const level = this.#level(depth);
    if (frame === level.squeezed) return;
    const { done } = level;
    const hex = of === HEX_SEPARATED;
    const slot = hex ? 8 : 9;
    if (word * 4 < (done[slot] as number)) return;
    const { start, end } = runAround(frame, word, of);
    done[slot] = end;
    if (!hex && !isMixed(frame.bytes, start, end)) return;
    if (isDeferred(regions, start, end) || !this.#afford(end - start)) return;
    const out = level.squeezed.reserve(end - start);
    const count = squeeze(frame.bytes, start, end, out, hex);
    if (count === end - start || count < 16) return;
    level.squeezed.commit(count);
    this.#path.push({ kind: "squeeze", parent: frame, from: start, to: end, hex });
    const { squeezed } = level;
    const wanted = hex
      ? HEX | HEX_ASCII
      : BASE64_ASCII | BASE64_UTF8 | BASE32_LOWER | BASE32_UPPER | HEX_ASCII;
    sweep(squeezed, NO_GRAMS);
    done.fill(0, 16, 32);
    const { events, eventCount } = squeezed;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      if ((event & 3) !== RUN) continue;
      this.#lookAtRun(squeezed, depth, event >> 2, (events[++i] as number) & wanted, NO_REGIONS);
    }
    this.#path.pop();
  }

  /** True when what came out can be read from beginning to end. */
  #unpack(
    packing: Packing,
    frame: Frame,
    depth: number,
    from: number,
    to: number,
    regions: readonly number[],
  ): boolean {
    if (isDeferred(regions, from, to)) return false;
    // Zeros, rulers and DNA are digits too, at every phase: a value begins at the end of such a stretch at most.
    while (to - from >= MONOTONOUS && isMonotonous(frame.bytes, from)) from += MONOTONOUS - MARGIN;
    while (to - from >= MONOTONOUS && isMonotonous(frame.bytes, to - MONOTONOUS)) to -= MONOTONOUS - MARGIN;
    if (to - from < SMALLEST_UNPACKED || !this.#afford((to - from) >> 2)) return false;
    const { raw } = this.#level(depth + 1);
    const length = unpack(packing, frame.bytes, from, to, raw.reserve(to - from));
    if (!holdsText(raw.bytes, length) || !this.#afford(length)) return false;
    const readable = isReadable(raw.bytes, length);
    raw.commit(length);
    this.#path.push({ kind: packing, parent: frame, from, to });
    this.#scanFrame(raw, depth + 1, false);
    this.#path.pop();
    return readable;
  }

  // Disguises

  /**
   * If an escape or a disguised letter begins in the word at `from`: adds its neighbourhood to `regions` (begin and
   * end in turn). Returns from where on it is worth looking for the next one.
   */
  #noteDisguise(frame: Frame, from: number, regions: number[]): number {
    const { bytes, length } = frame;
    for (let at = from; at < from + 4 && at < length; at++) {
      if (BEGINNINGS[bytes[at] as number] === 0 || !beginsDisguise(bytes, at, length)) continue;
      const last = regions.length > 0 ? (regions[regions.length - 1] as number) : -1;
      // It ends where no text goes on, or every binary file would be cleaned whole.
      const begin = at <= last ? last : textReach(bytes, at, Math.max(0, last, at - NEIGHBOURHOOD));
      const end = textReach(bytes, at + 1, Math.min(length, at + NEIGHBOURHOOD + NOT_AGAIN));
      if (begin <= last) regions[regions.length - 1] = Math.max(last, end);
      else if (end - begin >= SMALLEST_UNPACKED) regions.push(begin, end);
      return Math.min(at + NOT_AGAIN, end);
    }
    return 0;
  }

  #clean(frame: Frame, depth: number, from: number, to: number, doublesDeeper = false): void {
    if (!this.#afford(to - from)) return;
    const { cleaned } = this.#level(depth);
    const out = cleaned.reserve(to - from);
    cleaned.commit(this.#cleaner.clean(frame.bytes, from, to, out, { doublesDeeper }));
    const { ambiguous } = this.#cleaner;
    this.#path.push({ kind: "text", parent: frame, from, to, doublesDeeper });
    this.#scanFrame(cleaned, depth, true);
    this.#path.pop();
    if (ambiguous && !doublesDeeper) this.#clean(frame, depth, from, to, true);
  }

  // Findings

  #tryRules(frame: Frame, rules: RuleSet): void {
    for (const { id, start, end } of rules.find(frame.text))
      this.#report("rule", id, { start, end }, Buffer.from(frame.bytes.subarray(start, end)));
  }

  #reportMatch(frame: Frame, probe: Probe, { secretStart, secretEnd }: Match): void {
    const value = Buffer.from(frame.bytes.subarray(secretStart, secretEnd));
    this.#report(probe.kind, probe.detector.id, { start: secretStart, end: secretEnd }, value);
  }

  #report(kind: FindingKind, detector: string, span: Span, value: Buffer): void {
    if (this.#gaveUp) return;
    const { start, end } = locate(this.#path, span);
    if (this.#findings.length < MOST_FINDINGS)
      this.#findings.push({ kind, detector, start, end, through: decodings(this.#path), value });
    else this.#giveUp("too-many-secrets");
  }

  /** False when the text has used up the work it may cause; that is then itself a finding. */
  #afford(bytes: number): boolean {
    if (this.#gaveUp) return false;
    this.#work -= bytes;
    if (this.#work < 0) this.#giveUp("too-much-encoding");
    return this.#work >= 0;
  }

  /** What is not looked into is not passed over in silence: the whole text is one finding, and no more is done. */
  #giveUp(detector: string): void {
    if (this.#gaveUp) return;
    this.#gaveUp = true;
    const { length } = this.#level(0).raw;
    this.#findings.push({
      kind: "pattern",
      detector,
      start: 0,
      end: length,
      through: [],
      value: Buffer.from(detector),
    });
  }
}

const SEARCHED_RUNS = DIGITS | CAPITALS | ALPHANUMERICS;
const NOWHERE = new Uint8Array(256);
const NO_REGIONS: readonly number[] = [];
const NO_GRAMS = new Int32Array(GRAM_WORDS);

/** What is in the neighbourhood of an escape is read once, from the cleaned text. */
function isDeferred(regions: readonly number[], from: number, to: number): boolean {
  if (regions.length === 0) return false;
  let low = 0;
  let high = regions.length >> 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((regions[middle * 2 + 1] as number) < to) low = middle + 1;
    else high = middle;
  }
  return low * 2 < regions.length && (regions[low * 2] as number) <= from;
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

/** The run of a class of bytes that the word is part of: as a whole, or its first `most` bytes and one more. */
function runAround(frame: Frame, word: number, of: number, most = Number.POSITIVE_INFINITY): Span {
  const { bytes, length } = frame;
  let start = word * 4;
  while (start > 0 && ((BYTE_CLASSES[bytes[start - 1] as number] as number) & of) !== 0) start--;
  let end = Math.min(length, word * 4);
  const limit = Math.min(length, start + most + 1);
  while (end < limit && ((BYTE_CLASSES[bytes[end] as number] as number) & of) !== 0) end++;
  return { start, end };
}

/** Whether the MONOTONOUS bytes from `at` on are of FEW_KINDS; letters, digits and marks count modulo 64. */
function isMonotonous(bytes: Uint8Array, at: number): boolean {
  let low = 0;
  let high = 0;
  let kinds = 0;
  for (let i = at; i < at + MONOTONOUS; i++) {
    const byte = bytes[i] as number;
    const bit = 1 << (byte & 31);
    const seen = (byte & 32) === 0 ? low : high;
    if ((seen & bit) !== 0) continue;
    if (++kinds > FEW_KINDS) return false;
    if ((byte & 32) === 0) low |= bit;
    else high |= bit;
  }
  return true;
}

function isAlive(word: number, classes: number): boolean {
  const { first, second } = WORD_TABLES;
  return ((first[word & 0xffff] as number) & (second[word >>> 16] as number) & classes) !== 0;
}

/**
 * Whether four capitals or digits stand within 24 bytes: base64 and base32 of anything have them in every 16 digits,
 * sentences hardly ever.
 */
function isMixed(bytes: Uint8Array, start: number, end: number): boolean {
  let fourth = -24;
  let third = -24;
  let second = -24;
  let last = -24;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number;
    if (byte < 0x30 || byte > 0x5a || (byte > 0x39 && byte < 0x41)) continue;
    fourth = third;
    third = second;
    second = last;
    last = at;
    if (fourth >= start && at - fourth < 24) return true;
  }
  return false;
}

/** Such a run is hex, and no base64 of anything. */
function isHexOnly(bytes: Uint8Array, from: number, to: number): boolean {
  let at = from;
  while (at < to && ((BYTE_CLASSES[bytes[at] as number] as number) & HEX) !== 0) at++;
  return at === to;
}

function isBase64Quad(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 4; i++) if ((BASE64_VALUE[bytes[i] as number] as number) > 63) return false;
  return true;
}

/** The byte classes a detector's run can be of. */
export const RUN_CLASSES = { digits: DIGITS, capitals: CAPITALS, alphanumerics: ALPHANUMERICS } as const;
