/**
 * What was given to the agent for a while, counted in the sidecar where it is used: what hangs on a grant exists as
 * long as the grant does. The keeper decides on grants and says how much of each was used before; what is used from
 * then on is counted here, so that a limit holds between two words of the keeper's.
 */
import type { RouteGrant } from "../contract/sidecar.ts";
import { createSteadyClock } from "../lib/steady-clock.ts";

export interface Grants {
  /** From now on these, and no other. One may be told more than once. */
  adopt(grants: readonly (RouteGrant | undefined)[]): void;
  /** Whether what has begun on it may go on. */
  holds(id: string): boolean;
  /** Whether anything more may begin on it. */
  isOpen(id: string): boolean;
  /** Takes one use; false when there is none left. */
  use(id: string): boolean;
  /** Counts body bytes, of either direction. */
  moved(id: string, bytes: number): void;
}

interface Counted {
  terms: RouteGrant;
  uses: number;
  bytes: number;
}

export function createGrants(now: () => number = createSteadyClock()): Grants {
  let current = new Map<string, Counted>();

  const holds = (id: string): boolean => {
    const grant = current.get(id);
    if (grant === undefined) return false;
    const { until, bytes } = grant.terms;
    return (until === undefined || now() < until) && (bytes === undefined || grant.bytes < bytes.most);
  };

  const isOpen = (id: string): boolean => {
    const grant = current.get(id);
    const most = grant?.terms.uses?.most ?? Number.POSITIVE_INFINITY;
    return grant !== undefined && holds(id) && grant.uses < most;
  };

  return {
    isOpen,
    adopt(grants) {
      const next = new Map<string, Counted>();
      for (const terms of grants) {
        if (terms === undefined) continue;
        const before = current.get(terms.id);
        next.set(terms.id, {
          terms,
          // What the keeper has not heard of yet counts too, and so does what an egress that died had told it.
          uses: Math.max(before?.uses ?? 0, terms.uses?.before ?? 0),
          bytes: Math.max(before?.bytes ?? 0, terms.bytes?.before ?? 0),
        });
      }
      current = next;
    },
    holds,
    use(id) {
      const grant = current.get(id);
      if (grant === undefined || !isOpen(id)) return false;
      grant.uses += 1;
      return true;
    },
    moved(id, bytes) {
      const grant = current.get(id);
      if (grant !== undefined) grant.bytes += bytes;
    },
  };
}
