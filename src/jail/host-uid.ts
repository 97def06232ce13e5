/** Which unprivileged uids of the host stand for a bottle's parts, when the operator is root. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { UserError } from "../lib/errors.ts";

/** Above systemd's container range (1,879,048,191), below 2^31. */
const PREFERRED: UidRange = { first: 1_900_000_000, count: 100_000_000 };
const NOBODY = 65_534;
/** Fewer, and two bottles would too often share one. */
const FEWEST = 100;

export interface UidRange {
  readonly first: number;
  readonly count: number;
}

interface Mapping extends UidRange {
  /** What `first` is in the user namespace around this one. */
  readonly outside: number;
}

/** Parses /proc/self/uid_map, see user_namespaces(7). */
export function parseUidMap(text: string): readonly Mapping[] {
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const [first = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      return { first, outside, count };
    });
}

/**
 * Whether this process is root and has other uids to give that up for. An ordinary user who is alone in a user
 * namespace is called root there (`unshare --map-root-user`, some sandboxes) and is treated as what he is.
 * @throws UserError for root of the host who is alone in one: nobody else is there to run a guest as.
 */
export function isRoot(
  uid: number | undefined = process.getuid?.(),
  readMap: () => string = () => readFileSync("/proc/self/uid_map", "utf8"),
): boolean {
  if (uid !== 0) return false;
  const map = parseUidMap(readMap());
  if (map.reduce((sum, { count }) => sum + count, 0) > 1) return true;
  if (map[0]?.outside !== 0) return false;
  throw new UserError(
    "root is the only user of this user namespace, so there is no other to run a guest as",
    {
      hint: "start it outside of the namespace, or map more users into it",
    },
  );
}

/** Where the uids are taken from: a quiet range where there is one, as in a container of 65,536 uids there is not. */
export function guestUidRange(map: readonly Mapping[]): UidRange {
  const holdsAll = map.some(
    ({ first, count }) => first <= PREFERRED.first && first + count >= PREFERRED.first + PREFERRED.count,
  );
  if (holdsAll) return PREFERRED;
  const largest = map.reduce((best, range) => (range.count > best.count ? range : best), {
    first: 0,
    count: 0,
  });
  // Its upper half, where a container's own users are not; and not everybody's nobody.
  const first = largest.first + Math.floor(largest.count / 2);
  const last = largest.first + largest.count - 1;
  const count = (first <= NOBODY && NOBODY <= last ? NOBODY : last + 1) - first;
  if (count < FEWEST) {
    throw new UserError(`this user namespace has too few users to run a guest as (${largest.count})`, {
      hint: "map at least 65536 of them into it",
    });
  }
  return { first, count };
}

let range: UidRange | undefined;

/** One a bottle and role, so that neither two guests nor a guest and its sidecar ever share one. Used by root alone. */
export function hostUidOf(
  id: string,
  role: "guest" | "egress" | "git-gate" | "supervise" | "pipelock" | "sidecars",
): number {
  if (!isRoot()) return process.getuid?.() ?? 0;
  range ??= guestUidRange(parseUidMap(readFileSync("/proc/self/uid_map", "utf8")));
  return range.first + (createHash("sha256").update(`${role} ${id}`).digest().readUInt32BE(0) % range.count);
}
