/** What the operator may still give by making the guest anew: asked and not answered, or agreed to and not there. */
import { type Allowed, type EnvironmentPart, environmentParts, withGrant } from "./allowed.ts";
import { difference } from "./difference.ts";
import { isActive, type Ledger } from "./ledger.ts";

export interface Unkept {
  readonly status: "pending" | "approved";
  readonly parts: readonly EnvironmentPart[];
}

/** @param planned what the guest is made with. */
export function unkept(planned: Allowed, ledger: Ledger): readonly Unkept[] {
  return [...ledger.values()].flatMap((request): readonly Unkept[] => {
    const { outcome, ticket } = request;
    const status = outcome.status;
    if (status !== "pending" && !(status === "approved" && isActive(request))) return [];
    const ask = outcome.status === "approved" ? outcome.grant.ask : request.ask;
    if (ask.kind !== "environment") return [];
    const missing = difference(planned, withGrant(planned, ask, ticket));
    const parts = environmentParts(ask).filter(({ what, name }) =>
      missing.some((change) => change.kind === "environment" && change.what === what && change.name === name),
    );
    return parts.length === 0 ? [] : [{ status, parts }];
  });
}
