/** How long a grant is to last, from flags or from one typed word. */
import type { Approve } from "../../keeper/inbox-protocol.ts";
import { UserError, unreachable } from "../../lib/errors.ts";
import { durationText, parseBytes, parseDuration, sizeText } from "./quantities.ts";

export type Lifetime = NonNullable<Approve["lifetime"]>;

export interface LifetimeFlags {
  readonly once?: true;
  readonly for?: string;
  readonly session?: true;
  readonly always?: true;
  readonly bytes?: string;
}

export interface Terms {
  readonly lifetime: Lifetime;
  readonly bytes?: number;
}

/** A bottle that is resumed is the same one; `bottle inbox revoke` ends such a grant earlier. Short: it stands in narrow columns. */
export const LIFELONG = "for the bottle's life, resumed or not";

/** What an approval means that says nothing of it. */
const USUAL: Lifetime = { kind: "for", milliseconds: 3_600_000 };

/** @throws UserError for two lifetimes, or one that cannot be read. */
export function termsOf(flags: LifetimeFlags): Terms {
  const lifetimes: Lifetime[] = [
    ...(flags.once ? [{ kind: "once" as const }] : []),
    ...(flags.for === undefined ? [] : [{ kind: "for" as const, milliseconds: parseDuration(flags.for) }]),
    ...(flags.session ? [{ kind: "session" as const }] : []),
    ...(flags.always ? [{ kind: "always" as const }] : []),
  ];
  if (lifetimes.length > 1) {
    throw new UserError("a grant has one lifetime: --once, --for, --session or --always", { exitCode: 2 });
  }
  const lifetime = lifetimes[0] ?? USUAL;
  return { lifetime, ...(flags.bytes !== undefined && { bytes: parseBytes(flags.bytes) }) };
}

/** One word as typed: `once`, `2h`, `session`, `always`; nothing is the usual. @throws UserError */
export function lifetimeFrom(word: string): Lifetime {
  const kind = (["once", "session", "always"] as const).find((each) => each === word.trim());
  if (kind !== undefined) return { kind };
  return word.trim() === "" ? USUAL : { kind: "for", milliseconds: parseDuration(word.trim()) };
}

export function termsText({ lifetime, bytes }: Terms): string {
  return `${lifetimeText(lifetime)}${bytes === undefined ? "" : `, at most ${sizeText(bytes)}`}`;
}

function lifetimeText(lifetime: Lifetime): string {
  switch (lifetime.kind) {
    case "once":
      return "once, within an hour";
    case "for":
      return `for ${durationText(lifetime.milliseconds)}`;
    case "session":
      return LIFELONG;
    case "always":
      return `${LIFELONG}, and in its manifest from now on`;
    default:
      return unreachable(lifetime);
  }
}
