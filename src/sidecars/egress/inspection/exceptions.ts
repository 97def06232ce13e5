/**
 * Findings that the operator lets pass to one host, by their mark: for as long as the grant behind it holds, and for as
 * many requests as it was given for. A value that is known to be secret has no exception, nor has a text that
 * could not be read to its end.
 */

import type { Grants } from "../../../approvals/grant-counter.ts";
import type { EgressPolicy } from "../../../contract/sidecar.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { Target } from "../target/target.ts";
import { isExceptable } from "./ruling.ts";

export interface Exceptions {
  /** @param target of the request: one use, however often it is found in it. */
  withoutExcepted(found: readonly Finding[], target: Target): readonly Finding[];
}

/** @param tell called once for each request that makes use of one. */
export function createExceptions(
  exceptions: NonNullable<EgressPolicy["exceptions"]>,
  grants: Pick<Grants, "holds" | "use">,
  tell: (finding: Finding, grant: string, host: string) => void,
): Exceptions {
  if (exceptions.length === 0) return { withoutExcepted: (found) => found };
  const taken = new WeakMap<Target, Set<string>>();

  function isExcepted(finding: Finding, target: Target): boolean {
    if (!isExceptable(finding)) return false;
    return exceptions.some(({ host, detector, finding: mark, grant }) => {
      if (host !== target.host || detector !== finding.detector || mark !== finding.fingerprint) return false;
      return grant === undefined || takes(grant.id, finding, target);
    });
  }

  function takes(grant: string, finding: Finding, target: Target): boolean {
    const own = taken.get(target) ?? new Set();
    taken.set(target, own);
    if (own.has(grant)) return grants.holds(grant);
    if (!grants.use(grant)) return false;
    own.add(grant);
    tell(finding, grant, target.host);
    return true;
  }

  return {
    withoutExcepted: (found, target) => found.filter((finding) => !isExcepted(finding, target)),
  };
}
