/** What it takes to see that `bottle attack` would notice: defences by name, each with what switches it off. */
import type { Change } from "../workspace.ts";

/** One defence, switched off. */
export interface Breach {
  readonly name: string;
  readonly changes: readonly Change[];
  /** Each of them has to fail. */
  readonly probes: readonly string[];
}

export interface BreachGroup {
  readonly name: string;
  readonly breaches: readonly Breach[];
  /** The bottles do not come up at all: what is said then. */
  readonly startFails?: RegExp;
}

export function breach(
  name: string,
  file: string,
  find: string,
  replace: string,
  probes: readonly string[],
): Breach {
  return { name, changes: [{ file, find, replace }], probes };
}
