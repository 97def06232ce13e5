/**
 * How a fuzzer runs: for seconds in the suite and ten minutes in a soak (`npm run soak`), from a seed of the moment or
 * from the one that a failed run printed (`FUZZ_SEED`, and `FUZZ_MS` for another length).
 */
import { randomInt } from "node:crypto";
import { afterAll } from "vitest";

const SUITE_MS = 5_000;
/** Of whatever reads what comes from a guest on its way out: together they have a minute. */
export const LONGER_SUITE_MS = 15_000;
const SOAK_MS = 600_000;

export interface FuzzRun {
  readonly seed: number;
  readonly milliseconds: number;
  /** For the test that it is. */
  readonly timeout: number;
}

/**
 * Prints the seed once the file is through.
 *
 * @param suiteMs how long it runs in the suite.
 */
export function fuzzRun(name: string, suiteMs = SUITE_MS): FuzzRun {
  const seed = Number(process.env["FUZZ_SEED"] ?? randomInt(2 ** 31));
  const usual = process.env["SOAK"] === undefined ? suiteMs : SOAK_MS;
  const milliseconds = Number(process.env["FUZZ_MS"] ?? usual);
  afterAll(() => console.log(`${name}: FUZZ_SEED=${seed} FUZZ_MS=${milliseconds}`));
  return { seed, milliseconds, timeout: milliseconds + 120_000 };
}
