/**
 * Which refs the agent's work gets on the host. Contract: the guest only says names and ids; what is written is
 * ours: under one prefix, in a spelling that means the same to git, to a shell and on every file system. A
 * branch with another spelling keeps its commits and loses its name.
 */
import type { GuestRef } from "./guest-refs.ts";

/** A day's work of an agent that branches a lot. */
const MAX_REFS = 500;

const MAX_NAME_LENGTH = 200;

/** No dash first (an option), no dot first, nothing that a shell reads. */
const COMPONENT = /^[A-Za-z0-9_+@=#%,][A-Za-z0-9._+@=#%,-]*$/;

export interface WorkRef {
  readonly kind: "branch" | "tag" | "stash" | "detached";
  /** Below `refs/bottles/<id>/`. */
  readonly name: string;
  readonly oid: string;
}

/** Whether `name` may stand below `heads/` or `tags/` as it is. */
export function isPlainName(name: string): boolean {
  if (name === "" || name.length > MAX_NAME_LENGTH || name.includes("..") || name.includes("@{"))
    return false;
  return name
    .split("/")
    .every((part) => COMPONENT.test(part) && part !== "@" && !part.endsWith(".") && !/\.lock$/i.test(part));
}

/**
 * The refs to write for what the guest claims: those that lead to something the host did not know.
 * @param known ids from which the guest started
 */
export function planRefs(
  claimed: { readonly refs: readonly GuestRef[]; readonly detached: string | undefined },
  known: ReadonlySet<string>,
): { readonly refs: readonly WorkRef[]; readonly notes: readonly string[] } {
  const fresh = claimed.refs.filter(({ oid }) => !known.has(oid));
  const notes: string[] = [];
  if (fresh.length > MAX_REFS)
    notes.push(`${fresh.length - MAX_REFS} of ${fresh.length} branches and tags were left out`);
  const taken = new Set<string>();
  const refs: WorkRef[] = [];
  for (const { name, oid } of fresh.slice(0, MAX_REFS)) {
    const ref = workRef(name, oid, taken);
    if (ref === undefined) continue;
    // In lower case: on some disks two spellings are one file.
    taken.add(ref.name.toLowerCase());
    refs.push(ref);
  }
  const { detached } = claimed;
  if (detached !== undefined && !known.has(detached) && !refs.some(({ oid }) => oid === detached)) {
    refs.push({ kind: "detached", name: "detached", oid: detached });
  }
  return { refs, notes };
}

function workRef(name: string, oid: string, taken: ReadonlySet<string>): WorkRef | undefined {
  if (name === "refs/stash") return { kind: "stash", name: "stash", oid };
  const [, space, rest = ""] = /^refs\/(heads|tags)\/(.+)$/s.exec(name) ?? [];
  if (space === undefined) return undefined;
  const kind = space === "heads" ? "branch" : "tag";
  const plain = `${space}/${rest}`;
  if (isPlainName(rest) && isFree(plain.toLowerCase(), taken)) return { kind, name: plain, oid };
  const renamed = `${space}/odd-${oid.slice(0, 16)}`;
  return taken.has(renamed) ? undefined : { kind, name: renamed, oid };
}

/** git keeps no ref `a` beside a ref `a/b`. */
function isFree(name: string, taken: ReadonlySet<string>): boolean {
  return ![...taken].some(
    (other) => other === name || other.startsWith(`${name}/`) || name.startsWith(`${other}/`),
  );
}
