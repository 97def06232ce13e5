/** Base64, base32 and hex, frame to frame, from where a run of their digits was seen. No allocation. */
import { BASE32_VALUE, BASE64_VALUE, HEX_VALUE } from "./byte-classes.ts";
import type { Frame } from "./frame.ts";

export type Packing = "base64" | "base32" | "hex";

/** Digits and bytes of one group. */
export const GROUPS: Readonly<Record<Packing, { readonly digits: number; readonly bytes: number }>> = {
  base64: { digits: 4, bytes: 3 },
  base32: { digits: 8, bytes: 5 },
  hex: { digits: 2, bytes: 1 },
};

/** Decodes the digits `source[from, to)`, all of them of that packing, into the frame; says how many bytes those are. */
export function unpack(packing: Packing, source: Frame, from: number, to: number, into: Frame): number {
  const out = into.reserve(to - from);
  switch (packing) {
    case "base64": {
      const { kernels } = source;
      const done = kernels?.unpackBase64(source.address.bytes + from, to - from, into.address.bytes) ?? 0;
      return unpackBase64(source.bytes, from + done, to, out, (done / 4) * 3);
    }
    case "base32":
      return unpackBase32(source.bytes, from, to, out);
    case "hex":
      return unpackHex(source.bytes, from, to, out);
  }
}

function unpackBase64(
  source: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  written: number,
): number {
  let length = written;
  let i = from;
  for (; i + 4 <= to; i += 4) {
    const bits =
      ((BASE64_VALUE[source[i] as number] as number) << 18) |
      ((BASE64_VALUE[source[i + 1] as number] as number) << 12) |
      ((BASE64_VALUE[source[i + 2] as number] as number) << 6) |
      (BASE64_VALUE[source[i + 3] as number] as number);
    out[length] = bits >>> 16;
    out[length + 1] = bits >>> 8;
    out[length + 2] = bits;
    length += 3;
  }
  if (to - i >= 2) {
    const a = BASE64_VALUE[source[i] as number] as number;
    const b = BASE64_VALUE[source[i + 1] as number] as number;
    out[length++] = (a << 2) | (b >> 4);
    if (to - i === 3) out[length++] = (b << 4) | ((BASE64_VALUE[source[i + 2] as number] as number) >> 2);
  }
  return length;
}

function unpackBase32(source: Uint8Array, from: number, to: number, out: Uint8Array): number {
  let length = 0;
  let i = from;
  for (; i + 8 <= to; i += 8) {
    const high = base32Half(source, i);
    const low = base32Half(source, i + 4);
    out[length] = high >>> 12;
    out[length + 1] = high >>> 4;
    out[length + 2] = (high << 4) | (low >>> 16);
    out[length + 3] = low >>> 8;
    out[length + 4] = low;
    length += 5;
  }
  let bits = 0;
  let have = 0;
  for (; i < to; i++) {
    bits = ((bits << 5) | (BASE32_VALUE[source[i] as number] as number)) & 0xfff;
    have += 5;
    if (have >= 8) {
      have -= 8;
      out[length++] = bits >> have;
    }
  }
  return length;
}

/** The 20 bits of four digits. */
function base32Half(source: Uint8Array, at: number): number {
  return (
    ((BASE32_VALUE[source[at] as number] as number) << 15) |
    ((BASE32_VALUE[source[at + 1] as number] as number) << 10) |
    ((BASE32_VALUE[source[at + 2] as number] as number) << 5) |
    (BASE32_VALUE[source[at + 3] as number] as number)
  );
}

function unpackHex(source: Uint8Array, from: number, to: number, out: Uint8Array): number {
  let length = 0;
  for (let i = from; i + 2 <= to; i += 2)
    out[length++] =
      ((HEX_VALUE[source[i] as number] as number) << 4) | (HEX_VALUE[source[i + 1] as number] as number);
  return length;
}

/** Pairs of hex that stand side by side in what is text: fewer are noticed in no sweep. */
const PAIRS_OF_TEXT = 8;

/** All ones for digits that a pair of hex can begin with that is a byte of text; which ones come, no processor foretells. */
const BEGINS_TEXT = Int8Array.from(HEX_VALUE, (value) => (value < 8 && value !== 1 ? -1 : 0));

/** Whether at even places or at odd ones PAIRS_OF_TEXT of the digits `source[0, length)` can each be a byte of ASCII. */
export function mayBeHexOfText(source: Uint8Array, length: number): boolean {
  let here = 0;
  let there = 0;
  for (let i = 0; i + 1 < length; i++) {
    const next = (there + 1) & (BEGINS_TEXT[source[i] as number] as number);
    if (next === PAIRS_OF_TEXT) return true;
    there = here;
    here = next;
  }
  return false;
}

/**
 * The phases (bit p: groups begin at positions ≡ p modulo 8) at which the 8 base32 digits from `at` on can be part
 * of encoded ASCII. As with base64: a byte below 0x80 leaves a zero at a known place. None at which they are nothing but
 * zeros, four bytes and more: no text has so many between its letters.
 */
export function base32AsciiPhases(source: Uint8Array, at: number): number {
  let phases = 0xff;
  let digits = 0;
  for (let i = at; i < at + 8; i++) {
    const byte = source[i] as number;
    phases &= ZEROS[((i & 7) << 8) | byte] as number;
    digits |= BASE32_VALUE[byte] as number;
  }
  return digits === 0 ? 0 : phases;
}

/** For each position modulo 8 and each byte: bit p where it is a digit that can stand there in a group that began at p. */
const ZEROS = Uint8Array.from({ length: 8 * 256 }, (_, at) => {
  const value = BASE32_VALUE[at & 0xff] ?? 32;
  if (value > 31) return 0;
  const fits = [
    (value & 16) === 0,
    (value & 2) === 0,
    true,
    (value & 8) === 0,
    (value & 1) === 0,
    true,
    (value & 4) === 0,
    true,
  ];
  return fits.reduce((bits, fit, place) => (fit ? bits | (1 << (((at >> 8) - place) & 7)) : bits), 0);
});
