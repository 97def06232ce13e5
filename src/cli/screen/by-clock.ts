/** A view's times by this process's clock: the keeper's goes on where the host's was set back. */
import type { InboxView } from "../../keeper/inbox-protocol.ts";

/** @param now as the keeper said it. */
export function byClock(view: InboxView, now: number): InboxView {
  const here = (instant: number): number => instant - view.now + now;
  return {
    ...view,
    now,
    pending: view.pending.map((each) => ({ ...each, at: here(each.at), deadline: here(each.deadline) })),
    grants: view.grants.map((each) => ({
      ...each,
      at: here(each.at),
      expiresAt: each.expiresAt === null ? null : here(each.expiresAt),
    })),
  };
}
