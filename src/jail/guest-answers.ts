/** Parses what a hostile guest answers. */
import * as z from "zod";
import type { Answer } from "./guest-protocol.ts";

/** Longest line the guest may answer. */
export const MAX_ANSWER_BYTES = 64 * 1024;

export const answerSchema: z.ZodType<Answer> = z.union([
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
        port: z.number().int().min(1).max(65_535),
        transport: z.enum(["tcp", "udp"]),
        outcome: z.string(),
        milliseconds: z.number(),
      }),
    ),
  }),
]);
