/**
 * Which three bytes may be of a keyword or a known value, as bits: three bytes, and the three with a neighbour, since what
 * stands beside them tells them from most others. The sweep asks it everywhere, keyword-index.ts fills it.
 */

/** `four`: three bytes and the next one. */
export function isNoted(gramBits: Int32Array, before: number, four: number): boolean {
  if (!hasBit(gramBits, GRAMS, hashOf(four & 0xffffff))) return false;
  return hasBit(gramBits, BEFORE, hashOf(before | (four << 8))) || hasBit(gramBits, AFTER, hashOf(four));
}

function hasBit(bits: Int32Array, table: number, hash: number): boolean {
  return ((bits[table + (hash >>> 5)] as number) & (1 << hash)) !== 0;
}

/** Fibonacci hashing: three bytes, or four, to 17 bits: tables of 16 KB that stay in the fastest cache. */
export const GRAM_MULTIPLIER = 0x9e3779b1 | 0;
export const GRAM_SHIFT = 15;
const TABLE_WORDS = 1 << (32 - GRAM_SHIFT - 5);
/** Where each of three tables begins: of triples, of triples with the byte before, and with the byte behind them. */
export const GRAMS = 0;
export const BEFORE = TABLE_WORDS;
export const AFTER = 2 * TABLE_WORDS;
export const GRAM_WORDS = 3 * TABLE_WORDS;

function hashOf(gram: number): number {
  return Math.imul(gram, GRAM_MULTIPLIER) >>> GRAM_SHIFT;
}

function setBit(bits: Int32Array, table: number, hash: number): void {
  const at = table + (hash >>> 5);
  bits[at] = (bits[at] ?? 0) | (1 << hash);
}

/** Marks three bytes (little-endian) in tables of GRAM_WORDS for the sweep. They count where a neighbour is marked too. */
export function addGram(bits: Int32Array, gram: number): void {
  setBit(bits, GRAMS, hashOf(gram));
}

export function addNeighbour(
  bits: Int32Array,
  gram: number,
  neighbour: { readonly before: number } | { readonly after: number },
): void {
  if ("before" in neighbour) setBit(bits, BEFORE, hashOf(neighbour.before | (gram << 8)));
  else setBit(bits, AFTER, hashOf(gram | (neighbour.after << 24)));
}
