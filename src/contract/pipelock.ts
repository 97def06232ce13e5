/**
 * What the keeper and the sidecar around a pipelock say to each other. Pipelock is a program of somebody else's
 * (github.com/luckyPipewrench/pipelock) that scans what egress sends: a second opinion, with no say in what egress
 * itself refuses.
 */
import * as z from "zod";

export const pipelockPolicySchema = z.strictObject({
  /** Hosts, as in a route's `host`. */
  hosts: z.array(z.string()),
  /** Those of them whose TLS it leaves closed. */
  sealed: z.array(z.string()),
  /** CIDRs that they may resolve to although they are private. */
  addresses: z.array(z.string()),
  /** Headers in which egress puts credentials: they would be found there. */
  credentialHeaders: z.array(z.string()),
});

export const pipelockConfigSchema = z.strictObject({
  /** Where it is, as its sidecar sees it; a name is looked for on PATH. */
  program: z.string(),
  /** A folder of its own, which is made: its configuration, and its key while it starts. */
  folder: z.string(),
  /** On this machine's loopback. */
  port: z.number().int().min(1).max(65_535),
  /** Its own CA, PEM. The key is secret: of the keeper's memory and pipelock's. */
  ca: z.strictObject({ certificate: z.string(), privateKey: z.string() }),
  /** PEM texts it trusts besides the system's roots. */
  upstreamCa: z.array(z.string()),
  policy: pipelockPolicySchema,
});

export type PipelockPolicy = z.infer<typeof pipelockPolicySchema>;
export type PipelockConfig = z.infer<typeof pipelockConfigSchema>;
