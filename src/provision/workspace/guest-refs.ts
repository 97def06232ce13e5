/** The refs of the agent's repository, as git in the guest tells them. */
import { linesOf, splitOnce } from "./byte-lines.ts";
import type { GuestGit } from "./guest-git.ts";
import { isOid } from "./oid.ts";

export interface GuestRef {
  readonly name: string;
  readonly oid: string;
}

export interface GuestRefs {
  /** Branches, tags and the stash, by full name. */
  readonly refs: readonly GuestRef[];
  readonly head: string | undefined;
  /** HEAD names no branch. */
  readonly isDetached: boolean;
}

/** The agent's refs as the guest tells them: names of any bytes (latin1), ids of hex digits. */
export async function readGuestRefs(git: GuestGit): Promise<GuestRefs> {
  if (git.repository === undefined) return { refs: [], head: undefined, isDetached: false };
  const format = "--format=%(objectname) %(refname)";
  const [listed, answer] = await Promise.all([
    git.asAgent(["for-each-ref", format, "refs/heads", "refs/tags", "refs/stash"]),
    git.asAgent(["rev-parse", "HEAD^{commit}", "--symbolic-full-name", "HEAD"]),
  ]);
  const refs = linesOf(listed.stdout, "\n").flatMap((line): GuestRef[] => {
    const [oid = "", name = ""] = splitOnce(line, " ");
    return isOid(oid) && name !== "" ? [{ oid, name }] : [];
  });
  const [head = "", branch = ""] = linesOf(answer.stdout, "\n");
  if (!isOid(head)) return { refs, head: undefined, isDetached: false };
  return { refs, head, isDetached: !branch.startsWith("refs/heads/") };
}
