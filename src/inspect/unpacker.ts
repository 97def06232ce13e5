/**
 * Decides which stretches of base64, base32 and hex are unpacked. Each byte goes into at most one unpacking of a kind a
 * level: what can be text at one phase of base64 hardly ever can at another, and where it can, both are read.
 */
import {
  BASE32_LOWER,
  BASE32_UPPER,
  BASE64,
  BASE64_ASCII,
  BASE64_UTF8,
  BASE64_VALUE,
  BYTE_CLASSES,
  HEX,
  HEX_ASCII,
  HEX_SEPARATED,
  PHRASE,
  SPACED,
  WORD_TABLES,
} from "./byte-classes.ts";
import { NO_REGIONS, type Regions } from "./disguise-regions.ts";
import { RUN } from "./events.ts";
import type { Frame } from "./frame.ts";
import { BEGINNING, type Ledger } from "./ledger.ts";
import { holdsText, isReadable } from "./plausible-text.ts";
import { squeeze } from "./squeeze.ts";
import {
  isAlive,
  isBase64Quad,
  isHexOnly,
  isMixed,
  isMonotonous,
  MONOTONOUS,
  stretchEnd,
  stretchEndByWords,
  stretchStart,
} from "./stretch.ts";
import { sweepRuns } from "./sweep.ts";
import { base32AsciiPhases, mayBeHexOfText, type Packing, unpack } from "./unpack.ts";

/** Digits of hex in which letters in disguise can be told from chance: identifiers are shorter. */
const DISGUISED_IN_HEX = 48;
/** Words of base64: what is readable for so long is no chance. */
const LONG_COVER = 16;
/** Fewer bytes hold no value that is looked for. */
export const SMALLEST_UNPACKED = 6;
/** What is separated is noticed in its sixth whole word: so many bytes before that it goes on. */
const NOTICED_AFTER = 20;
/** So many digits of hex are noticed whatever stands between them. */
const NOTICED_HEX = 32;
/** Of what is SPACED, all but what separates digits of base64 and not of hex: a backslash, with the letter behind it, and padding. */
const SPACED_LIKE_HEX = BASE64 | PHRASE;
/** Words of base64 that are looked at in one go. */
const STRIP = 512;
/** `AAAA`: three bytes of zero. */
const ZEROS = 0x41414141;
/** Of a monotonous stretch, so many digits are kept beside what follows. */
const MARGIN = 16;

/** Up to where each packing was unpacked: the base64 phases, what of them was readable, hex, base32, squeezed. */
const COVERED = 4;
const EVEN_HEX = 5;
const ODD_HEX = 6;
const UPPER_32 = 7;
const LOWER_32 = 8;
const SQUEEZED_64 = 9;
const SQUEEZED_HEX = 10;
/** Up to where base64 was told from base64 of text. */
const WALKED = 11;
const SLOTS = 12;

export interface UnpackerFrames {
  /** For digits without what stood between them. */
  readonly squeezed: Frame;
  /** For what came out: the next depth's text. */
  readonly inner: Frame;
}

/** What is unpacked at one depth. */
export class Unpacker {
  readonly #ledger: Ledger;
  /** What came out: the next depth's text. */
  readonly #inner: Frame;
  readonly #scanInner: () => void;
  readonly #squeezed: Frame;
  /** Of the walk through base64 that is under way: what the last words were part of, and what was seen to begin. */
  readonly #runs = new Int32Array(6);
  readonly #done = new Int32Array(SLOTS);
  readonly #doneSqueezed = new Int32Array(SLOTS);
  #regions: Regions = NO_REGIONS;
  /** Runs of hex of more digits are read elsewhere. */
  #longestHex = Number.POSITIVE_INFINITY;

  constructor(ledger: Ledger, { squeezed, inner }: UnpackerFrames, scanInner: () => void) {
    this.#ledger = ledger;
    this.#squeezed = squeezed;
    this.#inner = inner;
    this.#scanInner = scanInner;
  }

  /** `frame` was swept; what lies in its regions is unpacked from there. */
  unpackAll(frame: Frame, regions: Regions): void {
    this.#regions = regions;
    clear(this.#done);
    const { events, eventCount } = frame;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      if ((event & 3) === RUN) this.#lookAt(frame, event & ~3, events[++i] as number, this.#done);
    }
  }

