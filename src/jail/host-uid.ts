/** The unprivileged host uids that stand for a bottle's parts, when the operator is root. */
import { createHash } from "node:crypto";

/** Above systemd's container range (1,879,048,191), below 2^31. */
const FIRST = 1_900_000_000;
const COUNT = 100_000_000;

/** One a bottle and role, so that neither two guests nor a guest and its sidecar ever share one. */
export function hostUidOf(id: string, role: "guest" | "egress"): number {
  return FIRST + (createHash("sha256").update(`${role} ${id}`).digest().readUInt32BE(0) % COUNT);
}
