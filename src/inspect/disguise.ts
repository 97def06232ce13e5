/** Where an escape or a letter in disguise begins, so that a text's neighbourhood there is worth cleaning. */
import { HEX_VALUE } from "./byte-classes.ts";
import { beginsEntity } from "./entities.ts";
import { fold, isDisguise } from "./fold.ts";
import { decodeUtf8 } from "./utf8.ts";

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const AMPERSAND = 0x26;

/** Bytes with which an escape or a disguised character can begin. */
export const BEGINNINGS = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 0 || byte === PERCENT || byte === BACKSLASH || byte === AMPERSAND || (byte >= 0xc2 && byte < 0xf5)
    ? 1
    : 0,
);

/** The bytes that can follow those beginnings that are ASCII: most of what is no disguise shows it there. A row for each. */
const FOLLOWING: ReadonlyMap<number, RegExp> = new Map([
  [0, /./s],
  [PERCENT, /[0-9a-fA-FuU]/],
  [BACKSLASH, /[uUx/\n0-3]/],
  [AMPERSAND, /[#A-Za-z]/],
]);
export const MAY_FOLLOW = new Uint8Array(4 * 256);
for (const [beginning, next] of FOLLOWING)
  for (let byte = 0; byte < 256; byte++)
    MAY_FOLLOW[rowOf(beginning) + byte] = next.test(String.fromCharCode(byte)) ? 1 : 0;

/** Where the row of a beginning begins: these four differ in it. */
function rowOf(beginning: number): number {
  return ((beginning - (beginning >> 6)) & 3) << 8;
}

/** Whether the bytes at `at` and behind it allow {@link beginsDisguise} to be true. */
export function mayBeginDisguise(bytes: Uint8Array, at: number): boolean {
  const byte = bytes[at] as number;
  if (BEGINNINGS[byte] === 0) return false;
  const next = bytes[at + 1] as number;
  return byte < 0x80 ? MAY_FOLLOW[rowOf(byte) + next] === 1 : (next & 0xc0) === 0x80;
}

/** Whether an escape or a disguised character begins at `at`, and not one of which every text is full. */
export function beginsDisguise(bytes: Uint8Array, at: number, length: number): boolean {
  const byte = bytes[at] as number;
  const next = bytes[at + 1] as number;
  if (byte >= 0x80) {
    if (byte < 0xc2) return false;
    const end = at + (byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4);
    if (end > length || (next & 0xc0) !== 0x80) return false;
    const codePoint = decodeUtf8(bytes, at, end);
    if (codePoint < 0 || !isDisguise(codePoint)) return false;
    // Dashes and dots are disguises only inside a word: prose is full of them.
    const folded = fold(codePoint);
    return (folded !== 0x2d && folded !== 0x2e) || (isPrintable(bytes[at - 1]) && isPrintable(bytes[end]));
  }
  switch (byte) {
    case 0:
      return isPrintable(bytes[at - 1]) && (next === 0 || isPrintable(next));
    case PERCENT:
      return isHex(next)
        ? isHex(bytes[at + 2] as number)
        : (next | 0x20) === 0x75 && isHex(bytes[at + 2] as number);
    case BACKSLASH:
      return (
        next === 0x75 ||
        next === 0x78 ||
        next === 0x2f ||
        next === 0x0a ||
        next === 0x55 ||
        (next >= 0x30 && next < 0x34 && isOctal(bytes[at + 2]) && isOctal(bytes[at + 3]))
      );
    case AMPERSAND:
      return beginsEntity(bytes, at, next);
    default:
      return false;
  }
}

function isHex(byte: number): boolean {
  return (HEX_VALUE[byte] ?? 16) < 16;
}

function isOctal(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte < 0x38;
}

function isPrintable(byte: number | undefined): boolean {
  return byte !== undefined && byte > 0x20 && byte < 0x7f;
}
