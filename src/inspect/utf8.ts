/** One character of UTF-8, as hostile texts have them. */

/** The one character that `bytes[from, to)` are, lone surrogates too, or -1. */
export function decodeUtf8(bytes: Uint8Array, from: number, to: number): number {
  if (from < 0) return -1;
  const lead = bytes[from] as number;
  const size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (size !== to - from) return -1;
  let value = lead & (0x7f >> size);
  for (let i = from + 1; i < to; i++) {
    const byte = bytes[i] as number;
    if ((byte & 0xc0) !== 0x80) return -1;
    value = (value << 6) | (byte & 63);
  }
  return value;
}
