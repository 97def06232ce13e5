/**
 * The requests and grants of one bottle: a value, made of the log's events and of nothing else. Replaying the log is
 * the state, so a keeper that was killed between a decision and its effect comes back to what was decided. An event
 * that does not fit (a use of a grant that has ended, a second decision) changes nothing: no order of events gives
 * more than the decisions in it gave.
 */
import type * as z from "zod";
import {
  type Ask,
  approvalEventSchemas,
  type Capabilities,
  type GrantTerms,
  type RequestView,
} from "../contract/approvals.ts";
import type { Allowed } from "./allowed.ts";
import { withGrant } from "./allowed.ts";

type Schemas = typeof approvalEventSchemas;
export type ApprovalEvent = {
  readonly [N in keyof Schemas]: { readonly event: N; readonly data: z.infer<Schemas[N]> };
}[keyof Schemas];

export interface Grant {
  readonly ask: Ask;
  readonly terms: GrantTerms;
  /** Who gave it, and what it newly allowed by then. */
  readonly by: string;
  readonly described: readonly string[];
  readonly usesLeft: number | null;
  readonly bytesLeft: number | null;
  readonly ended?: {
    readonly how: "used-up" | "expired" | "revoked";
    readonly at: number;
    readonly reason?: string;
  };
}

export interface Request {
  readonly ticket: string;
  readonly ask: Ask;
  /** The agent's words: hostile, and of no consequence. */
  readonly justification: string;
  readonly at: number;
  readonly deadline: number;
  readonly outcome:
    | { readonly status: "pending" }
    | { readonly status: "approved"; readonly at: number; readonly reason?: string; readonly grant: Grant }
    | { readonly status: "denied"; readonly at: number; readonly reason: string }
    | { readonly status: "expired" | "withdrawn"; readonly at: number };
}

/** By ticket, oldest first. */
export type Ledger = ReadonlyMap<string, Request>;

/** Settled requests that are remembered besides: an agent that asks all day must not grow the keeper. The log has all. */
const REMEMBERED = 200;

export const EMPTY_LEDGER: Ledger = new Map();

/** The log's event, when it is one of these and whole. */
export function approvalEvent(event: string, data: unknown): ApprovalEvent | undefined {
  if (!Object.hasOwn(approvalEventSchemas, event)) return undefined;
  const name = event as keyof Schemas;
  const parsed = approvalEventSchemas[name].safeParse(data);
  // The name and its own schema's data belong together.
  return parsed.success ? ({ event: name, data: parsed.data } as ApprovalEvent) : undefined;
}

export function record(ledger: Ledger, { event, data }: ApprovalEvent): Ledger {
  const request = ledger.get(data.ticket);
  if (event === "request.asked") {
    const { ticket, ask, justification, at, deadline } = data;
    if (request !== undefined) return ledger;
    const added: Request = { ticket, ask, justification, at, deadline, outcome: { status: "pending" } };
    return pruned(new Map([...ledger, [ticket, added]]));
  }
  const outcome = request && outcomeAfter(request.outcome, { event, data } as Settling);
  if (request === undefined || outcome === undefined) return ledger;
  return new Map(ledger).set(data.ticket, { ...request, outcome });
}

export function replay(events: Iterable<ApprovalEvent>): Ledger {
  let ledger = EMPTY_LEDGER;
  for (const event of events) ledger = record(ledger, event);
  return ledger;
}

type Settling = Exclude<ApprovalEvent, { event: "request.asked" }>;

/** Undefined where the event does not fit. */
function outcomeAfter(
  outcome: Request["outcome"],
  { event, data }: Settling,
): Request["outcome"] | undefined {
  const { at } = data;
  const pending = outcome.status === "pending";
  switch (event) {
    case "request.approved": {
      if (!pending) return undefined;
      const { ask, terms, reason, by, changes: described } = data;
      const grant = { ask, terms, by, described, usesLeft: terms.uses, bytesLeft: terms.bytes };
      return { status: "approved", at, ...(reason !== undefined && { reason }), grant };
    }
    case "request.denied":
      return pending ? { status: "denied", at, reason: data.reason } : undefined;
    case "request.expired":
      return pending ? { status: "expired", at } : undefined;
    case "request.withdrawn":
      return pending ? { status: "withdrawn", at } : undefined;
    case "grant.used": {
      if (outcome.status !== "approved" || outcome.grant.ended !== undefined) return undefined;
      const { grant } = outcome;
      const usesLeft = minus(grant.usesLeft, data.uses);
      const bytesLeft = minus(grant.bytesLeft, data.bytes);
      return { ...outcome, grant: { ...grant, usesLeft, bytesLeft } };
    }
    case "grant.ended": {
      if (outcome.status !== "approved" || outcome.grant.ended !== undefined) return undefined;
      const { how, reason } = data;
      const ended = { how, at, ...(reason !== undefined && { reason }) };
      return { ...outcome, grant: { ...outcome.grant, ended } };
    }
  }
}

