/** Takes out what stands between the digits of base64, base32 and hex: white space, its escapes, separators. */
import { BASE64_VALUE, HEX_VALUE } from "./byte-classes.ts";

const BACKSLASH = 0x5c;

/**
 * Writes the digits of `source[from, to)` to `out`, and where each stood to `positions`; says how many there are.
 * In hex, the `0x` and `\x` before a pair go too.
 */
export function squeeze(
  source: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  hex: boolean,
  positions?: Int32Array,
): number {
  const values = hex ? HEX_VALUE : BASE64_VALUE;
  const base = hex ? 16 : 64;
  let length = 0;
  for (let i = from; i < to; i++) {
    const byte = source[i] as number;
    if (byte === BACKSLASH) {
      const next = source[i + 1] as number;
      if (next === 0x6e || next === 0x72 || next === 0x74 || next === 0x78) i++;
      continue;
    }
    if (hex && byte === 0x30 && ((source[i + 1] as number) | 0x20) === 0x78) {
      i++;
      continue;
    }
    if ((values[byte] as number) >= base) continue;
    if (positions !== undefined) positions[length] = i;
    out[length++] = byte;
  }
  return length;
}
