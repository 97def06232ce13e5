/**
 * What each release of smolvm does, the bad things included. The numbers of the holes are those of the fact sheet
 * (section A.7, "A.8" for races); a test may close one, as if that release had not had it, or open one at its worst, as
 * if nothing else stood before it.
 */

export const HOLES = {
  /** `create --from` forgets every `--allow-*` flag (fixed in 1.8.0). */
  "A.7.2": (at: Age) => at.before(1, 8, 0),
  /** TSI carries connections to whatever the policy forbids (fixed in 1.1.3, where a policy means virtio-net). */
  "A.7.3": (at: Age) => at.before(1, 1, 3),
  /** Any range that is not loopback opens a public resolver, on every port. */
  "A.7.5": (at: Age) => at.before(1, 1, 3),
  /** virtio-net: the gateway answers every DNS question unless hosts were named. */
  "A.7.6": (at: Age) => !at.before(1, 1, 3),
  /** No floor: the metadata address is like any other. */
  "A.7.8": (at: Age) => at.before(1, 0, 4),
  /** An exec right after `start`, or beginning together with another one, is killed before it begins. */
  "A.8-exec": (at: Age) => at.before(1, 0, 4),
  /** A start that failed leaves `_boot-vm`, and the machine cannot be started until it is killed (fixed in 1.5.0). */
  "A.8-orphan": (at: Age) => at.before(1, 5, 0),
  /** An exec that a signal ended exits with -1. */
  "A.3-signal": (at: Age) => at.before(0, 8, 1),
} as const satisfies Record<string, (at: Age) => boolean>;
export type Hole = keyof typeof HOLES;

interface Age {
  before(major: number, minor: number, patch: number): boolean;
}

export interface Release extends Age {
  readonly version: string;
  has(hole: Hole): boolean;
  /** Whatever the policy says. */
  opens(hole: Hole): boolean;
  /** What goes wrong although it should not: `start`, `pack`; `pack-hangs`. */
  fails(step: string): boolean;
}

export function releaseOf(
  version: string,
  closed: readonly string[] = [],
  failing: readonly string[] = [],
  opened: readonly string[] = [],
): Release {
  const [a = 0, b = 0, c = 0] = version.split(".").map(Number);
  const before = (major: number, minor: number, patch: number): boolean =>
    a !== major ? a < major : b !== minor ? b < minor : c < patch;
  return {
    version,
    before,
    has: (hole) => HOLES[hole]({ before }) && !closed.includes(hole),
    opens: (hole) => opened.includes(hole),
    fails: (step) => failing.includes(step),
  };
}
