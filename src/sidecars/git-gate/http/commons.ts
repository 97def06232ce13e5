/** What all requests to one gate share: room on the host, which a guest could otherwise use up by asking often at once. */
import { LIMITS } from "../limits.ts";
import { createLock, type Lock } from "../lock.ts";

export interface Commons {
  /** Turns of what makes git work hard: sending what a fetch asks for, taking a push in and looking at it. */
  readonly work: Lock;
  readonly quarantines: Quarantines;
  /** When a fetch of a repository was last put on the log, by `performance.now()`. */
  readonly fetched: Map<string, number>;
}

export interface Quarantines {
  /** For one push. */
  open(): {
    /** False when the host holds too much of pushes that are not decided. @param atLeast what one alone may have. */
    add(bytes: number, atLeast: number): boolean;
    close(): void;
  };
}

export function createCommons(): Commons {
  return { work: createLock(LIMITS.working), quarantines: createQuarantines(), fetched: new Map() };
}

function createQuarantines(): Quarantines {
  let total = 0;
  return {
    open() {
      let own = 0;
      return {
        add(bytes, atLeast) {
          own += bytes;
          total += bytes;
          return total <= Math.max(LIMITS.heldBytes, atLeast);
        },
        close() {
          total -= own;
          own = 0;
        },
      };
    },
  };
}