  #lookAt(frame: Frame, at: number, classes: number, done: Int32Array): void {
    if ((classes & SPACED) !== 0) this.#squeeze(frame, at, SPACED);
    if ((classes & HEX_SEPARATED) !== 0) this.#squeeze(frame, at, HEX_SEPARATED);
    if ((classes & (BASE64_ASCII | BASE64)) !== 0) this.#walkBase64(frame, at, done);
    if ((classes & (HEX_ASCII | HEX)) !== 0) this.#hex(frame, at, classes, done);
    if ((classes & BASE32_UPPER) !== 0) this.#base32(frame, at, BASE32_UPPER, done);
    if ((classes & BASE32_LOWER) !== 0) this.#base32(frame, at, BASE32_LOWER, done);
  }

  /** The sweep saw base64 around `at`: where in all of that stretch, and at which phases, is it of text? */
  #walkBase64(frame: Frame, at: number, done: Int32Array): void {
    const walked = done[WALKED] as number;
    if (at < walked) return;
    const { words, length } = frame;
    let word = at >> 2;
    while (word * 4 > walked && isAlive(words[word - 1] as number, BASE64)) word--;
    clear(this.#runs);
    const count = (length + 3) >> 2;
    for (let until = 0; word >= until && word < count; ) {
      until = Math.min(count, word + STRIP);
      word = this.#walkStrip(frame, word, until, done);
    }
    done[WALKED] = word * 4;
  }

  /** Short strips: a loop that runs for milliseconds is compiled while it runs, and such code is thrown away again. */
  #walkStrip(frame: Frame, from: number, until: number, done: Int32Array): number {
    const { words } = frame;
    const { first, second } = WORD_TABLES;
    const runs = this.#runs;
    let run1 = runs[0] as number;
    let run2 = runs[1] as number;
    let run3 = runs[2] as number;
    let run4 = runs[3] as number;
    let run5 = runs[4] as number;
    let last = runs[5] as number;
    let word = from;
    for (; word < until; word++) {
      const value = words[word] as number;
      let here = (first[value & 0xffff] as number) & (second[value >>> 16] as number);
      if ((here & BASE64) === 0) break;
      if (value === ZEROS && isGap(words, word)) here = 0;
      const run6 = here & run5;
      run5 = here & run4;
      run4 = here & run3;
      run3 = here & run2;
      run2 = here & run1;
      run1 = here;
      const long = (run3 & BASE64_ASCII) | (run6 & BASE64_UTF8);
      const classes = long & ~last;
      last = long;
      if (classes !== 0) this.#base64Phases(frame, word * 4, classes, done);
    }
    runs[0] = run1;
    runs[1] = run2;
    runs[2] = run3;
    runs[3] = run4;
    runs[4] = run5;
    runs[5] = last;
    return word;
  }

  #base64Phases(frame: Frame, at: number, classes: number, done: Int32Array): void {
    const phases = (classes | (classes >> 4)) & BASE64_ASCII;
    for (let phase = 0; phase < 4; phase++)
      if ((phases & (1 << phase)) !== 0) this.#base64(frame, at, phase, classes, done);
  }

  #base64(frame: Frame, at: number, phase: number, classes: number, done: Int32Array): void {
    const before = done[phase] as number;
    if (at < before) return;
    const alive = (1 << phase) | (0x10 << phase);
    const { bytes, words, length } = frame;
    const word = at >> 2;
    const isCovered = at < (done[COVERED] as number);
    // Inside what is text at one phase, most of what looks like text at another is chance, and short.
    if (isCovered && !isAlive(words[word + 1] as number, alive) && !isAlive(words[word - 3] as number, alive))
      return;
    const earliest = before >> 2;
    let low = word;
    while (low > earliest && isAlive(words[low - 1] as number, alive) && !isGap(words, low - 1)) low--;
    let high = word + 1;
    while (high * 4 < length && isAlive(words[high] as number, alive) && !isGap(words, high)) high++;
    if (isCovered && high - low < ((classes & (1 << phase)) === 0 ? LONG_COVER : 4)) return;
    // Some quads more on either side: a value may begin or end in a quad that is not text as a whole.
    let from = low * 4 + phase;
    for (let i = 0; i < 3 && from >= 4 && isBase64Quad(bytes, from - 4); i++) from -= 4;
    let to = Math.max(from, high * 4 - 4);
    const until = Math.min(length, high * 4 + 12);
    while (to < until && (BASE64_VALUE[bytes[to] as number] as number) < 64) to++;
    done[phase] = to;
    if (isHexOnly(bytes, from, to)) return;
    // What this phase makes readable is read: chance at another is not looked for there.
    if (this.#unpack("base64", frame, from, to) && high - low > LONG_COVER && this.#isInnerReadable())
      done[COVERED] = Math.max(done[COVERED] as number, high * 4);
  }

  #hex(frame: Frame, at: number, classes: number, done: Int32Array): void {
    // A long run may hold disguised letters: those are not ASCII at either phase.
    const even = (classes & (0x100 | HEX)) !== 0 && at >= (done[EVEN_HEX] as number);
    const odd = (classes & (0x200 | HEX)) !== 0 && at >= (done[ODD_HEX] as number);
    if (!even && !odd) return;
    const start = stretchStart(frame.bytes, at, HEX);
    const end = stretchEndByWords(frame, at, HEX);
    if (end - start > this.#longestHex) {
      done.fill(end, EVEN_HEX, ODD_HEX + 1);
      return;
    }
    if ((classes & HEX_ASCII) === 0 && end - start < DISGUISED_IN_HEX) return;
    let hasCome = false;
    if (even) {
      done[EVEN_HEX] = end;
      hasCome = this.#unpack("hex", frame, start + (start & 1), end);
    }
    // What is readable at even places is not looked at for chance at odd ones: that must look like text for itself.
    if (odd && !(hasCome && (classes & 0x200) === 0 && this.#isInnerReadable())) {
      done[ODD_HEX] = end;
      this.#unpack("hex", frame, start + ((start ^ 1) & 1), end);
    }
  }

  #base32(frame: Frame, at: number, alphabet: number, done: Int32Array): void {
    const slot = alphabet === BASE32_UPPER ? UPPER_32 : LOWER_32;
    if (at < (done[slot] as number)) return;
    const start = stretchStart(frame.bytes, at, alphabet);
    const end = stretchEndByWords(frame, at, alphabet);
    done[slot] = end;
    // Base32 of text has other letters than hex: the first of each group stands for the upper half of a byte.
    if (isHexOnly(frame.bytes, start, end)) return;
    // Lower-case prose without its spaces is base32 from beginning to end.
    if (frame !== this.#squeezed) this.#unpack("base32", frame, start, end);
    // Behind junk it begins elsewhere: wherever 16 digits and more can be text.
    let alive = 0;
    let since = start;
    for (let group = start; group + 8 <= end; group += 8) {
      const phases = base32AsciiPhases(frame.bytes, group);
      const still = group === start ? phases : alive & phases;
      if (still === 0 && alive !== 0) this.#base32Phases(frame, alive, since, group, start, end);
      if (still === 0) since = group;
      alive = still === 0 ? phases : still;
    }
    this.#base32Phases(frame, alive, since, end, start, end);
  }

  #base32Phases(
    frame: Frame,
    phases: number,
    since: number,
    until: number,
    start: number,
    end: number,
  ): void {
    if (until - since < 16) return;
    for (let phase = 0; phase < 8; phase++) {
      if ((phases & (1 << phase)) === 0) continue;
      const from = Math.max(since - 8, start);
      this.#unpack("base32", frame, from + ((phase - from) & 7), Math.min(until + 8, end));
    }
  }

  #squeeze(frame: Frame, at: number, of: number): void {
    const hex = of === HEX_SEPARATED;
    const slot = hex ? SQUEEZED_HEX : SQUEEZED_64;
    if (at < (this.#done[slot] as number)) return;
    const { bytes } = frame;
    const digits = hex ? HEX : BASE64;
    let start = stretchStart(bytes, at - NOTICED_AFTER, of);
    let end = stretchEndByWords(frame, at, of);
    this.#done[slot] = end;
    // Line ends and padding around an unbroken stretch separate nothing.
    while (start < end && ((BYTE_CLASSES[bytes[start] as number] as number) & digits) === 0) start++;
    while (start < end && ((BYTE_CLASSES[bytes[end - 1] as number] as number) & digits) === 0) end--;
    if (!hex && !isMixed(frame, start, end)) return;
    if (this.#regions.covers(start, end) || !this.#ledger.afford(BEGINNING.look + end - start)) return;
    const count = squeeze(frame, start, end, this.#squeezed, hex);
    if (count === end - start || count < 16) return;
    const isPlainHex = hex && count < DISGUISED_IN_HEX;
    if (isPlainHex && !mayBeHexOfText(this.#squeezed.bytes, count)) return;
    this.#squeezed.commit(count);
    // What is read without its separators is not read with them.
    if (hex) this.#done.fill(end, EVEN_HEX, ODD_HEX + 1);
    else {
      this.#done.fill(end, 0, COVERED);
      this.#done[WALKED] = end;
    }
    // What only white space separates is noticed as separated hex too, and read as that.
    const isReadTwice = !hex && stretchEnd(bytes, start, end, SPACED_LIKE_HEX) === end;
    this.#longestHex = isReadTwice ? NOTICED_HEX : Number.POSITIVE_INFINITY;
    this.#unpackSqueezed(frame, start, end, hex);
    this.#longestHex = Number.POSITIVE_INFINITY;
  }

  #unpackSqueezed(frame: Frame, from: number, to: number, hex: boolean): void {
    const squeezed = this.#squeezed;
    const regions = this.#regions;
    const wanted = hex ? HEX | HEX_ASCII : BASE64_ASCII | BASE64 | BASE32_LOWER | BASE32_UPPER | HEX_ASCII;
    this.#ledger.path.push({ kind: "squeeze", parent: frame, from, to, hex });
    this.#regions = NO_REGIONS;
    clear(this.#doneSqueezed);
    sweepRuns(squeezed);
    const { events, eventCount } = squeezed;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      if ((event & 3) !== RUN) continue;
      this.#lookAt(squeezed, event & ~3, (events[++i] as number) & wanted, this.#doneSqueezed);
    }
    this.#regions = regions;
    this.#ledger.path.pop();
  }

  /** Whether what came out last can be read from beginning to end. */
  #isInnerReadable(): boolean {
    return isReadable(this.#inner.bytes, this.#inner.length);
  }

  /** True when what came out may be text, and was looked into. */
  #unpack(packing: Packing, frame: Frame, begin: number, end: number): boolean {
    let from = begin;
    let to = end;
    if (this.#regions.covers(from, to)) return false;
    // Zeros, rulers and DNA are digits too, at every phase: a value begins at the end of such a stretch at most.
    while (to - from >= MONOTONOUS && isMonotonous(frame.bytes, from)) from += MONOTONOUS - MARGIN;
    while (to - from >= MONOTONOUS && isMonotonous(frame.bytes, to - MONOTONOUS)) to -= MONOTONOUS - MARGIN;
    const ledger = this.#ledger;
    if (to - from < SMALLEST_UNPACKED || !ledger.afford(BEGINNING.look + ((to - from) >> 2))) return false;
    const inner = this.#inner;
    const length = unpack(packing, frame, from, to, inner);
    if (!holdsText(inner, length) || !ledger.afford(BEGINNING.text + length)) return false;
    inner.commit(length);
    ledger.path.push({ kind: packing, parent: frame, from, to });
    this.#scanInner();
    ledger.path.pop();
    return true;
  }
}

/** A call of fill() costs more than so few numbers are worth, and there may be one for each of a text's shortest words. */
function clear(numbers: Int32Array): void {
  for (let i = 0; i < numbers.length; i++) numbers[i] = 0;
}

/**
 * Whether this word of base64 and the one before it are more zeros than stand between the letters of any text: tables of
 * binary files are full of them, at every phase.
 */
function isGap(words: Int32Array, word: number): boolean {
  return words[word] === ZEROS && words[word - 1] === ZEROS;
}
