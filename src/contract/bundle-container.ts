/**
 * How the keeper and the bundle container's init talk, on its stdin and stdout: a line for a sidecar, or of its, begins
 * with `[<name>] `; one for the init, or of the init's, with `[init] ` and is JSON. The sidecars' own lines are those of
 * sidecar.ts. The end of stdin means that the keeper is gone: everything in the container ends.
 */
import * as z from "zod";
import { SIDECAR_NAMES } from "./backend.ts";

/** Names the sidecars it may start, with commas. Unset: all. Empty: none, and it idles. */
export const DAEMONS_VARIABLE = "BOT_BOTTLE_SIDECAR_DAEMONS";

const name = z.enum(SIDECAR_NAMES);

export const initOrderSchema = z.union([
  /** As this user, never root: what one sidecar has in memory and files is none of another's. */
  z.strictObject({ start: name, uid: z.number().int().min(1) }),
  /** Its stdin ends: it stops by itself. */
  z.strictObject({ end: name }),
  z.strictObject({ kill: name }),
]);
export type InitOrder = z.infer<typeof initOrderSchema>;

export const initReportSchema = z.union([
  /** It is up, and may start these. */
  z.strictObject({ daemons: z.array(name) }),
  z.strictObject({ started: name, pid: z.number().int() }),
  /** Everything that it wrote came before. */
  z.strictObject({ ended: name, reason: z.string() }),
]);
export type InitReport = z.infer<typeof initReportSchema>;

/** Undefined for a line without a name in front. */
export function parseFramed(line: string): { readonly name: string; readonly rest: string } | undefined {
  const [, who, rest] = /^\[([a-z-]{1,20})\] (.*)$/s.exec(line) ?? [];
  return who === undefined || rest === undefined ? undefined : { name: who, rest };
}

export function framed(who: string, line: string): string {
  return `[${who}] ${line}\n`;
}
