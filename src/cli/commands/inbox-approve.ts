/**
 * `bottle inbox approve`. I6: what is approved is what was shown, named by its digest: shown here just before the
 * question, or to whoever names `--digest`. The keeper computes it again, and refuses if anything differs.
 */
import { UserError } from "../../lib/errors.ts";
import { confirm } from "../ask.ts";
import { planAlways } from "../inbox/always.ts";
import { findPending } from "../inbox/inboxes.ts";
import { type LifetimeFlags, termsOf, termsText } from "../inbox/lifetime.ts";
import { operatorName } from "../inbox/operator.ts";
import { flagsFor, isPromise, PROMISE_QUESTION, promiseText } from "../inbox/promise.ts";
import { reasonPart } from "../inbox/reason.ts";
import { showPassages, showPending } from "../inbox/show.ts";
import { tell } from "../output.ts";

export interface ApproveFlags extends LifetimeFlags {
  readonly reason?: string;
  readonly yes?: true;
  readonly digest?: string;
}

export async function inboxApprove(prefix: string, flags: ApproveFlags): Promise<number> {
  const found = await findPending(prefix);
  const { keeper, pending } = found;
  const ask = pending.kind === "request" ? pending.ask : undefined;
  const terms = termsOf(flagsFor(ask, flags));
  const isPush = pending.kind === "push";
  if (
    isPush &&
    [flags.once, flags.for, flags.session, flags.always, flags.bytes].some((each) => each !== undefined)
  ) {
    throw new UserError("a push is approved or denied: it has no lifetime and no bytes", { exitCode: 2 });
  }
  if (flags.yes) refuseUnseen(flags.digest, pending.digest, prefix);
  showPending(found, tell);
  const lasting = pending.kind === "request" && terms.lifetime.kind === "always";
  const plan = lasting ? await planAlways(found.view.bottle, pending.ask) : undefined;
  if (plan !== undefined) showPassages(plan.passages, tell);
  const question = isPush
    ? "let this push through?"
    : isPromise(ask)
      ? PROMISE_QUESTION
      : `approve ${termsText(terms)}?`;
  if (!flags.yes) {
    const hint = `bottle inbox show ${prefix} --json has the digest; add --yes --digest <it> to approve just that`;
    if (!(await confirm(question, hint))) {
      tell("not approved; it still waits");
      return 1;
    }
  }
  const approve = async (): Promise<void> => {
    await keeper.ask({
      op: "approve",
      ticket: pending.ticket,
      ...(!isPush && terms),
      digest: pending.digest,
      by: operatorName(),
      ...reasonPart(flags.reason),
    });
  };
  await (plan === undefined ? approve() : plan.carryOut(approve));
  if (isPromise(ask)) tell(promiseText(found.view.bottle));
  else
    tell(isPush ? "approved" : `approved ${termsText(terms)}; bottle inbox revoke ${prefix} takes it back`);
  return 0;
}

/** A script that says yes to whatever there is approves what nobody has seen. */
function refuseUnseen(given: string | undefined, digest: string, prefix: string): void {
  const hint = `bottle inbox show ${prefix}`;
  if (given === undefined) {
    throw new UserError("--yes needs --digest: the digest of what was shown", { hint, exitCode: 2 });
  }
  if (given !== digest)
    throw new UserError("what it would allow is not what was shown: look at it again", { hint });
}
