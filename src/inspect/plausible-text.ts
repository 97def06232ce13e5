/** Tells text from what comes out when something else is decoded, cheaply: most of what looks packed is not. */

import type { Frame } from "./frame.ts";
import { IS_TEXT } from "./simd/text-program.ts";

/** No value that is looked for has less. */
const PRINTABLE_STREAK = 8;
/** Letters in disguise: two to four bytes each. */
const UTF8_STREAK = 24;
/** UTF-16 has zeros between its letters, UTF-32 three. */
const ZEROS_BETWEEN = 3;

/** What may stand side by side in UTF-8 (or ASCII in UTF-16) text, by pairs of kinds of bytes. */
const ASCII = 0;
const CONTINUATION = 1;
const LEAD = 2;
const NEITHER = 3;
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte < 0x80) return (byte >= 0x20 && byte !== 0x7f) || byte === 0 || isSpace(byte) ? ASCII : NEITHER;
  if (byte < 0xc0) return CONTINUATION;
  return byte >= 0xc2 && byte < 0xf5 ? LEAD : NEITHER;
});
/** What stands before need not be text itself. */
const BEFORE = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte < 0x80 ? ASCII : byte < 0xc0 ? CONTINUATION : LEAD,
);
const NEIGHBOURS = Uint8Array.from({ length: 16 }, (_, pair) => {
  const before = pair >> 2;
  switch (pair & 3) {
    case ASCII:
    case LEAD:
      return before === LEAD ? 0 : 1;
    case CONTINUATION:
      return before === ASCII ? 0 : 1;
    default:
      return 0;
  }
});
const PRINTABLE = Uint8Array.from({ length: 256 }, (_, byte) =>
  (byte >= 0x20 && byte < 0x7f) || isSpace(byte) ? 1 : 0,
);

function areNeighbours(before: number, after: number): boolean {
  return NEIGHBOURS[((BEFORE[before] as number) << 2) | (KINDS[after] as number)] === 1;
}

/** Of one byte, all that holdsText asks. Of two masks, all ones where the question is answered with yes. */
const PRINTABLE_OR_ZERO = Int8Array.from(PRINTABLE, (printable, byte) =>
  printable === 1 || byte === 0 ? -1 : 0,
);
const FOLLOWS = Int8Array.from(NEIGHBOURS, (are) => -are);

/** Whether eight printable bytes or a stretch of UTF-8 stand somewhere in the first `length` bytes of the frame. */
export function holdsText(frame: Frame, length: number): boolean {
  const { kernels, address, bytes } = frame;
  const told = kernels?.tellText(address.bytes, length);
  if (told === 0) return false;
  return (told !== undefined && (told & IS_TEXT) !== 0) || readsAsText(bytes, length);
}

/** What is asked here is noise for the most part, of which a processor foretells no branch: it counts with masks. */
function readsAsText(bytes: Uint8Array, length: number): boolean {
  let printable = 0;
  let zeros = 0;
  let utf8 = 0;
  let row = ASCII << 2;
  for (let i = 0; i < length; i++) {
    const byte = bytes[i] as number;
    printable = (printable + (PRINTABLE[byte] as number)) & (PRINTABLE_OR_ZERO[byte] as number);
    utf8 = (utf8 + 1) & (FOLLOWS[row | (KINDS[byte] as number)] as number);
    row = (BEFORE[byte] as number) << 2;
    if (byte !== 0) zeros = 0;
    else if (++zeros > ZEROS_BETWEEN) {
      printable = 0;
      utf8 = 0;
    }
    if (printable === PRINTABLE_STREAK || utf8 === UTF8_STREAK) return true;
  }
  return false;
}

/** Whether `bytes[0, length)` are printable ASCII, but for one in 32, as far as samples tell. */
export function isReadable(bytes: Uint8Array, length: number): boolean {
  const step = Math.max(1, Math.floor(length / SAMPLES));
  let others = 0;
  let seen = 0;
  for (let i = 0; i < length; i += step, seen++) {
    others += 1 - (PRINTABLE[bytes[i] as number] as number);
  }
  return others * 32 <= seen;
}

const SAMPLES = 512;

/** Where the text that `at` is in begins, at least at `limit`; before `whole` it begins with a word. */
export function textBegin(frame: Frame, at: number, limit: number, whole: number): number {
  const { bytes } = frame;
  let begin = at;
  // ASCII beside ASCII, of which most texts are, is text without more ado.
  const sure = Math.max(limit, whole);
  if (begin > sure && KINDS[bytes[begin] as number] === ASCII) begin = asciiBegin(frame, begin, sure);
  while (begin > limit && areNeighbours(bytes[begin - 1] as number, bytes[begin] as number)) {
    begin--;
    if (begin < whole && endsWord(bytes[begin] as number)) break;
  }
  return begin;
}

/** Where the text that goes on up to `at` ends, at most at `limit`; behind `whole` it ends with a word. */
export function textEnd(frame: Frame, at: number, limit: number, whole: number): number {
  const { bytes } = frame;
  let end = at;
  const sure = Math.min(limit, whole);
  if (end < sure && (bytes[end - 1] as number) < 0x80) end = asciiEnd(frame, end, sure);
  while (end < limit && areNeighbours(bytes[end - 1] as number, bytes[end] as number)) {
    end++;
    if (end > whole && endsWord(bytes[end - 1] as number)) break;
  }
  return end;
}

/** By words where it can: texts are read from escape to escape. */
function asciiBegin({ bytes, words }: Frame, at: number, limit: number): number {
  let begin = at;
  for (;;) {
    if ((begin & 3) === 0 && begin - 4 >= limit && isPrintable(words[(begin >> 2) - 1] as number)) begin -= 4;
    else if (begin > limit && KINDS[bytes[begin - 1] as number] === ASCII) begin--;
    else return begin;
  }
}

function asciiEnd({ bytes, words }: Frame, at: number, limit: number): number {
  let end = at;
  for (;;) {
    if ((end & 3) === 0 && end + 4 <= limit && isPrintable(words[end >> 2] as number)) end += 4;
    else if (end < limit && KINDS[bytes[end] as number] === ASCII) end++;
    else return end;
  }
}

/** Whether none of a word's bytes is a control character, DEL, or beyond ASCII. */
function isPrintable(word: number): boolean {
  return ((word | (word + 0x01010101) | (word - 0x20202020)) & 0x80808080) === 0;
}

/** White space, quotes, commas, braces: what no token goes on over. */
function endsWord(byte: number): boolean {
  return byte <= 0x20 ? byte !== 0 : byte === 0x22 || byte === 0x2c || byte === 0x7b || byte === 0x7d;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 9 || byte === 10 || byte === 13;
}
