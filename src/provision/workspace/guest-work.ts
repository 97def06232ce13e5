/** The guest's side of an export: what its git claims the work to be, and the one pack it sends. */
import type { GitInput, GuestGit } from "./guest-git.ts";
import { readGuestRefs } from "./guest-refs.ts";
import { emptyTree, isOid } from "./oid.ts";
import { type BaseSnapshot, startingIds } from "./snapshot.ts";
import { uncommittedTree } from "./uncommitted.ts";
import { planRefs, type WorkRef } from "./work-refs.ts";
import { snapshotTree } from "./workspace-tree.ts";

interface State {
  /** Submodules as files: for comparing and showing. */
  readonly tree: string;
  /** As git would commit it. */
  readonly commitTree: string;
}

/** The guest's word: ids and names, of which only the form was checked. */
export interface ClaimedWork {
  /** Undefined when the agent destroyed it. */
  readonly start: State | undefined;
  readonly now: State;
  /** The commit that is checked out. */
  readonly head: string | undefined;
  /** Branches, tags and so on that lead to something new. */
  readonly refs: readonly WorkRef[];
  readonly notes: readonly string[];
}

/** @throws UserError when git in the guest cannot say. */
export async function claimWork(git: GuestGit, base: BaseSnapshot): Promise<ClaimedWork> {
  const [{ refs, head, isDetached }, now] = await Promise.all([readGuestRefs(git), snapshotTree(git)]);
  const plan = planRefs({ refs, detached: isDetached ? head : undefined }, new Set(startingIds(base)));
  const notes = [...plan.notes, ...now.notes];
  const nothing = emptyTree(git.objectFormat);
  const remembered = { tree: base.tree ?? nothing, commitTree: base.commitTree ?? nothing };
  const isLost = (await missingIn(git, Object.values(remembered))).size > 0;
  if (isLost)
    notes.push("the agent destroyed the state it started from; its work is compared with the last commit");
  return {
    start: isLost ? undefined : remembered,
    now: {
      tree: now.tree,
      commitTree: await uncommittedTree(git, now, isLost ? nothing : remembered.tree),
    },
    head,
    refs: plan.refs,
    notes,
  };
}

/** Whether there is anything that the host does not know. */
export function isNew(claimed: ClaimedWork): boolean {
  return claimed.now.tree !== claimed.start?.tree || claimed.refs.length > 0;
}

/**
 * Sends what the claimed trees and refs reach, less what the commits `lent` reach.
 * @throws UserError when git in the guest fails, and what `consume` throws
 */
export async function sendPack(
  git: GuestGit,
  claimed: ClaimedWork,
  base: BaseSnapshot,
  lent: readonly string[],
  consume: Parameters<GuestGit["stream"]>[2],
): Promise<void> {
  const own = claimed.head === undefined ? [] : [claimed.head];
  const lost = await missingIn(git, [...lent, ...own, ...(base.head === undefined ? [] : [base.head])]);
  const isHere = (oid: string | undefined): oid is string => oid !== undefined && !lost.has(oid);
  const parent = isHere(base.head) ? ["-p", base.head] : [];
  const trees = [claimed.start?.tree, claimed.start?.commitTree, claimed.now.tree, claimed.now.commitTree];
  // git leaves out what the host has only on the way back from a commit, so each tree gets one to ride on.
  const carried = [...new Set(trees)].filter((tree) => tree !== undefined);
  const carriers = await Promise.all(carried.map((tree) => commitOf(git, tree, parent)));
  const wanted = [...claimed.refs.map(({ oid }) => oid), ...own.filter(isHere), ...carriers];
  const lines = [...wanted, ...lent.filter(isHere).map((oid) => `^${oid}`)];
  const missing = base.isPartial ? ["--missing=allow-any"] : [];
  const args = ["pack-objects", "--revs", "--stdout", "--delta-base-offset", "-q", ...missing];
  await git.stream(args, { stdin: lines.map((line) => `${line}\n`).join("") }, consume);
}

const CARRIER: NonNullable<GitInput["env"]> = Object.fromEntries(
  ["AUTHOR", "COMMITTER"].flatMap((role) => [
    [`GIT_${role}_NAME`, "carrier"],
    [`GIT_${role}_EMAIL`, "carrier@localhost"],
    [`GIT_${role}_DATE`, "@0 +0000"],
  ]),
);

async function commitOf(git: GuestGit, tree: string, parent: readonly string[]): Promise<string> {
  const made = await git.ok(["commit-tree", tree, ...parent, "-m", "carrier"], { env: CARRIER });
  return made.toString("latin1").trim();
}

/** Which of `oids` the guest does not have. */
async function missingIn(git: GuestGit, oids: readonly string[]): Promise<ReadonlySet<string>> {
  const asked = oids.filter(isOid);
  if (asked.length === 0) return new Set();
  const stdin = asked.map((oid) => `${oid}\n`).join("");
  const answers = (await git.ok(["cat-file", "--batch-check=%(objecttype)"], { stdin }))
    .toString("latin1")
    .split("\n");
  return new Set(asked.filter((_oid, index) => /^(commit|tree|tag)$/.test(answers[index] ?? "") === false));
}
