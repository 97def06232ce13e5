/**
 * What is to be looked at, listed by git from the object store and joined by pipes to what shows it. Each list ends with
 * a line that stands for nothing: where it arrives at the other end, the list was whole and all of it was shown.
 */
import type { Git, Place, Running } from "../git/run.ts";
import { LIMITS } from "../limits.ts";

/** No object, ref or path of any repository is called so. */
export const LAST = "..";

export interface Listed {
  readonly tips: readonly string[];
  /** So many at most may be changed by one commit. */
  readonly paths: number;
}

/** `$@` are the tips. */
const OBJECTS = `{ git rev-list --objects "$@" --not --all -- && echo ${LAST}; } |
  git cat-file --buffer --batch='%(objectname) %(objecttype) %(objectsize) %(rest)'`;

/** What git takes for itself, and for a path while it compares. */
const BASE_KILOBYTES = 256 * 1024;
const PATH_KILOBYTES = 1;

/** Git holds all that a commit changes before it shows any, and a few folders within each other stand for more than there is memory. */
function compared(how: string, paths: number): string {
  return `{
  ulimit -d ${BASE_KILOBYTES + paths * PATH_KILOBYTES}
  exec git diff-tree --stdin -r ${how} --raw -z --no-abbrev --no-renames --no-ext-diff
}`;
}

/** Each commit against all of its parents at once. */
function changesOf({ paths }: Listed): string {
  return `{ git rev-list --reverse --topo-order "$@" --not --all -- && echo ${LAST}; } | ${compared("-c --root", paths)}`;
}

/** What upstream brought to one side meanwhile is a merge's too, and no change that the push makes. */
const MERGED_PATHS = 250_000;

/** Each merge against each of its parents. */
function mergesOf({ paths }: Listed): string {
  return `{ git rev-list --min-parents=2 "$@" --not --all -- && echo ${LAST}; } | ${compared("-m", Math.max(paths, MERGED_PATHS))}`;
}

/** Whether git met that limit, by what it said. */
export function ranOutOfMemory(stderr: string): boolean {
  return /out of memory/i.test(stderr);
}

/**
 * Shows each object that the tips reach and upstream has not; and, as `more`, each path that their commits change, and then
 * each in which one of them that is a merge differs from a parent.
 */
export function listPush(git: Git, place: Place, listed: Listed, signal: AbortSignal): Running {
  const text = `{ ${OBJECTS}; } 3>&- & { ${changesOf(listed)} && ${mergesOf(listed)}; } >&3 3>&-\nwait`;
  return git.startJoined(place, text, listed.tips, { timeoutMs: LIMITS.inspectMs, signal, more: true });
}

/** Each path in which a commit differs from another. */
export function listDifference(
  git: Git,
  place: Place,
  { commit, since, paths }: { readonly commit: string; readonly since: string; readonly paths: number },
  signal: AbortSignal,
): Running {
  const text = `{ echo "$1 $2" && echo ${LAST}; } | ${compared("-m", Math.max(paths, MERGED_PATHS))}`;
  return git.startJoined(place, text, [commit, since], { timeoutMs: LIMITS.inspectMs, signal });
}

/** The changes alone. */
export function listChanges(git: Git, place: Place, listed: Listed, signal: AbortSignal): Running {
  return git.startJoined(place, changesOf(listed), listed.tips, { timeoutMs: LIMITS.inspectMs, signal });
}
