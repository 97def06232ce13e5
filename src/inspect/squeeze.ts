/** Takes out what stands between the digits of base64, base32 and hex: white space, its escapes, separators. */
import { BASE64_VALUE, HEX_VALUE } from "./byte-classes.ts";
import type { Frame } from "./frame.ts";

/** What becomes of a byte; odd: it is kept. */
const DROPPED = 0;
const KEPT = 1;
/** With the letter behind it. */
const ESCAPE = 2;
/** Kept, unless an `x` follows. */
const ZERO = 3;

const KINDS_IN_HEX = kindsBy((byte) => (HEX_VALUE[byte] as number) < 16);
const KINDS_IN_BASE64 = kindsBy((byte) => (BASE64_VALUE[byte] as number) < 64);
KINDS_IN_HEX[0x30] = ZERO;

/** Writes the digits of `source[from, to)` into the frame, without what stands between them; says how many there are. */
export function squeeze(source: Frame, from: number, to: number, into: Frame, hex: boolean): number {
  const out = into.reserve(to - from);
  const { kernels, address } = source;
  return kernels === undefined
    ? squeezeBytes(source.bytes, from, to, out, hex)
    : kernels.squeeze(address.bytes + from, to - from, into.address.bytes, hex);
}

/**
 * The same, byte by byte; writes where each stood to `positions`. In hex, the `0x` and `\x` before a pair go too.
 */
export function squeezeBytes(
  source: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  hex: boolean,
  positions?: Int32Array,
): number {
  const kinds = hex ? KINDS_IN_HEX : KINDS_IN_BASE64;
  let length = 0;
  for (let i = from; i < to; i++) {
    const byte = source[i] as number;
    const kind = kinds[byte] as number;
    if (positions !== undefined) positions[length] = i;
    // Written in any case: what is dropped is written over.
    out[length] = byte;
    length += kind & KEPT;
    if (kind < ESCAPE) continue;
    const next = source[i + 1] as number;
    if (kind === ESCAPE) {
      if (next === 0x6e || next === 0x72 || next === 0x74 || next === 0x78) i++;
    } else if ((next | 0x20) === 0x78) {
      length--;
      i++;
    }
  }
  return length;
}

function kindsBy(isDigit: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) =>
    byte === 0x5c ? ESCAPE : isDigit(byte) ? KEPT : DROPPED,
  );
}
