/** A yes that gives nothing by itself: it is kept when the bottle is resumed, so there is no time for which it holds. */
import type { Ask } from "../../contract/approvals.ts";
import type { LifetimeFlags } from "./lifetime.ts";

export function isPromise(ask: Ask | undefined): boolean {
  return ask?.kind === "environment";
}

/** Such a yes lasts as long as the bottle, whatever was said. */
export function flagsFor(ask: Ask | undefined, flags: LifetimeFlags): LifetimeFlags {
  return isPromise(ask) && !flags.always ? { session: true } : flags;
}

export const PROMISE_QUESTION = "approve this, to be given by bottle resume?";

export function promiseText(bottle: string): string {
  return `agreed; it is given by bottle resume ${bottle} --with …, once the bottle has ended`;
}
