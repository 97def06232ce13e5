/**
 * What waits for the operator of one bottle, and what was given. One thing is decided at a time: it is an event on the
 * log first, then it is put in force, then it is told (I8). What the log says is what holds, so a keeper that was
 * killed in between comes back to it (I9), and nobody on the guest's side has a way to answer (I6).
 */
import { randomBytes } from "node:crypto";
import type { Allowed } from "../approvals/allowed.ts";
import { canonicalAsk } from "../approvals/ask.ts";
import * as decide from "../approvals/decide.ts";
import { describeChange } from "../approvals/difference.ts";
import {
  type ApprovalEvent,
  allowedNow,
  type Ledger,
  liveNow,
  type Request,
  record,
  viewOf,
} from "../approvals/ledger.ts";
import type { AuditLog } from "../audit/log.ts";
import {
  type Ask,
  type RequestView,
  type SuperviseAnswer,
  superviseAskSchema,
} from "../contract/approvals.ts";
import type { GitReviewAnswer } from "../contract/git-gate.ts";
import { UserError } from "../lib/errors.ts";
import { createSteadyClock } from "../lib/steady-clock.ts";
import type { Approve, Deny, InboxView, Preview, Revoke } from "./inbox-protocol.ts";
import { activeGrants, pendingRequests } from "./inbox-view.ts";
import { createPushReviews } from "./push-reviews.ts";

/** What holds from now on. */
export interface InForce {
  /** By the inbox's clock. */
  readonly now: number;
  /** With what was given and can be made use of. */
  readonly allowed: Allowed;
  /** With what was given and may be under way besides. */
  readonly live: Allowed;
  readonly ledger: Ledger;
  readonly frozen: boolean;
}

export interface InboxOptions {
  readonly bottle: string;
  readonly log: Pick<AuditLog, "append" | "happened">;
  /** What the bottle may do without any grant. */
  readonly planned: Allowed;
  /** Names of values that are known to be secret. */
  readonly secrets: readonly string[];
  /** From the log of the bottle's earlier life. */
  readonly ledger: Ledger;
  readonly frozen: boolean;
  /** Why nothing can be recorded for now, and the bottle is frozen by that; undefined while it can. */
  readonly lack?: () => string | undefined;
  /** How long an answer is waited for. */
  readonly patienceMs: number;
  /** What is given for a while ends by this one, which nobody sets back. */
  readonly clock?: () => number;
  /** Resolves once what is allowed now is in force in every sidecar. */
  readonly apply: () => Promise<void>;
  /** Resolves once supervise knows how the requests stand. */
  readonly tellAgent: () => Promise<void>;
  /** Something happened that an operator may want to hear of. */
  readonly notify: (event: string, data: object) => void;
}

export interface Inbox {
  readonly state: InForce;
  /** By a decision. */
  readonly isFrozen: boolean;
  /** What supervise asks, as it came. */
  ask(data: unknown): Promise<SuperviseAnswer>;
  /** What git-gate asks; answered once the operator has, or nobody did in time. */
  review(data: unknown): Promise<GitReviewAnswer>;
  /** As the agent is told. */
  requests(): readonly RequestView[];
  view(): Pick<InboxView, "frozen" | "lack" | "now" | "pending" | "grants">;
  preview(ticket: string, ask: Ask): Preview;
  approve(answer: Approve): Promise<void>;
  deny(answer: Deny): Promise<void>;
  revoke(answer: Revoke): Promise<void>;
  freeze(by: string, reason?: string): Promise<void>;
  thaw(by: string): Promise<void>;
  /** On the log when this resolves: what asks may wait for it. */
  used(use: { readonly ticket: string; readonly uses: number; readonly bytes: number }): Promise<void>;
  /** What an operator sees has changed by something that was not decided here. */
  changed(event: string, data: object): void;
  /** Called after every change. @returns what ends that. */
  watch(onChange: () => void): () => void;
  close(): void;
}

/** Timers hear nothing of a machine that slept, or of a clock that was set forward: so often somebody looks. */
const LONGEST_WAIT_MS = 5_000;

