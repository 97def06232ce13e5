/**
 * What is decided about requests and grants: each decision is an event for the log, or the reason why there is none.
 * The keeper writes the event, records it, and only then applies it; it decides one at a time, so a decision and its
 * request's expiry never both happen. Default: no.
 */
import { canonicalJson } from "../audit/canonical-json.ts";
import { ASK_LIMITS, type Ask, type GrantTerms, type SuperviseAnswer } from "../contract/approvals.ts";
import { printable } from "../lib/printable.ts";
import { type Allowed, withGrant, withoutGrants } from "./allowed.ts";
import { canonicalAsk } from "./ask.ts";
import { describeChange, difference } from "./difference.ts";
import { digestOf } from "./digest.ts";
import { type ApprovalEvent, isLive, type Ledger, type Request } from "./ledger.ts";

/** Waiting for the operator at once: as many as a person looks through. */
export const MAX_PENDING = 50;
/** How long a denial answers the same ask again, so that nobody is worn out into a yes. */
const DENIAL_HOLDS_MS = 10 * 60_000;
/** What a grant lasts when the operator does not say. */
export const USUAL_GRANT_MS = 60 * 60_000;

type RefusalCode = Extract<SuperviseAnswer, { kind: "refused" }>["code"];

export type Refused = {
  readonly kind: "refused";
  readonly code: RefusalCode | DecisionFault;
  readonly reason: string;
};
type DecisionFault = "stale" | "deadline-passed" | "not-active";

function refused<C extends Refused["code"]>(
  code: C,
  reason: string,
): { kind: "refused"; code: C; reason: string } {
  return { kind: "refused", code, reason };
}

export interface Policy {
  /** What the bottle can do now, grants included. */
  readonly allowed: Allowed;
  /** Names of values known to be secret, and of decoys. */
  readonly secrets: readonly string[];
}

export type Asked =
  | { readonly kind: "new"; readonly event: ApprovalEvent }
  /** The same is asked already, or was denied a moment ago. */
  | { readonly kind: "joined"; readonly request: Request }
  | { readonly kind: "refused"; readonly code: RefusalCode; readonly reason: string };

/** An agent asks. `request` comes from a sidecar that faces the guest. */
export function ask(ledger: Ledger, policy: Policy, request: Omit<Request, "outcome">): Asked {
  const canonical = canonicalAsk(request.ask);
  if (!canonical.ok) return refused("not-grantable", canonical.reason);
  const wanted = canonical.value;
  const fault = faultOf(wanted, policy);
  if (fault !== undefined) return refused("not-grantable", fault);
  const known = joinable(ledger, wanted, request.at);
  if (known !== undefined) return { kind: "joined", request: known };
  const { allowed } = policy;
  if (difference(allowed, withGrant(allowed, wanted, request.ticket)).length === 0) {
    return refused("nothing-new", "the bottle may do this already");
  }
  const pending = [...ledger.values()].filter(({ outcome }) => outcome.status === "pending");
  if (pending.length >= MAX_PENDING) {
    return refused("too-many-pending", `${MAX_PENDING} requests wait for the operator already`);
  }
  const justification = onOneLine(request.justification);
  return { kind: "new", event: { event: "request.asked", data: { ...request, ask: wanted, justification } } };
}

/**
 * People's and agents' words: what the log holds can be shown anywhere, and fits there uncut. Bounded as it is written,
 * since what cannot be shown is written longer than it is: an event with more is none when the log is replayed.
 */
function onOneLine(text: string): string {
  const most = ASK_LIMITS.justification;
  const line = printable(text.replace(/\s+/g, " ").trim(), most);
  return line.length <= most ? line : printable(line, most - 1);
}

