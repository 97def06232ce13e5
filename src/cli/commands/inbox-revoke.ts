/** `bottle inbox revoke`: takes a grant back at once, with the connections that hang on it. */
import { UserError } from "../../lib/errors.ts";
import { findTicket } from "../inbox/inboxes.ts";
import { operatorName } from "../inbox/operator.ts";
import { reasonPart } from "../inbox/reason.ts";
import { grantSummary } from "../inbox/words.ts";
import { rowsBehind, tell } from "../output.ts";

export async function inboxRevoke(prefix: string, flags: { readonly reason?: string }): Promise<number> {
  const found = await findTicket(prefix);
  if (found.kind === "pending") {
    throw new UserError(`${prefix} waits, and nothing was given for it`, {
      hint: `bottle inbox deny ${prefix}`,
    });
  }
  await found.keeper.ask({
    op: "revoke",
    ticket: found.grant.ticket,
    by: operatorName(),
    ...reasonPart(flags.reason),
  });
  const head = `revoked: ${found.view.bottle}: `;
  for (const row of rowsBehind(head, grantSummary(found.grant), process.stderr)) tell(row);
  return 0;
}
