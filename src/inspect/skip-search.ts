/**
 * Whether a text holds one of some byte strings, told without reading most of it (after Wu and Manber, "A fast algorithm
 * for multi-pattern searching", 1994): two bytes are looked at, as far behind as the shortest string is long; if they
 * stand nowhere in a string, none reaches over them.
 */

/** Of longer strings so much is compared: steps fit a byte, and are long enough. */
const LONGEST_STEP = 64;

export interface SkipSearch {
  /** Of the longest string. */
  readonly longest: number;
  /** Whether one of the strings stands in `text`. */
  holds(text: Uint8Array): boolean;
}

/** @param strings each of two bytes or more. */
export function compileSkipSearch(strings: readonly Uint8Array[]): SkipSearch {
  const size = Math.min(LONGEST_STEP, ...strings.map(({ length }) => length));
  const beginnings = strings.map((each) => each.subarray(0, size));
  /** By two bytes, little-endian: how far the search may go on where they stand; 0 where a beginning may end. */
  const steps = new Uint8Array(0x10000).fill(size - 1);
  for (const bytes of beginnings)
    for (let end = 1; end < size; end++) {
      const pair = (bytes[end - 1] ?? 0) | ((bytes[end] ?? 0) << 8);
      steps[pair] = Math.min(steps[pair] ?? 0, size - 1 - end);
    }
  const stands = (text: Uint8Array, at: number): boolean =>
    strings.some((bytes) => bytes.every((byte, i) => text[at + i] === byte));
  return {
    longest: Math.max(...strings.map(({ length }) => length)),
    holds(text) {
      for (let end = size - 1; end < text.length; ) {
        const step = steps[(text[end - 1] as number) | ((text[end] as number) << 8)] as number;
        if (step === 0 && stands(text, end - size + 1)) return true;
        end += Math.max(1, step);
      }
      return false;
    },
  };
}
