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
