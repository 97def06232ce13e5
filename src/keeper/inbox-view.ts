/** What an operator is shown of a bottle's requests and grants. */
import * as decide from "../approvals/decide.ts";
import { describeChange } from "../approvals/difference.ts";
import { isActive, type Ledger } from "../approvals/ledger.ts";
import type { ActiveGrant, Pending } from "./inbox-protocol.ts";

/** Those that wait for an answer, each with what it would newly allow now. */
export function pendingRequests(ledger: Ledger, now: decide.Moment): readonly Pending[] {
  return [...ledger.values()].flatMap((request): readonly Pending[] => {
    if (request.outcome.status !== "pending") return [];
    const { ticket, ask, justification, at, deadline } = request;
    const { changes, digest } = decide.shown(request, ask, now);
    const described = changes.map(describeChange);
    return [
      { kind: "request", ticket, ask, justification, changes: [...changes], described, digest, at, deadline },
    ];
  });
}

/** What was given and has not ended. */
export function activeGrants(ledger: Ledger): ActiveGrant[] {
  return [...ledger.values()].flatMap((request): readonly ActiveGrant[] => {
    const { outcome, ticket } = request;
    if (outcome.status !== "approved" || !isActive(request)) return [];
    const { ask, terms, usesLeft, bytesLeft, by, described } = outcome.grant;
    const { expiresAt } = terms;
    return [{ ticket, ask, described: [...described], by, at: outcome.at, expiresAt, usesLeft, bytesLeft }];
  });
}
