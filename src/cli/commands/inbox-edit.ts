/** `bottle inbox edit`: gives something else than was asked for, once what that would allow was shown. */
import { UserError } from "../../lib/errors.ts";
import { confirm, hasTerminal } from "../ask.ts";
import { planAlways } from "../inbox/always.ts";
import { editAsk } from "../inbox/edit-ask.ts";
import { findPending } from "../inbox/inboxes.ts";
import { type LifetimeFlags, termsOf, termsText } from "../inbox/lifetime.ts";
import { operatorName } from "../inbox/operator.ts";
import { flagsFor, isPromise, PROMISE_QUESTION, promiseText } from "../inbox/promise.ts";
import { reasonPart } from "../inbox/reason.ts";
import { showPassages, showPending } from "../inbox/show.ts";
import { tell } from "../output.ts";

export async function inboxEdit(
  prefix: string,
  flags: LifetimeFlags & { readonly reason?: string },
): Promise<number> {
  // Refused before anything is shown.
  termsOf(flags);
  const found = await findPending(prefix);
  const { keeper, pending } = found;
  if (pending.kind === "push") {
    throw new UserError("a push is what it is: approve or deny it", { hint: `bottle inbox show ${prefix}` });
  }
  if (!hasTerminal()) {
    throw new UserError("there is no terminal to edit on", {
      hint: `bottle inbox approve ${prefix}, or deny it with the reason: the agent can ask for something narrower`,
    });
  }
  showPending(found, tell);
  const ask = await editAsk(pending, (fault) => confirm(`${fault}; edit again?`, ""));
  if (ask === undefined) {
    tell("nothing was changed; it still waits");
    return 1;
  }
  const reply = await keeper.ask({ op: "preview", ticket: pending.ticket, ask });
  if (!("preview" in reply)) throw new Error("the keeper did not tell what it would allow");
  const { preview } = reply;
  const terms = termsOf(flagsFor(preview.ask, flags));
  showPassages(
    [
      {
        heading: "as you wrote it, would newly be possible",
        lines: preview.described.length === 0 ? ["nothing"] : preview.described,
        kind: "fact",
      },
    ],
    tell,
  );
  const plan =
    terms.lifetime.kind === "always" ? await planAlways(found.view.bottle, preview.ask) : undefined;
  if (plan !== undefined) showPassages(plan.passages, tell);
  const question = isPromise(preview.ask) ? PROMISE_QUESTION : `approve that ${termsText(terms)}?`;
  if (!(await confirm(question, ""))) {
    tell("not approved; it still waits");
    return 1;
  }
  const approve = async (): Promise<void> => {
    await keeper.ask({
      op: "approve",
      ticket: pending.ticket,
      ask: preview.ask,
      ...terms,
      digest: preview.digest,
      by: operatorName(),
      ...reasonPart(flags.reason),
    });
  };
  await (plan === undefined ? approve() : plan.carryOut(approve));
  if (isPromise(preview.ask)) tell(promiseText(found.view.bottle));
  else tell(`approved ${termsText(terms)}; bottle inbox revoke ${prefix} takes it back`);
  return 0;
}
