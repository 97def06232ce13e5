/**
 * Which refs a push may touch, as far as names alone can say. Whatever is not listed is refused, and what git or a
 * forge could read in two ways is refused even when it is listed.
 */
import type { GitRepoPolicy, GitUpdate } from "../../../contract/git-gate.ts";
import { matchesRef } from "../../../lib/git-ref.ts";
import { allow, type Refusal, refuse, type Verdict } from "../denial.ts";
import type { Refs } from "../upstream/refs.ts";

type RefRule = GitRepoPolicy["refs"][number];

const LINE = /^([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) (.+)$/;

/** Plain ASCII: no look-alike letter, nothing a shell, a log or a URL would read as more than a name. */
const NAME = /^refs\/[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_@=+#%,][A-Za-z0-9._@=+#%,-]*)+$/;
const MAX_NAME = 200;

/** The lines as receive-pack gave them. */
export function parseUpdates(lines: readonly string[], most: number): Verdict<readonly GitUpdate[]> {
  const malformed = (reason: string): Refusal => refuse("push-malformed", reason, "the list of refs");
  if (lines.length === 0) return malformed("the push names no ref");
  if (lines.length > most) return malformed(`the push names more than ${most} refs`);
  const updates: GitUpdate[] = [];
  for (const line of lines) {
    const [, old = "", next = "", ref = ""] = LINE.exec(line) ?? [];
    if (ref === "" || old.length !== next.length)
      return malformed("a line of the push is no update of a ref");
    updates.push({ ref, old, new: next });
  }
  if (new Set(updates.map(({ ref }) => ref)).size !== updates.length)
    return malformed("a ref is named twice");
  return allow(updates);
}

export function isZero(id: string): boolean {
  return /^0+$/.test(id);
}

export interface RefContext {
  readonly rules: readonly RefRule[];
  /** Refs for which the operator has made an exception: created and moved forward, no more. */
  readonly excepted: (ref: string) => boolean;
  /** What upstream has. */
  readonly current: Refs;
  readonly symbolic: ReadonlySet<string>;
}

/** What may be done to the ref when it is allowed at all. */
export interface RefGrant {
  readonly update: GitUpdate;
  readonly force: boolean;
}

/** All of a push or nothing: the first refusal is the push's. */
export function judgeRefs(updates: readonly GitUpdate[], context: RefContext): Verdict<readonly RefGrant[]> {
  const grants: RefGrant[] = [];
  for (const update of updates) {
    const verdict = judgeRef(update, context);
    if (!verdict.allow) return verdict;
    grants.push({ update, force: verdict.value.force });
  }
  const clash = clashOf(updates, context.current);
  return clash ?? allow(grants);
}

function judgeRef(
  { ref, old, new: next }: GitUpdate,
  context: RefContext,
): Verdict<{ readonly force: boolean }> {
  const { rules, excepted, current, symbolic } = context;
  if (!NAME.test(ref) || ref.length > MAX_NAME || /(?:\.lock|\.)(?:\/|$)|\.\.|@\{|\/HEAD$/.test(ref)) {
    return refuse(
      "ref-name",
      `${ref} is no name that the gate forwards`,
      `refs/… of ASCII letters, digits and ._@=+#%,- and at most ${MAX_NAME} characters`,
    );
  }
  const matching = rules.filter(({ pattern }) => matchesRef(pattern, ref));
  if (matching.length === 0 && !excepted(ref)) {
    const listed = rules.map(({ pattern }) => pattern).join(", ");
    return refuse("ref-not-allowed", `${ref} may not be pushed to`, `refs: ${listed || "none"}`, {
      subjects: [ref],
    });
  }
  if (symbolic.has(ref)) {
    return refuse(
      "ref-symbolic",
      `${ref} stands for another ref at the upstream`,
      "no push through a symbolic ref",
    );
  }
  if (isZero(next) && isZero(old)) {
    return refuse("push-malformed", `the push changes nothing of ${ref}`, "the list of refs");
  }
  if (isZero(next) && !matching.some((rule) => rule.delete)) {
    return refuse("delete-not-allowed", `${ref} may not be deleted`, "delete of the matching refs");
  }
  if ((current.get(ref) ?? zeroLike(old)) !== old) {
    return refuse("ref-moved", `${ref} has moved at the upstream since; fetch first`, "the ref's old value");
  }
  return allow({ force: matching.some((rule) => rule.force) });
}

/** Two names that are one on a file system without case. */
function clashOf(updates: readonly GitUpdate[], current: Refs): Refusal | undefined {
  const names = new Map<string, string>();
  for (const ref of current.keys()) names.set(ref.toLowerCase(), ref);
  for (const { ref, new: next } of updates) {
    const other = names.get(ref.toLowerCase());
    if (other !== undefined && other !== ref && !isZero(next)) {
      return refuse("ref-clash", `${ref} and ${other} differ only in case`, "one spelling for a ref");
    }
    names.set(ref.toLowerCase(), ref);
  }
  return undefined;
}

function zeroLike(id: string): string {
  return "0".repeat(id.length);
}
