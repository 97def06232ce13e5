/**
 * What the operator's commands and a bottle's keeper say of requests, pushes that wait and grants. An answer names what
 * was shown by its digest, and the keeper computes that anew (I6).
 */
import * as z from "zod";
import { askSchema, changeSchema, ticketSchema } from "../contract/approvals.ts";
import { gitReviewSchema } from "../contract/git-gate.ts";

const instant = z.number().int();

/** What waits for an answer. Every text in it that came from the agent is on one line, and still the agent's. */
const pendingSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("request"),
    ticket: ticketSchema,
    ask: askSchema,
    justification: z.string(),
    /** What would newly be possible, as data and in words; the same order. */
    changes: z.array(changeSchema),
    described: z.array(z.string()),
    digest: z.string(),
    at: instant,
    deadline: instant,
  }),
  /** A push to a repository with `review: true`. */
  z.strictObject({
    kind: z.literal("push"),
    ticket: ticketSchema,
    review: gitReviewSchema,
    digest: z.string(),
    at: instant,
    deadline: instant,
  }),
]);
export type Pending = z.infer<typeof pendingSchema>;

const activeGrantSchema = z.strictObject({
  ticket: ticketSchema,
  ask: askSchema,
  /** What it newly allowed when it was given. */
  described: z.array(z.string()),
  by: z.string(),
  at: instant,
  expiresAt: instant.nullable(),
  usesLeft: z.number().nullable(),
  bytesLeft: z.number().nullable(),
});
export type ActiveGrant = z.infer<typeof activeGrantSchema>;

export const inboxSchema = z.strictObject({
  bottle: z.string(),
  agent: z.string(),
  label: z.string().exactOptional(),
  frozen: z.boolean(),
  /** Why, where it is not by a decision: nothing can be recorded. */
  lack: z.string().exactOptional(),
  /** By the keeper's clock, as all times here are: the host's may have been set back since it began. */
  now: instant,
  /** Oldest first. */
  pending: z.array(pendingSchema),
  grants: z.array(activeGrantSchema),
});
export type InboxView = z.infer<typeof inboxSchema>;

/** An edited ask, in its one spelling, with what it would allow. */
export const previewSchema = z.strictObject({
  ask: askSchema,
  changes: z.array(changeSchema),
  described: z.array(z.string()),
  digest: z.string(),
});
export type Preview = z.infer<typeof previewSchema>;

const lifetimeSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("once") }),
  z.strictObject({ kind: z.literal("for"), milliseconds: z.number().int().min(1_000) }),
  z.strictObject({ kind: z.literal("session") }),
  /** As `session`; who approves has written the manifest. */
  z.strictObject({ kind: z.literal("always") }),
]);

const token = z.string();
/** Whoever answers, for the log: a user's name. */
const by = z.string().min(1).max(200);
const reason = z.string().max(2_000);

/** Requests of the control socket; each is answered with `{inbox}`, `{preview}` or `{done}`. */
export const inboxRequests = [
  z.strictObject({ op: z.literal("inbox"), token }),
  /** Answered with one `{inbox}` line now and one at every change, until either side hangs up. */
  z.strictObject({ op: z.literal("inbox-watch"), token }),
  z.strictObject({ op: z.literal("preview"), token, ticket: ticketSchema, ask: askSchema }),
  /** Of a request or a push. Answered once it is in force. */
  z.strictObject({
    op: z.literal("approve"),
    token,
    ticket: ticketSchema,
    /** As edited; absent: as asked. Neither goes with a push. */
    ask: askSchema.exactOptional(),
    lifetime: lifetimeSchema.exactOptional(),
    bytes: z.number().int().min(1).exactOptional(),
    digest: z.string(),
    by,
    reason: reason.exactOptional(),
  }),
  z.strictObject({ op: z.literal("deny"), token, ticket: ticketSchema, by, reason }),
  z.strictObject({
    op: z.literal("revoke"),
    token,
    ticket: ticketSchema,
    by,
    reason: reason.exactOptional(),
  }),
  z.strictObject({ op: z.literal("freeze"), token, by, reason: reason.exactOptional() }),
  z.strictObject({ op: z.literal("thaw"), token, by }),
] as const;
type InboxRequest = z.infer<(typeof inboxRequests)[number]>;
export type Approve = Extract<InboxRequest, { op: "approve" }>;
export type Deny = Extract<InboxRequest, { op: "deny" }>;
export type Revoke = Extract<InboxRequest, { op: "revoke" }>;
