/** Stretches of bytes of one class: where they begin and end, and what can be said about them at a glance. */
import { BASE64_VALUE, BYTE_CLASSES, HEX, SMALL, WORD_TABLES } from "./byte-classes.ts";
import type { Frame } from "./frame.ts";

/** So many digits of few kinds hold no value. A multiple of all groups. */
export const MONOTONOUS = 64;
/** Fewer kinds of digits than any value shows in MONOTONOUS of them. */
const FEW_KINDS = 2;

/** Where the stretch of a class that reaches up to `at` begins. */
export function stretchStart(bytes: Uint8Array, at: number, of: number): number {
  let start = at;
  while (start > 0 && ((BYTE_CLASSES[bytes[start - 1] as number] as number) & of) !== 0) start--;
  return start;
}

/** Where the stretch of a class that goes on at `at` ends, or `limit`. */
export function stretchEnd(bytes: Uint8Array, at: number, limit: number, of: number): number {
  let end = at;
  while (end < limit && ((BYTE_CLASSES[bytes[end] as number] as number) & of) !== 0) end++;
  return end;
}

/** The same, a word at a time, where the word at `at` (a multiple of 4) is of that class. */
export function stretchEndByWords(frame: Frame, at: number, of: number): number {
  const { words, length } = frame;
  let word = at >> 2;
  while (word * 4 < length && isAlive(words[word] as number, of)) word++;
  return stretchEnd(frame.bytes, Math.min(length, word * 4), length, of);
}

/** Whether the MONOTONOUS bytes from `at` on are of FEW_KINDS; letters, digits and marks count modulo 64. */
export function isMonotonous(bytes: Uint8Array, at: number): boolean {
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

/** Whether a word of four bytes can be part of one of the classes. */
export function isAlive(word: number, classes: number): boolean {
  const { first, second } = WORD_TABLES;
  return ((first[word & 0xffff] as number) & (second[word >>> 16] as number) & classes) !== 0;
}

/** So near to each other stand four capitals or digits in base64 and base32 of anything; in sentences hardly ever. */
const DENSE = 24;

/** In a stretch of SPACED, whether four capitals or digits stand within DENSE bytes. Words without any are passed over. */
export function isMixed(frame: Frame, start: number, end: number): boolean {
  const { bytes, words } = frame;
  let third = -DENSE;
  let second = -DENSE;
  let last = -DENSE;
  for (let word = start >> 2; word * 4 < end; word++) {
    const value = words[word] as number;
    // Of what is SPACED, a capital has bit 6 without bit 5, and a digit bit 4 without bit 6; some marks have too.
    if ((((value & ~(value << 1)) | ((value << 2) & ~value)) & 0x40404040) === 0) continue;
    const stop = Math.min(end, word * 4 + 4);
    for (let at = Math.max(start, word * 4); at < stop; at++) {
      if (((BYTE_CLASSES[bytes[at] as number] as number) & SMALL) !== 0) continue;
      if (third >= start && at - third < DENSE) return true;
      third = second;
      second = last;
      last = at;
    }
  }
  return false;
}

/** Such a stretch is hex, and no base64 of anything. */
export function isHexOnly(bytes: Uint8Array, from: number, to: number): boolean {
  return stretchEnd(bytes, from, to, HEX) === to;
}

export function isBase64Quad(bytes: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 4; i++) if ((BASE64_VALUE[bytes[i] as number] as number) > 63) return false;
  return true;
}
