/**
 * The one loop over every byte. It decides nothing: it notes where three bytes of a keyword stand, where a run of
 * some class of bytes has become long enough to be looked at, and where bytes stand that could be a disguise.
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
  WORDS,
} from "./byte-classes.ts";
import type { Frame } from "./frame.ts";

/** In each run of 11 bytes there are two whole words: the shortest card has 13 digits. */
const AFTER_TWO_WORDS = DIGITS;
/** 15 digits of base64 are 11 bytes: noise of base64 fires once in 512 words a phase, which is cheap enough. */
const AFTER_THREE_WORDS = BASE64_ASCII | CAPITALS;
const AFTER_FOUR_WORDS = HEX_ASCII | BASE32_UPPER | BASE32_LOWER;
/** In each run of 31 bytes there are six whole words, the last of them odd. */
const AFTER_SIX_WORDS = BASE64 | BASE64_UTF8 | HEX | ALPHANUMERICS | WORDS | SPACED | HEX_SEPARATED;

/**
 * The kinds of events, in the two lowest bits below the index of the word. 0 and SECOND_GRAM: three bytes of a
 * keyword begin at the word's first or third byte. MARK: a byte that is not PLAIN. RUN: a run has become long
 * enough; the next entry says of which classes.
 */
export const SECOND_GRAM = 1;
export const MARK = 2;
export const RUN = 3;

/** Fills the frame's events. Few names and no options: all that the loop uses must fit the processor's registers. */
export function sweep(frame: Frame, gramBits: Int32Array): void {
  const { words, events } = frame;
  const { first, second } = WORD_TABLES;
  const count = (frame.length + 3) >> 2;
  let noted = 0;
  let run1 = 0;
  let run2 = 0;
  let run3 = 0;
  let wide = 0;
  let old = 0;
  let last = 0;
  let word = words[0] as number;
  for (let i = 0; i < count; i++) {
    const next = words[i + 1] as number;
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
    let gram = Math.imul(word & 0xffffff, GRAM_MULTIPLIER) >>> GRAM_SHIFT;
    if (((gramBits[gram >>> 5] as number) & (1 << gram)) !== 0) events[noted++] = i << 2;
    gram = Math.imul((word >>> 16) | ((next & 0xff) << 16), GRAM_MULTIPLIER) >>> GRAM_SHIFT;
    if (((gramBits[gram >>> 5] as number) & (1 << gram)) !== 0) events[noted++] = (i << 2) | SECOND_GRAM;
    word = next;
  }
  frame.eventCount = noted;
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
