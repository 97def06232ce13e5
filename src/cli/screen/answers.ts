/** What the screen asks keepers to do, and how each of them ended, in a line. */
import type { Keeper } from "../../keeper/control-client.ts";
import { messageOf, UserError, unreachable } from "../../lib/errors.ts";
import { confirm } from "../ask.ts";
import { type AlwaysPlan, planAlways } from "../inbox/always.ts";
import { editAsk } from "../inbox/edit-ask.ts";
import { type Lifetime, termsText } from "../inbox/lifetime.ts";
import { operatorName } from "../inbox/operator.ts";
import { NO_REASON, reasonPart } from "../inbox/reason.ts";
import type { Effect, Subject } from "./state.ts";
import type { ScreenEvent } from "./update.ts";

type Answer = Extract<Effect, { kind: "approve" | "deny" | "revoke" | "freeze" | "thaw" }>;

/** Never throws: what went wrong is an event too. */
export async function answer(keeper: Keeper | undefined, effect: Answer): Promise<ScreenEvent> {
  try {
    if (keeper === undefined) throw new UserError("its bottle has ended");
    return { kind: "done", text: await answerWith(keeper, effect) };
  } catch (error) {
    return failed(error);
  }
}

export function failed(error: unknown): ScreenEvent {
  return { kind: "failed", text: messageOf(error).split("\n")[0] ?? "" };
}

async function answerWith(keeper: Keeper, effect: Answer): Promise<string> {
  const by = operatorName();
  switch (effect.kind) {
    case "approve": {
      const { subject, lifetime } = effect;
      await approve(keeper, subject, lifetime);
      if (subject.ask?.kind === "environment")
        return "agreed; bottle resume --with … gives it, once the bottle has ended";
      return lifetime === undefined ? "approved" : `approved ${termsText({ lifetime })}`;
    }
    case "deny":
      await keeper.ask({
        op: "deny",
        ticket: effect.ticket,
        by,
        reason: reasonPart(effect.reason).reason ?? NO_REASON,
      });
      return "denied";
    case "revoke": {
      const { ticket, reason } = effect;
      await keeper.ask({ op: "revoke", ticket, by, ...reasonPart(reason) });
      return "revoked";
    }
    case "freeze":
      await keeper.ask({ op: "freeze", by, ...reasonPart(effect.reason) });
      return `${effect.bottle} is frozen; t ends that`;
    case "thaw":
      await keeper.ask({ op: "thaw", by });
      return `${effect.bottle} may go on`;
    default:
      return unreachable(effect);
  }
}

async function approve(keeper: Keeper, subject: Subject, lifetime: Lifetime | undefined): Promise<void> {
  const { ticket, digest, ask, isEdited } = subject;
  await keeper.ask({
    ...{ op: "approve", ticket, digest, by: operatorName() },
    ...(isEdited && ask !== undefined && { ask }),
    ...(lifetime !== undefined && { lifetime }),
  });
}

/** Approvals for always, between the showing of what would be written and the yes to it. */
export interface Lasting {
  plan(subject: Subject): Promise<ScreenEvent>;
  carryOut(keeper: Keeper | undefined, subject: Subject): Promise<ScreenEvent>;
}

export function createLasting(): Lasting {
  const plans = new WeakMap<Subject, AlwaysPlan>();
  return {
    async plan(subject) {
      try {
        if (subject.ask === undefined) throw new UserError("only a request can be given for always");
        const plan = await planAlways(subject.bottle, subject.ask);
        plans.set(subject, plan);
        return { kind: "always", subject, passages: plan.passages };
      } catch (error) {
        return failed(error);
      }
    },
    async carryOut(keeper, subject) {
      try {
        const plan = plans.get(subject);
        if (keeper === undefined || plan === undefined) throw new UserError("its bottle has ended");
        await plan.carryOut(() => approve(keeper, subject, { kind: "always" }));
        return { kind: "done", text: `approved ${termsText({ lifetime: { kind: "always" } })}` };
      } catch (error) {
        return failed(error);
      }
    },
  };
}

/** The terminal is the editor's meanwhile. */
export async function edit(
  keeper: Keeper | undefined,
  { view, pending }: Extract<Effect, { kind: "edit" }>,
): Promise<ScreenEvent> {
  try {
    if (keeper === undefined || pending.kind === "push") throw new UserError("there is nothing to edit");
    const ask = await editAsk(pending, (fault) => confirm(`${fault}; edit again?`, ""));
    if (ask === undefined) return { kind: "done", text: "nothing was changed; it still waits" };
    const { ticket } = pending;
    const reply = await keeper.ask({ op: "preview", ticket, ask });
    if (!("preview" in reply)) throw new Error("the keeper did not tell what it would allow");
    return { kind: "edited", bottle: view.bottle, ticket, preview: reply.preview };
  } catch (error) {
    return failed(error);
  }
}
