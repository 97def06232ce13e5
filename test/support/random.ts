/** Pseudo-random numbers that a seed brings back. */

/** Mulberry32: in [0, 1), the same ones for the same seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export interface Dice {
  readonly random: () => number;
  /** A whole number from 0 on. */
  readonly below: (n: number) => number;
  readonly pick: <T>(list: readonly T[]) => T;
  /** Mostly the first: what is wrong in every way is refused for the first of them. */
  readonly mostly: <T>(list: readonly T[]) => T;
}

/** @param first how often `mostly` takes the first. */
export function dice(seed: number, first = 0.8): Dice {
  const next = random(seed);
  const below = (n: number): number => Math.floor(next() * n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)] as T;
  return {
    random: next,
    below,
    pick,
    mostly: <T>(list: readonly T[]): T => (next() < first ? (list[0] as T) : pick(list)),
  };
}

export function shuffled<T>(list: readonly T[], next: () => number): readonly T[] {
  return list
    .map((each) => ({ each, at: next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ each }) => each);
}

/**
 * Some rows of a table whose every row takes seconds, in their order, drawn by a seed that is printed: SEED brings a draw back,
 * and a soak tries them all.
 */
export function drawn<T>(what: string, rows: readonly T[], count: number): readonly T[] {
  if (process.env["SOAK"] !== undefined) return rows;
  const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32));
  const chosen = new Set(shuffled(rows, random(seed)).slice(0, count));
  console.log(`${what}: ${chosen.size} of ${rows.length}; SEED=${seed}`);
  return rows.filter((row) => chosen.has(row));
}
