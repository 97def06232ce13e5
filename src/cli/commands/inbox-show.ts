/** `bottle inbox show`: one request, push or grant, whole. */
import { findTicket } from "../inbox/inboxes.ts";
import { showPassages, showPending } from "../inbox/show.ts";
import { bottleText, grantPassages } from "../inbox/words.ts";
import { print, printJson } from "../output.ts";

export async function inboxShow(ticket: string, flags: { readonly json?: true }): Promise<number> {
  const found = await findTicket(ticket);
  if (flags.json) {
    const { bottle, agent, frozen, now } = found.view;
    const shown = found.kind === "pending" ? { pending: found.pending } : { grant: found.grant };
    printJson({ bottle, agent, frozen, now, ...shown });
  } else if (found.kind === "pending") showPending(found, print);
  else {
    print(`${found.grant.ticket}  a grant of ${bottleText(found.view)}`);
    showPassages(grantPassages(found.grant, found.view.now), print);
  }
  return 0;
}
