/** Names of refs and patterns of them, as the manifest writes them and git-gate forwards by them. */

/** What git-gate forwards a ref by; a pattern outside of it would match nothing. */
const REF_NAME = /^refs\/[A-Za-z0-9_-]+(?:\/[A-Za-z0-9_@=+#%,][A-Za-z0-9._@=+#%,-]*)+$/;

/** What is wrong with a pattern of refs, or undefined. */
export function faultOfRefPattern(pattern: string): string | undefined {
  if (!pattern.startsWith("refs/")) {
    return "must be a whole ref: refs/heads/… for a branch, refs/tags/… for a tag";
  }
  if (!/^refs\/[A-Za-z0-9_-]+\/[^*]*\*?[^*]*$/.test(pattern)) {
    return "must be refs/<kind>/… with at most one *, which stands for one or more characters";
  }
  const example = pattern.replace("*", "x");
  return REF_NAME.test(example) && !/\.\.|@\{|(?:\.lock|\.)(?:\/|$)/.test(example)
    ? undefined
    : "is no name that a ref can have: letters, digits and ._@=+#%,- between slashes, one *";
}

/** One `*` in a pattern, which stands for one or more characters. */
export function matchesRef(pattern: string, ref: string): boolean {
  const star = pattern.indexOf("*");
  if (star < 0) return ref === pattern;
  const head = pattern.slice(0, star);
  const tail = pattern.slice(star + 1);
  return ref.length > head.length + tail.length && ref.startsWith(head) && ref.endsWith(tail);
}

/** Whether `wide` matches every ref that `narrow` matches. */
export function coversRefs(wide: string, narrow: string): boolean {
  const star = narrow.indexOf("*");
  if (star < 0) return matchesRef(wide, narrow);
  const hole = wide.indexOf("*");
  if (hole < 0) return false;
  const startsWithin = narrow.slice(0, star).startsWith(wide.slice(0, hole));
  return startsWithin && narrow.slice(star + 1).endsWith(wide.slice(hole + 1));
}