/** Why no operator could give this, or undefined. */
function faultOf(ask: Ask, { allowed, secrets }: Policy): string | undefined {
  switch (ask.kind) {
    case "host":
      return undefined;
    case "environment": {
      const held = ask.variables.find((name) => secrets.includes(name));
      return held && `${held} is held outside of the bottle: what it is for works without having it`;
    }
    case "repository":
    case "git-exception": {
      const names = allowed.repos.map(({ name }) => name);
      if (!names.includes(ask.repo)) {
        return `no repository ${ask.repo} is behind the gate${names.length === 0 ? "" : `: there is ${names.join(", ")}`}`;
      }
      if (ask.kind === "repository" || ask.code !== "secret-found") return undefined;
      const known = ask.subjects.find((subject) => secrets.some((name) => subject.startsWith(`${name}:`)));
      return known && "no exception is made for a value that is known to be secret: take it out";
    }
    case "finding":
      return secrets.includes(ask.detector)
        ? "no exception is made for a value that is known to be secret: take it out"
        : undefined;
  }
}

function joinable(ledger: Ledger, ask: Ask, now: number): Request | undefined {
  const text = canonicalJson(ask);
  return [...ledger.values()].findLast(
    ({ ask: other, outcome }) =>
      (outcome.status === "pending" || (outcome.status === "denied" && now - outcome.at < DENIAL_HOLDS_MS)) &&
      canonicalJson(other) === text,
  );
}

export type Lifetime =
  | { readonly kind: "once" }
  | { readonly kind: "for"; readonly milliseconds: number }
  | { readonly kind: "session" | "always" };

export interface Approval {
  readonly ticket: string;
  /** As the operator edited it; absent: as asked. */
  readonly ask?: Ask;
  readonly lifetime: Lifetime;
  /** Of body, both ways. */
  readonly bytes?: number;
  /** {@link digestOf} what the operator was shown. */
  readonly digest: string;
  readonly by: string;
  readonly reason?: string;
}

export interface Moment {
  readonly bottle: string;
  readonly epoch: number;
  readonly allowed: Allowed;
  readonly now: number;
}

export type Decision = { readonly kind: "decided"; readonly event: ApprovalEvent } | Refused;

/**
 * What the operator is shown, and what the approval has to name. Other grants do not count: what one of them gives for
 * once, asked for again with something harmless beside it, would outlive it by an approval that did not name it.
 */
export function shown(request: Request, ask: Ask, { bottle, epoch, allowed }: Moment) {
  const planned = withoutGrants(allowed);
  const changes = difference(planned, withGrant(planned, ask, request.ticket));
  return { changes, digest: digestOf({ bottle, ticket: request.ticket, ask, difference: changes, epoch }) };
}

/** The operator says yes, to exactly what was shown (I6). */
export function approve(ledger: Ledger, approval: Approval, moment: Moment): Decision {
  const { ticket, lifetime, by, reason } = approval;
  const request = pendingOf(ledger, ticket, moment.now);
  if ("kind" in request) return request;
  const canonical = canonicalAsk(approval.ask ?? request.ask);
  if (!canonical.ok) return refused("not-grantable", canonical.reason);
  const { changes, digest } = shown(request, canonical.value, moment);
  if (digest !== approval.digest) {
    return refused("stale", "what it would allow is not what was shown any more: look at it again");
  }
  return {
    kind: "decided",
    event: {
      event: "request.approved",
      data: {
        ticket,
        ask: canonical.value,
        // A word that is kept is not used up, and is not over before it was kept.
        terms: termsOf(
          canonical.value.kind === "environment" ? { kind: "session" } : lifetime,
          approval.bytes ?? null,
          moment.now,
        ),
        digest,
        changes: changes.map(describeChange),
        by,
        ...(reason !== undefined && { reason: onOneLine(reason) }),
        at: moment.now,
      },
    },
  };
}

export function deny(
  ledger: Ledger,
  { ticket, by, reason }: { readonly ticket: string; readonly by: string; readonly reason: string },
  now: number,
): Decision {
  const request = pendingOf(ledger, ticket, now);
  if ("kind" in request) return request;
  return {
    kind: "decided",
    event: { event: "request.denied", data: { ticket, by, reason: onOneLine(reason), at: now } },
  };
}

