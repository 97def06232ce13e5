/**
 * Grants that another plan would make more of (I6): a host that was given without a credential gets the one that the
 * manifest has put there since, or a repository's name leads elsewhere. What was shown is what was given, so such a grant is over.
 */
import { type Allowed, withGrant } from "./allowed.ts";
import { describeChange, difference } from "./difference.ts";
import { isLive, type Ledger } from "./ledger.ts";

/** Their tickets. @param planned what the bottle may do without them by now. */
export function outgrown(planned: Allowed, ledger: Ledger): readonly string[] {
  return [...ledger.values()].filter(isLive).flatMap(({ ticket, outcome }) => {
    if (outcome.status !== "approved") return [];
    const { ask, described } = outcome.grant;
    const gives = difference(planned, withGrant(planned, ask, ticket)).map(describeChange);
    return gives.every((line) => described.includes(line)) ? [] : [ticket];
  });
}
