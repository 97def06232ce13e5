/**
 * How a command talks to a bottle's keeper, over a Unix socket in a 0700 folder. One connection a purpose; its
 * first line carries the token of a 0600 file and says which. Answers are lines; `stream` and `dial` go on as
 * raw bytes. A person who can read the token could as well read the operator's keys.
 */
import * as z from "zod";
import type { ExitStatus } from "../contract/backend.ts";
import { BACKEND_NAMES } from "../contract/isolation.ts";
import type { WorkSummary } from "../provision/workspace/work.ts";
import { inboxRequests, inboxSchema, previewSchema } from "./inbox-protocol.ts";

/** Longest request line: one exec's argv and environment. */
export const MAX_REQUEST_BYTES = 4 * 1024 * 1024;

const size = z.strictObject({
  cols: z.number().int().min(1).max(10_000),
  rows: z.number().int().min(1).max(10_000),
});
const session = z.string().regex(/^[0-9a-f]{32}$/);
const token = z.string();

export const requestSchema = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("status"), token }),
  /** A command beside the agent. Streams 0, 1 and 2 follow on connections of their own; a terminal uses 0 alone. */
  z.strictObject({
    op: z.literal("exec"),
    token,
    session,
    argv: z.array(z.string()).min(1),
    cwd: z.string().optional(),
    env: z.record(z.string(), z.string()).optional(),
    tty: size.optional(),
  }),
  /** The agent itself: started when `start` is set and it has not been; otherwise joined. Streams as above. */
  z.strictObject({ op: z.literal("agent"), token, session, start: z.boolean(), tty: size.optional() }),
  z.strictObject({ op: z.literal("stream"), token, session, number: z.number().int().min(0).max(2) }),
  z.strictObject({ op: z.literal("dial"), token, port: z.number().int().min(1).max(65_535) }),
  z.strictObject({ op: z.literal("copy-in"), token, from: z.string(), to: z.string() }),
  z.strictObject({ op: z.literal("copy-out"), token, from: z.string(), to: z.string() }),
  /** The guest's disk, as it is at one moment, to the state directories of other bottles. */
  z.strictObject({ op: z.literal("copy-disk"), token, to: z.array(z.string()).min(1), why: z.string() }),
  /** Takes the agent's work out into `state/<id>/work.git`, now. */
  z.strictObject({ op: z.literal("export"), token }),
  /** Ends the agent and the bottle; answers when nothing is left running. */
  z.strictObject({ op: z.literal("stop"), token }),
  ...inboxRequests,
]);
export type ControlRequest = z.infer<typeof requestSchema>;

/** After the first line of `exec` and `agent`. */
export const commandSchema = z.union([
  z.strictObject({ kill: z.string() }),
  z.strictObject({ resize: size }),
]);
export type ControlCommand = z.infer<typeof commandSchema>;

const exitStatus: z.ZodType<ExitStatus> = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("exited"), code: z.number() }),
  z.strictObject({ kind: z.literal("signalled"), signal: z.string() as z.ZodType<NodeJS.Signals> }),
  z.strictObject({ kind: z.literal("lost"), reason: z.string() }),
]);

/** Our own keeper's word: its shape is the compiler's business. */
const workSchema = z.custom<WorkSummary>((value) => typeof value === "object" && value !== null);

/** How a bottle ended, and what is left of it. */
export const settlementSchema = z.strictObject({
  id: z.string(),
  exit: exitStatus,
  /** The state directory remains: for work that was not taken out, or to be resumed. */
  kept: z.boolean(),
  work: workSchema.optional(),
  /** What could not be undone or taken out, in words. */
  problems: z.array(z.string()),
  /** What the agent asked of its environment and can still be given, in words. */
  waits: z.array(z.string()).exactOptional(),
});
export type Settlement = z.infer<typeof settlementSchema>;

export const statusSchema = z.strictObject({
  id: z.string(),
  agent: z.string(),
  label: z.string().optional(),
  backend: z.enum(BACKEND_NAMES),
  startedAt: z.string(),
  keeperPid: z.number(),
  phase: z.enum(["launching", "ready", "running", "settling"]),
  /** Why, where nothing leaves it at the moment. */
  frozen: z.string().optional(),
  sidecars: z.array(z.strictObject({ name: z.string(), pid: z.number(), restarts: z.number() })),
});
export type BottleStatus = z.infer<typeof statusSchema>;

const failureSchema = z.strictObject({
  message: z.string(),
  hint: z.string().optional(),
  exitCode: z.number(),
});

export const replySchema = z.union([
  z.strictObject({ error: failureSchema }),
  z.strictObject({ status: statusSchema }),
  z.strictObject({ started: z.literal(true), tty: z.boolean() }),
  z.strictObject({ exit: exitStatus }),
  z.strictObject({ settled: settlementSchema }),
  z.strictObject({ work: workSchema }),
  z.strictObject({ inbox: inboxSchema }),
  z.strictObject({ preview: previewSchema }),
  z.strictObject({
    done: z.literal(true),
    /** Of a copy: what did not come along, and why. */
    leftOut: z.array(z.strictObject({ path: z.string(), reason: z.string() })).optional(),
  }),
]);
export type ControlReply = z.infer<typeof replySchema>;

/** On the keeper's stdout while it launches. */
export const launchMessageSchema = z.union([
  z.strictObject({ progress: z.string() }),
  z.strictObject({ reserved: z.string() }),
  z.strictObject({ ready: z.strictObject({ id: z.string(), fingerprint: z.string() }) }),
  z.strictObject({ failed: failureSchema }),
]);
export type LaunchMessage = z.infer<typeof launchMessageSchema>;