/** The agent takes its request back. */
export function withdraw(ledger: Ledger, ticket: string, now: number): Decision {
  const request = pendingOf(ledger, ticket, now);
  if ("kind" in request) return request;
  return { kind: "decided", event: { event: "request.withdrawn", data: { ticket, at: now } } };
}

/** The operator takes a grant back. */
export function revoke(
  ledger: Ledger,
  { ticket, by, reason }: { readonly ticket: string; readonly by: string; readonly reason?: string },
  now: number,
): Decision {
  const request = ledger.get(ticket);
  if (request === undefined) return refused("no-such-request", "there is no request with this ticket");
  if (!isLive(request)) return refused("not-active", "no grant is in force for it");
  const data = {
    ticket,
    how: "revoked" as const,
    by,
    ...(reason !== undefined && { reason: onOneLine(reason) }),
    at: now,
  };
  return { kind: "decided", event: { event: "grant.ended", data } };
}

/** A grant was made use of. None for one that is not in force. */
export function use(
  ledger: Ledger,
  used: { readonly ticket: string; readonly uses: number; readonly bytes: number },
  now: number,
): readonly ApprovalEvent[] {
  const request = ledger.get(used.ticket);
  if (request === undefined || !isLive(request) || request.outcome.status !== "approved") return [];
  const { usesLeft, bytesLeft } = request.outcome.grant;
  if (used.uses > 0 && usesLeft === 0) return [];
  // A use that is the last has only begun; without bytes left it is at its end too.
  const spent = bytesLeft !== null && bytesLeft <= used.bytes;
  const events: ApprovalEvent[] = [{ event: "grant.used", data: { ...used, at: now } }];
  if (spent) events.push({ event: "grant.ended", data: { ticket: used.ticket, how: "used-up", at: now } });
  return events;
}

/** What time has decided by `now`: requests that nobody answered, grants that are over. */
export function due(ledger: Ledger, now: number): readonly ApprovalEvent[] {
  return [...ledger.values()].flatMap((request): readonly ApprovalEvent[] => {
    const { ticket, outcome, deadline } = request;
    if (outcome.status === "pending") {
      return now < deadline ? [] : [{ event: "request.expired", data: { ticket, at: now } }];
    }
    if (outcome.status !== "approved" || outcome.grant.ended !== undefined) return [];
    const { terms } = outcome.grant;
    if (outcome.grant.bytesLeft === 0)
      return [{ event: "grant.ended", data: { ticket, how: "used-up", at: now } }];
    if (terms.expiresAt === null || now < terms.expiresAt) return [];
    return [{ event: "grant.ended", data: { ticket, how: "expired", at: now } }];
  });
}

/** When {@link due} has something next; undefined: never. */
export function nextDue(ledger: Ledger): number | undefined {
  const times = [...ledger.values()].flatMap(({ outcome, deadline }) => {
    if (outcome.status === "pending") return [deadline];
    if (outcome.status !== "approved" || outcome.grant.ended !== undefined) return [];
    return outcome.grant.terms.expiresAt ?? [];
  });
  return times.length === 0 ? undefined : Math.min(...times);
}

function pendingOf(ledger: Ledger, ticket: string, now: number): Request | Refused {
  const request = ledger.get(ticket);
  if (request === undefined) return refused("no-such-request", "there is no request with this ticket");
  if (request.outcome.status !== "pending") {
    return refused("not-pending", `it was ${request.outcome.status} already`);
  }
  if (now >= request.deadline)
    return refused("deadline-passed", "its deadline has passed, and the answer is no");
  return request;
}

function termsOf(lifetime: Lifetime, bytes: number | null, now: number): GrantTerms {
  switch (lifetime.kind) {
    case "once":
      return { lifetime: "once", expiresAt: now + USUAL_GRANT_MS, uses: 1, bytes };
    case "for":
      return { lifetime: "for", expiresAt: now + lifetime.milliseconds, uses: null, bytes };
    case "session":
    case "always":
      return { lifetime: lifetime.kind, expiresAt: null, uses: null, bytes };
  }
}
