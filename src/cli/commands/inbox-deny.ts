/** `bottle inbox deny`: no, and why, which the agent is told. */
import { askLine, hasTerminal } from "../ask.ts";
import { findPending } from "../inbox/inboxes.ts";
import { operatorName } from "../inbox/operator.ts";
import { NO_REASON, reasonPart } from "../inbox/reason.ts";
import { summaryOf } from "../inbox/words.ts";
import { rowsBehind, tell } from "../output.ts";

export async function inboxDeny(prefix: string, flags: { readonly reason?: string }): Promise<number> {
  const { keeper, view, pending } = await findPending(prefix);
  for (const row of rowsBehind(`${view.bottle}: `, summaryOf(pending), process.stderr)) tell(row);
  const typed = flags.reason ?? (hasTerminal() ? await askLine("why not? (the agent is told) ", "") : "");
  await keeper.ask({
    op: "deny",
    ticket: pending.ticket,
    by: operatorName(),
    reason: reasonPart(typed).reason ?? NO_REASON,
  });
  tell("denied");
  return 0;
}