function minus(left: number | null, amount: number): number | null {
  return left === null ? null : Math.max(0, left - amount);
}

function pruned(ledger: Map<string, Request>): Ledger {
  const settled = [...ledger.values()].filter(
    (request) => request.outcome.status !== "pending" && !isLive(request),
  );
  for (const { ticket } of settled.slice(0, Math.max(0, settled.length - REMEMBERED))) ledger.delete(ticket);
  return ledger;
}

/** Whether something may still be under way on a grant: its last use may last, and is taken back like any. */
export function isLive({ outcome }: Request): boolean {
  return outcome.status === "approved" && outcome.grant.ended === undefined && outcome.grant.bytesLeft !== 0;
}

/** Whether a grant is in force, as far as events say; its time may be over, which {@link due} makes an event of. */
export function isActive({ outcome }: Request): boolean {
  return outcome.status === "approved" && outcome.grant.ended === undefined && !isSpent(outcome.grant);
}

export function isSpent({ usesLeft, bytesLeft }: Grant): boolean {
  return usesLeft === 0 || bytesLeft === 0;
}

/** What the bottle may do with every grant that is in force at `now`. */
export function allowedNow(planned: Allowed, ledger: Ledger, now: number): Allowed {
  return withGrants(planned, ledger, now, isActive);
}

/** The same with those of which the last use may be under way: what sidecars are told, who count uses themselves. */
export function liveNow(planned: Allowed, ledger: Ledger, now: number): Allowed {
  return withGrants(planned, ledger, now, isLive);
}

function withGrants(
  planned: Allowed,
  ledger: Ledger,
  now: number,
  counts: (request: Request) => boolean,
): Allowed {
  let allowed = planned;
  for (const request of ledger.values()) {
    const { outcome, ticket } = request;
    if (outcome.status !== "approved" || !counts(request)) continue;
    const { expiresAt } = outcome.grant.terms;
    if (expiresAt === null || now < expiresAt) allowed = withGrant(allowed, outcome.grant.ask, ticket);
  }
  return allowed;
}

/** As the agent is told. */
export function viewOf({ ticket, ask, deadline, outcome }: Request): RequestView {
  const common = { ticket, ask, deadline, status: outcome.status };
  switch (outcome.status) {
    case "approved": {
      const { grant, reason } = outcome;
      const { ended, usesLeft, bytesLeft, terms } = grant;
      return {
        ...common,
        ...(reason !== undefined && { reason }),
        grant: {
          ask: grant.ask,
          status: ended?.how ?? (isSpent(grant) ? "used-up" : "active"),
          expiresAt: terms.expiresAt,
          usesLeft,
          bytesLeft,
          ...(ended?.reason !== undefined && { reason: ended.reason }),
        },
      };
    }
    case "denied":
      return { ...common, reason: outcome.reason };
    default:
      return common;
  }
}

/** As the agent is told: no secret, and no name of one. */
export function capabilitiesOf({ routes, repos }: Allowed): Capabilities {
  return {
    routes: routes.map(({ host, matches, auth }) => ({
      host,
      matches: matches.map(({ paths, methods, headers }) => ({
        ...(paths !== undefined && { paths: [...paths] }),
        ...(methods !== undefined && { methods: [...methods] }),
        ...(headers !== undefined && { headers: headers.map(({ name }) => name) }),
      })),
      authenticated: auth !== undefined,
    })),
    repos: repos.map(({ name, refs }) => ({
      name,
      refs: refs.map(({ pattern, force, delete: remove }) => ({ pattern, force, delete: remove })),
    })),
  };
}
