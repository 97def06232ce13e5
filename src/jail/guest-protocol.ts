/**
 * What the keeper and a guest's init say to each other, over Unix sockets that the init was born with
 * (it accepts, the keeper connects: the guest can name no path and open no channel of its own).
 * One connection a purpose; its first line says which:
 *
 *   exec    control of one process: first answer {pid} or {error}, last {exit}; in between the keeper
 *           sends {kill} and {resize}
 *   stream  one of that process's streams, joined by token; raw bytes after the header. With a terminal
 *           there is one, number 0, both ways
 *   dial    a connection to the guest's loopback: first answer {connected} or {error}, then raw bytes
 *   probe   what can be reached from inside: one answer
 *
 * What comes back is a hostile guest's word: every line is bounded and parsed.
 */
import * as z from "zod";

/** Longest line either side accepts: argv and environment of one exec. */
export const MAX_HEADER_BYTES = 2 * 1024 * 1024;
/** Longest line the guest may answer. */
export const MAX_ANSWER_BYTES = 64 * 1024;

const port = z.number().int().min(1).max(65_535);
const size = z.strictObject({
  cols: z.number().int().min(1).max(10_000),
  rows: z.number().int().min(1).max(10_000),
});

export const headerSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("exec"),
    token: z.string(),
    argv: z.array(z.string()).min(1),
    env: z.record(z.string(), z.string()),
    cwd: z.string(),
    tty: size.optional(),
  }),
  z.strictObject({ kind: z.literal("stream"), token: z.string(), number: z.number().int().min(0).max(2) }),
  z.strictObject({ kind: z.literal("dial"), port }),
  z.strictObject({
    kind: z.literal("probe"),
    timeoutMs: z.number().int().positive(),
    targets: z.array(z.strictObject({ host: z.string(), port, transport: z.enum(["tcp", "udp"]) })),
  }),
]);
export type Header = z.infer<typeof headerSchema>;

export const commandSchema = z.union([
  z.strictObject({ kill: z.string() }),
  z.strictObject({ resize: size }),
]);
export type Command = z.infer<typeof commandSchema>;

export const answerSchema = z.union([
  z.strictObject({ pid: z.number().int().positive() }),
  z.strictObject({
    exit: z.strictObject({
      code: z.number().int().min(0).max(255).nullable(),
      signal: z.string().nullable(),
    }),
  }),
  z.strictObject({ connected: z.literal(true) }),
  z.strictObject({ error: z.string() }),
  z.strictObject({
    results: z.array(
      z.strictObject({
        host: z.string(),
        port,
        transport: z.enum(["tcp", "udp"]),
        outcome: z.string(),
        milliseconds: z.number(),
      }),
    ),
  }),
]);
export type Answer = z.infer<typeof answerSchema>;
