/**
 * Which three bytes may be of a keyword or a known value, as bits: three bytes, and the three with a neighbour, since what
 * stands beside them tells them from most others. The sweep asks it everywhere, keyword-index.ts fills it.
 */

/** `four`: three bytes and the next one. */
export function isNoted(gramBits: Int32Array, before: number, four: number): boolean {
  if (!hasBit(gramBits, GRAMS, hashOfThree(four))) return false;
  return (
    hasBit(gramBits, BEFORE, hashOfFour(before | (four << 8))) || hasBit(gramBits, AFTER, hashOfFour(four))
  );
}

function hasBit(bits: Int32Array, table: number, hash: number): boolean {
  return ((bits[table + wordOf(hash)] as number) & (1 << (hash >>> GRAM_BIT_SHIFT))) !== 0;
}

/**
 * Fibonacci hashing of four bytes, and of three: a fourth one, whatever it is, is moved out of the 32 bits. The uppermost
 * say which bit, those below which word: tables of 16 KB that stay in the fastest cache.
 */
export const FOUR_MULTIPLIER = 0x9e3779b1 | 0;
export const GRAM_MULTIPLIER = FOUR_MULTIPLIER << 8;
export const GRAM_BIT_SHIFT = 27;
export const GRAM_WORD_SHIFT = 15;
const TABLE_WORDS = 1 << (GRAM_BIT_SHIFT - GRAM_WORD_SHIFT);
/** Where each of three tables begins: of triples, of triples with the byte before, and with the byte behind them. */
export const GRAMS = 0;
export const BEFORE = TABLE_WORDS;
export const AFTER = 2 * TABLE_WORDS;
export const GRAM_WORDS = 3 * TABLE_WORDS;
/** What of a hash, moved by two less, is the offset of its word. */
export const GRAM_OFFSETS = (TABLE_WORDS - 1) << 2;

/** In one of the tables. */
function wordOf(hash: number): number {
  return (hash >>> GRAM_WORD_SHIFT) & (TABLE_WORDS - 1);
}

/** Of the three lowest bytes. */
function hashOfThree(gram: number): number {
  return Math.imul(gram, GRAM_MULTIPLIER);
}

function hashOfFour(bytes: number): number {
  return Math.imul(bytes, FOUR_MULTIPLIER);
}

function setBit(bits: Int32Array, table: number, hash: number): void {
  const at = table + wordOf(hash);
  bits[at] = (bits[at] ?? 0) | (1 << (hash >>> GRAM_BIT_SHIFT));
}

/** Marks three bytes (little-endian) in tables of GRAM_WORDS for the sweep. They count where a neighbour is marked too. */
export function addGram(bits: Int32Array, gram: number): void {
  setBit(bits, GRAMS, hashOfThree(gram));
}

export function addNeighbour(
  bits: Int32Array,
  gram: number,
  neighbour: { readonly before: number } | { readonly after: number },
): void {
  if ("before" in neighbour) setBit(bits, BEFORE, hashOfFour(neighbour.before | (gram << 8)));
  else setBit(bits, AFTER, hashOfFour(gram | (neighbour.after << 24)));
}
