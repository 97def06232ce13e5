/**
 * The loops over every byte. They decide nothing: they note where three bytes of a keyword may stand, where a run of
 * some class of bytes has become long enough to be looked at, and where bytes stand that could be a disguise.
 *
 * A long text is read in strips, a call each: a loop that runs for milliseconds is compiled while it runs, and such
 * code is thrown away at the loop's end, again and again.
 */
import {
  ALPHANUMERICS,
  BASE32_LOWER,
  BASE32_UPPER,
  BASE64,
  BASE64_ASCII,
  BASE64_UTF8,
  CAPITALS,
  DIGITS,
  HEX,
  HEX_ASCII,
  HEX_SEPARATED,
  PLAIN,
  SPACED,
  WORD_TABLES,
} from "./byte-classes.ts";
import type { Frame } from "./frame.ts";

/** In each run of 11 bytes there are two whole words: the shortest card has 13 digits. */
const AFTER_TWO_WORDS = DIGITS;
/** 15 digits of base64 are 11 bytes: noise of base64 seldom reads as text for so long. */
const AFTER_THREE_WORDS = BASE64_ASCII | CAPITALS;
const AFTER_FOUR_WORDS = HEX_ASCII | BASE32_UPPER | BASE32_LOWER;
/** In each run of 31 bytes there are six whole words, the last of them odd. */
const AFTER_SIX_WORDS = BASE64 | BASE64_UTF8 | HEX | ALPHANUMERICS | SPACED | HEX_SEPARATED;

/**
 * The kinds of events, in the two lowest bits below the index of the word. MARK: a byte that is not PLAIN. RUN: a run
 * has become long enough; the next entry says of which classes.
 */
export const MARK = 2;
export const RUN = 3;

/** Words a strip. */
const STRIP = 1024;

/** What one strip hands to the next: the classes of the last words' runs, and how much was noted. */
interface Carried {
  run1: number;
  run2: number;
  run3: number;
  wide: number;
  old: number;
  last: number;
}

/** Of the sweep that is under way: texts are many and small, and nothing is made for each. */
const carried: Carried = { run1: 0, run2: 0, run3: 0, wide: 0, old: 0, last: 0 };

function begin(frame: Frame): number {
  carried.run1 = 0;
  carried.run2 = 0;
  carried.run3 = 0;
  carried.wide = 0;
  carried.old = 0;
  carried.last = 0;
  frame.eventCount = 0;
  frame.hitCount = 0;
  return (frame.length + 3) >> 2;
}

/** Fills the frame's events and hits. */
export function sweep(frame: Frame, gramBits: Int32Array): void {
  const count = begin(frame);
  for (let from = 0; from < count; from += STRIP) {
    const to = Math.min(count, from + STRIP);
    noteRuns(frame, from, to);
    noteGrams(frame, from, to, gramBits);
  }
}

/** The same for a text in which no keyword is looked for. */
export function sweepRuns(frame: Frame): void {
  const count = begin(frame);
  for (let from = 0; from < count; from += STRIP) noteRuns(frame, from, Math.min(count, from + STRIP));
}

/** Few names and no options: all that the loop uses must fit the processor's registers. */
function noteRuns(frame: Frame, from: number, to: number): void {
  const { words, events } = frame;
  const { first, second } = WORD_TABLES;
  let noted = frame.eventCount;
  let { run1, run2, run3, wide, old, last } = carried;
  for (let i = from; i < to; i++) {
    const word = words[i] as number;
    const here = (first[word & 0xffff] as number) & (second[word >>> 16] as number);
    const run4 = here & run3;
    run3 = here & run2;
    run2 = here & run1;
    run1 = here;
    if ((i & 1) === 1) {
      wide = run4 & old & AFTER_SIX_WORDS;
      // Nothing to squeeze out where nothing stands between the digits.
      wide &= ~(((wide & BASE64) >> 2) | ((wide & HEX) << 8) | BASE64);
      old = run4;
    }
    const long = (run2 & AFTER_TWO_WORDS) | (run3 & AFTER_THREE_WORDS) | (run4 & AFTER_FOUR_WORDS) | wide;
    if ((long & ~last) !== 0) {
      events[noted++] = (i << 2) | RUN;
      events[noted++] = long & ~last;
    }
    last = long;
    if ((here & PLAIN) === 0) events[noted++] = (i << 2) | MARK;
  }
  frame.eventCount = noted;
  carried.run1 = run1;
  carried.run2 = run2;
  carried.run3 = run3;
  carried.wide = wide;
  carried.old = old;
  carried.last = last;
}

/** Three bytes are read at each even offset. */
function noteGrams(frame: Frame, from: number, to: number, gramBits: Int32Array): void {
  const { words, hits } = frame;
  let noted = frame.hitCount;
  let word = words[from] as number;
  for (let i = from; i < to; i++) {
    const next = words[i + 1] as number;
    let gram = Math.imul(word & 0xffffff, GRAM_MULTIPLIER) >>> GRAM_SHIFT;
    if (((gramBits[gram >>> 5] as number) & (1 << gram)) !== 0) hits[noted++] = i << 2;
    gram = Math.imul((word >>> 16) | ((next & 0xff) << 16), GRAM_MULTIPLIER) >>> GRAM_SHIFT;
    if (((gramBits[gram >>> 5] as number) & (1 << gram)) !== 0) hits[noted++] = (i << 2) | 2;
    word = next;
  }
  frame.hitCount = noted;
}

/** Fibonacci hashing: three bytes to 17 bits, a table of 16 KB that stays in the fastest cache. */
const GRAM_MULTIPLIER = 0x9e3779b1 | 0;
const GRAM_SHIFT = 15;
export const GRAM_WORDS = 1 << (32 - GRAM_SHIFT - 5);

/** Marks three bytes (little-endian) in a table of GRAM_WORDS for the sweep. */
export function addGram(bits: Int32Array, gram: number): void {
  const hash = Math.imul(gram, GRAM_MULTIPLIER) >>> GRAM_SHIFT;
  bits[hash >>> 5] = (bits[hash >>> 5] ?? 0) | (1 << hash);
}
