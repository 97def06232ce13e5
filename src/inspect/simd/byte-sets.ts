/**
 * Sets of bytes as the processor tests them, sixteen at a time: a table for the lower half of each byte and one for the upper,
 * looked up and ANDed. What one bit of that says is a rectangle: these upper halves with these lower ones. A set is a union
 * of rectangles, eight to a pair of tables, here called a bank.
 */
import { BYTE_CLASSES } from "../byte-classes.ts";

interface Rectangle {
  readonly upper: readonly number[];
  readonly lower: readonly number[];
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Every byte that some set tells from others lies in exactly one. */
const RECTANGLES: readonly (readonly Rectangle[])[] = [
  [
    { upper: [3], lower: [1, 8, 9] },
    { upper: [3], lower: range(2, 7) },
    { upper: [4], lower: range(1, 6) },
    { upper: [4], lower: range(7, 15) },
    { upper: [5], lower: range(0, 10) },
    { upper: [6], lower: range(1, 6) },
    { upper: [6], lower: range(7, 15) },
    { upper: [7], lower: range(0, 10) },
  ],
  [
    { upper: [3], lower: [0] },
    { upper: [2], lower: [0] },
    // Tab and line ends.
    { upper: [0], lower: [9, 10, 13] },
    { upper: [2], lower: [13] },
    { upper: [2], lower: [11] },
    { upper: [2, 5], lower: [15] },
    { upper: [3], lower: [13] },
    { upper: [5], lower: [12] },
  ],
  [
    // " ' ,
    { upper: [2], lower: [2, 7, 12] },
    // : ;
    { upper: [3], lower: [10, 11] },
    // x X, which lie in the first bank too: these are asked for alone.
    { upper: [5, 7], lower: [8] },
    { upper: [2], lower: [14] },
  ],
];

export const BANKS = RECTANGLES.map((rectangles) => ({
  lower: halfTable(rectangles, ({ lower }) => lower),
  upper: halfTable(rectangles, ({ upper }) => upper),
}));

function halfTable(
  rectangles: readonly Rectangle[],
  halves: (rectangle: Rectangle) => readonly number[],
): readonly number[] {
  return range(0, 15).map((half) =>
    rectangles.reduce(
      (bits, rectangle, bit) => (halves(rectangle).includes(half) ? bits | (1 << bit) : bits),
      0,
    ),
  );
}

/**
 * For each bank the bits of the rectangles that make up a set.
 *
 * @throws Error when the set is no union of rectangles: a class of bytes was changed, and not the rectangles.
 */
export function bankBits(contains: (byte: number) => boolean): readonly number[] {
  const covered = new Set<number>();
  const bits = RECTANGLES.map((rectangles) =>
    rectangles.reduce((sum, rectangle, bit) => {
      const bytes = bytesOf(rectangle);
      if (!bytes.every(contains) || bytes.every((byte) => covered.has(byte))) return sum;
      for (const byte of bytes) covered.add(byte);
      return sum | (1 << bit);
    }, 0),
  );
  for (let byte = 0; byte < 256; byte++)
    if (isIn(bits, byte) !== contains(byte)) throw new Error(`no rectangles for byte ${byte}`);
  return bits;
}

/** The same for the bytes that are of a class. */
export function classBits(of: number): readonly number[] {
  return bankBits((byte) => ((BYTE_CLASSES[byte] ?? 0) & of) !== 0);
}

function bytesOf({ upper, lower }: Rectangle): number[] {
  return upper.flatMap((high) => lower.map((low) => (high << 4) | low));
}

function isIn(bits: readonly number[], byte: number): boolean {
  return BANKS.some(
    ({ lower, upper }, bank) => ((lower[byte & 15] ?? 0) & (upper[byte >> 4] ?? 0) & (bits[bank] ?? 0)) !== 0,
  );
}