export function createInbox(options: InboxOptions): Inbox {
  const { bottle, log, planned, secrets, patienceMs, notify, lack = () => undefined } = options;
  const { clock = createSteadyClock() } = options;
  const pushes = createPushReviews({ bottle, log, patienceMs, notify, clock });
  let ledger = options.ledger;
  let frozen = options.frozen;
  /** Counts the changes of what the bottle may do. */
  let epoch = 0;
  let inForce = `${epoch} ${frozen}`;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  let tail: Promise<unknown> = Promise.resolve();
  const watchers = new Set<() => void>();

  const allowed = (now: number): Allowed => allowedNow(planned, ledger, now);
  const state = (): InForce => {
    const now = clock();
    return {
      now,
      allowed: allowed(now),
      live: liveNow(planned, ledger, now),
      ledger,
      frozen: frozen || lack() !== undefined,
    };
  };
  const moment = (now: number): decide.Moment => ({ bottle, epoch, allowed: allowed(now), now });

  /** One at a time, in the order in which they came. */
  function inTurn<T>(step: () => Promise<T>): Promise<T> {
    const done = tail.then(step);
    tail = done.catch(() => {});
    return done;
  }

  async function settle(event: ApprovalEvent): Promise<void> {
    await log.append(event.event, event.data);
    adopt(event);
  }

  function adopt(event: ApprovalEvent): void {
    ledger = record(ledger, event);
    if (event.event === "request.approved" || event.event === "grant.ended") epoch += 1;
  }

  /** Limits first, then whoever waits is told. What no limit hangs on costs the other sidecars nothing. */
  async function putInForce(): Promise<void> {
    arm();
    try {
      const wanted = `${epoch} ${frozen}`;
      if (wanted !== inForce) await options.apply();
      inForce = wanted;
      await options.tellAgent();
    } finally {
      for (const tell of watchers) tell();
    }
  }

  /** When time decides something next; for ever, where it does not. */
  function nextDue(): number {
    const never = Number.POSITIVE_INFINITY;
    return Math.min(decide.nextDue(ledger) ?? never, pushes.nextDue() ?? never);
  }

  function arm(): void {
    clearTimeout(timer);
    const next = nextDue();
    if (closed || next === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(Math.max(0, next - clock()), LONGEST_WAIT_MS);
    // What fails is told by whoever failed: the log ends the bottle, and a sidecar that was not told is ended.
    timer = setTimeout(() => void inTurn(pass).catch(() => {}), wait);
  }

  /** What time has decided. */
  async function pass(): Promise<void> {
    const now = clock();
    // Somebody looked too early, and there is nothing to tell.
    if (now < nextDue()) return arm();
    for (const event of decide.due(ledger, now)) {
      await settle(event);
      notify(event.event, event.data);
    }
    await pushes.expire(now);
    await putInForce();
  }

  function requestNamed(ticket: string): Request {
    const request = ledger.get(ticket);
    if (request === undefined) throw new UserError(`bottle ${bottle} has no request ${ticket}`, LOOK_AGAIN);
    return request;
  }

  async function decided(decision: decide.Decision): Promise<void> {
    if (decision.kind === "refused") throw new UserError(decision.reason, LOOK_AGAIN);
    await settle(decision.event);
    await putInForce();
  }

  async function setFrozen(to: boolean, event: string, data: object): Promise<void> {
    if (frozen === to) return;
    await log.append(event, { ...data });
    frozen = to;
    await putInForce();
  }

  arm();
  return {
    get state() {
      return state();
    },
    get isFrozen() {
      return frozen;
    },
    ask: (data) =>
      inTurn(async (): Promise<SuperviseAnswer> => {
        const parsed = superviseAskSchema.safeParse(data);
        if (!parsed.success) return refused("not-grantable", "this is no request that there is");
        const now = clock();
        if (parsed.data.kind === "withdraw") {
          const { ticket } = parsed.data;
          const decision = decide.withdraw(ledger, ticket, now);
          if (decision.kind === "refused") return answerOf(decision);
          await settle(decision.event);
          await putInForce();
          return { kind: "request", request: viewOf(requestNamed(ticket)), joined: false };
        }
        const ticket = randomBytes(16).toString("hex");
        const { ask, justification } = parsed.data;
        const request = { ticket, ask, justification, at: now, deadline: now + patienceMs };
        const asked = decide.ask(ledger, { allowed: allowed(now), secrets }, request);
        if (asked.kind === "refused") return answerOf(asked);
        if (asked.kind === "joined") return { kind: "request", request: viewOf(asked.request), joined: true };
        await settle(asked.event);
        notify(asked.event.event, asked.event.data);
        await putInForce();
        return { kind: "request", request: viewOf(requestNamed(ticket)), joined: false };
      }),
    async review(data) {
      const asked = await inTurn(async () => {
        const waiting = await pushes.ask(data);
        await putInForce();
        return waiting;
      });
      return await asked.answered;
    },
    requests: () => [...ledger.values()].map(viewOf),
    view() {
      const now = clock();
      const requests = pendingRequests(ledger, moment(now));
      const pending = [...requests, ...pushes.pending()].sort((a, b) => a.at - b.at);
      const reason = lack();
      return {
        frozen: frozen || reason !== undefined,
        ...(reason !== undefined && { lack: reason }),
        now,
        pending,
        grants: activeGrants(ledger),
      };
    },
    preview(ticket, ask) {
      const canonical = canonicalAsk(ask);
      if (!canonical.ok) throw new UserError(canonical.reason);
      const { changes, digest } = decide.shown(requestNamed(ticket), canonical.value, moment(clock()));
      return { ask: canonical.value, changes: [...changes], described: changes.map(describeChange), digest };
    },
    approve: (answer) =>
      inTurn(async () => {
        if (pushes.has(answer.ticket)) {
          await pushes.approve(answer.ticket, answer);
          await putInForce();
          return;
        }
        const { ticket, ask, bytes, digest, by, reason } = answer;
        const approval: decide.Approval = {
          ...{ ticket, digest, by, lifetime: answer.lifetime ?? USUALLY },
          ...(ask !== undefined && { ask }),
          ...(bytes !== undefined && { bytes }),
          ...(reason !== undefined && { reason }),
        };
        const decision = decide.approve(ledger, approval, moment(clock()));
        // Said before anything is undone: what was given by an earlier answer is none of this one's.
        if (decision.kind === "refused") throw new UserError(decision.reason, LOOK_AGAIN);
        try {
          await decided(decision);
        } catch (error) {
          // What a sidecar will not have is not in force, and the log must not say that it is.
          const undone = decide.revoke(ledger, { ticket, by: "keeper", reason: NOT_APPLIED }, clock());
          if (undone.kind === "decided") await settle(undone.event).then(putInForce, () => {});
          throw error;
        }
      }),
    deny: (answer) =>
      inTurn(async () => {
        if (!pushes.has(answer.ticket)) return decided(decide.deny(ledger, answer, clock()));
        await pushes.refuse(answer.ticket, answer);
        await putInForce();
      }),
    revoke: ({ ticket, by, reason }) =>
      inTurn(() => {
        const why = { ticket, by, ...(reason !== undefined && { reason }) };
        return decided(decide.revoke(ledger, why, clock()));
      }),
    freeze: (by, reason) =>
      inTurn(() => setFrozen(true, "bottle.frozen", { by, ...(reason !== undefined && { reason }) })),
    thaw: (by) => inTurn(() => setFrozen(false, "bottle.thawed", { by })),
    async used(use) {
      const recorded = await inTurn(async () => {
        const grant = ledger.get(use.ticket);
        if (grant?.outcome.status !== "approved") return [];
        const { uses, bytes } = grant.outcome.grant.terms;
        // Without a bound there is nothing to count down; the log has each use as egress told it.
        if (uses === null && bytes === null) return [];
        const events = decide.use(ledger, use, clock());
        // It only takes away, so it holds at once: where there is no room to record it, nobody else has to wait.
        const recording = events.map(({ event, data }) => log.happened(event, data));
        for (const each of recording) each.catch(() => {});
        for (const event of events) adopt(event);
        if (events.some(({ event }) => event === "grant.ended")) await putInForce();
        else if (uses !== null) await options.tellAgent();
        return recording;
      });
      await Promise.all(recorded);
    },
    changed(event, data) {
      notify(event, data);
      // What could not be recorded when its time came can be by now.
      arm();
      for (const tell of watchers) tell();
    },
    watch(onChange) {
      watchers.add(onChange);
      return () => void watchers.delete(onChange);
    },
    close() {
      closed = true;
      clearTimeout(timer);
      pushes.close();
    },
  };
}

const USUALLY: decide.Lifetime = { kind: "for", milliseconds: decide.USUAL_GRANT_MS };
const LOOK_AGAIN = { hint: "bottle inbox" };
const NOT_APPLIED = "a sidecar could not be told";

type RefusalCode = Extract<SuperviseAnswer, { kind: "refused" }>["code"];

function refused(code: RefusalCode, reason: string): SuperviseAnswer {
  return { kind: "refused", code, reason };
}

/** Faults that only an operator can meet are none that the agent could mend. */
function answerOf({ code, reason }: decide.Refused): SuperviseAnswer {
  switch (code) {
    case "stale":
    case "not-active":
      return refused("unavailable", reason);
    case "deadline-passed":
      return refused("not-pending", reason);
    default:
      return refused(code, reason);
  }
}
