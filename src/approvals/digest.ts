/**
 * What an approval is bound to (I6): exactly this ask, of this bottle, with this difference, under this policy. The
 * keeper computes it again, so whatever changed since the operator looked refuses the approval.
 */
import { createHash } from "node:crypto";
import { canonicalJson } from "../audit/canonical-json.ts";
import type { Ask, Change } from "../contract/approvals.ts";

export interface Approvable {
  readonly bottle: string;
  readonly ticket: string;
  readonly ask: Ask;
  readonly difference: readonly Change[];
  /** Counts the changes of what the bottle may do. */
  readonly epoch: number;
}

/** sha256, hex. */
export function digestOf({ bottle, ticket, ask, difference, epoch }: Approvable): string {
  const text = canonicalJson({ bottle, ticket, ask, difference, epoch });
  return createHash("sha256").update(text).digest("hex");
}
