/**
 * The pass over every byte. It decides nothing: it notes where three bytes of a keyword may stand, where a run of
 * some class of bytes has become long enough to be looked at, and where bytes stand that could be a disguise.
 *
 * This is what the pass does, in plain words; simd/ has the same for the processor's wide registers, several times as fast.
 * It runs where those cannot be had, and says in the tests what the other must note.
 */
import {
  ALPHANUMERICS,
  BASE32_LOWER,
  BASE32_UPPER,
  BASE64,
  BASE64_ASCII,
  CAPITALS,
  DIGITS,
  HEX,
  HEX_ASCII,
  HEX_SEPARATED,
  LOUD,
  PHRASE,
  PLACE_CLASSES,
  PLAIN,
  SMALL,
  SPACED,
} from "./byte-classes.ts";
import { mayBeginDisguise } from "./disguise.ts";
import { MARK, RUN } from "./events.ts";
import type { Frame } from "./frame.ts";
import { isNoted } from "./gram-table.ts";

/** In each run of 11 bytes there are two whole words: the shortest card has 13 digits. */
const AFTER_TWO_WORDS = DIGITS;
/** 15 digits of base64 are 11 bytes: noise of base64 seldom reads as text for so long. */
const AFTER_THREE_WORDS = BASE64_ASCII | CAPITALS;
const AFTER_FOUR_WORDS = HEX_ASCII | BASE32_UPPER | BASE32_LOWER;
/** In each run of 27 bytes there are six whole words. */
const AFTER_SIX_WORDS = BASE64 | HEX | SPACED | HEX_SEPARATED;
/** In each run of 35 bytes there are eight: no phrase of words is shorter. */
const AFTER_EIGHT_WORDS = PHRASE;
/** In each run of 51 bytes there are twelve: no key that nothing announces is shorter. */
const AFTER_TWELVE_WORDS = ALPHANUMERICS;
/** Four capitals or digits within 24 bytes stand in one of this many neighbouring words, or in several. */
const MIXED_WORDS = 0x7f;

/** Fills the frame's events. */
export function noteRuns(frame: Frame): void {
  const { bytes, words, events, length } = frame;
  const [place0 = NONE, place1 = NONE, place2 = NONE, place3 = NONE] = PLACE_CLASSES;
  const count = (length + 3) >> 2;
  let noted = 0;
  let [run1, run2, run3, run4, run5, run6, run7, last, loud, mixed, unbroken] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  ];
  for (let i = 0; i < count; i++) {
    const word = words[i] as number;
    let here =
      (place0[word & 0xff] as number) &
      (place1[(word >>> 8) & 0xff] as number) &
      (place2[(word >>> 16) & 0xff] as number) &
      (place3[word >>> 24] as number);
    // Numbers are grouped by single spaces; indentation is no number.
    if ((word & 0xffff) === TWO_SPACES || word >>> 16 === TWO_SPACES) here &= ~(DIGITS | CAPITALS);
    const run8 = here & run7;
    run7 = here & run6;
    run6 = here & run5;
    run5 = here & run4;
    run4 = here & run3;
    run3 = here & run2;
    run2 = here & run1;
    run1 = here;
    unbroken = (here & AFTER_TWELVE_WORDS) === 0 ? 0 : unbroken + 1;
    loud = (loud << 1) | ((here & SMALL) === 0 ? 1 : 0);
    const isMixed = (here & LOUD) !== 0 || ((loud & 1) === 1 && (loud & MIXED_WORDS) !== 1);
    mixed = (mixed << 1) | (isMixed ? 1 : 0);
    let long =
      (run2 & AFTER_TWO_WORDS) |
      (run3 & AFTER_THREE_WORDS) |
      (run4 & AFTER_FOUR_WORDS) |
      (run6 & AFTER_SIX_WORDS) |
      (run8 & AFTER_EIGHT_WORDS) |
      (unbroken >= 12 ? AFTER_TWELVE_WORDS : 0);
    // Nothing to squeeze out where nothing stands between the digits, and nowhere in plain prose.
    if ((run6 & BASE64) !== 0 || (mixed & MIXED_WORDS) === 0) long &= ~SPACED;
    if ((run6 & HEX) !== 0) long &= ~HEX_SEPARATED;
    if ((long & ~last) !== 0) {
      events[noted++] = (i << 2) | RUN;
      events[noted++] = long & ~last;
    }
    last = long;
    if ((here & PLAIN) === 0 && isMarked(bytes, i << 2)) events[noted++] = (i << 2) | MARK;
  }
  frame.eventCount = noted;
}

const NONE = new Int32Array(256);
const TWO_SPACES = 0x2020;

function isMarked(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < from + 4; at++) if (mayBeginDisguise(bytes, at)) return true;
  return false;
}

/** Fills the frame's hits: three bytes are read at each even offset, and where they may be of something, their neighbours. */
export function noteGrams(frame: Frame, gramBits: Int32Array): void {
  const { words, hits, length } = frame;
  // Two words at a time.
  const count = ((length + 7) >> 3) << 1;
  let noted = 0;
  let before = 0;
  let word = words[0] as number;
  for (let i = 0; i < count; i++) {
    const next = words[i + 1] as number;
    if (isNoted(gramBits, before, word)) hits[noted++] = i << 2;
    if (isNoted(gramBits, (word >>> 8) & 0xff, (word >>> 16) | (next << 16))) hits[noted++] = (i << 2) | 2;
    before = word >>> 24;
    word = next;
  }
  frame.hitCount = noted;
}

/** Fills the frame's events and hits. */
export function sweep(frame: Frame, gramBits: Int32Array): void {
  sweepRuns(frame);
  const { kernels, address, length } = frame;
  if (kernels === undefined) noteGrams(frame, gramBits);
  else frame.hitCount = kernels.noteGrams(address.bytes, length, gramBits, address.hits);
}

/** The same for a text in which no keyword is looked for. */
export function sweepRuns(frame: Frame): void {
  const { kernels, address, length } = frame;
  if (kernels === undefined) noteRuns(frame);
  else frame.eventCount = kernels.noteRuns(address.bytes, length, address.events);
}
