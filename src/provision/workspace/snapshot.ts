/** What the agent started from, noted before it runs and kept on the host. */
import { GUEST, type Guest } from "../../contract/backend.ts";
import { openGuestGit } from "./guest-git.ts";
import { type GuestRef, readGuestRefs } from "./guest-refs.ts";
import type { ImportedWorkspace } from "./import.ts";
import type { ObjectFormat } from "./repository.ts";
import { uncommittedTree } from "./uncommitted.ts";
import { snapshotTree } from "./workspace-tree.ts";

/** What the guest started from. Plain data: the keeper keeps it with the bottle. */
export interface BaseSnapshot {
  readonly kind: "repository" | "folder" | "empty";
  /** Guest path where the agent starts. */
  readonly cwd: string;
  /** Absent for an empty workspace, which may become anything. */
  readonly objectFormat?: ObjectFormat;
  /** Tree of the starting state, uncommitted files included, submodules as files. */
  readonly tree?: string;
  /** The same as git would commit it, submodules as pointers. */
  readonly commitTree?: string;
  /** The commit that was checked out. */
  readonly head?: string;
  readonly refs: readonly GuestRef[];
  readonly shallow: readonly string[];
  readonly isPartial: boolean;
  /** Seconds since 1970. */
  readonly takenAt: number;
}

/** Of a workspace that has nothing in it; nobody in the guest is asked. */
export function emptyBase(): BaseSnapshot {
  return {
    kind: "empty",
    cwd: GUEST.workspace,
    refs: [],
    shallow: [],
    isPartial: false,
    takenAt: Math.floor(Date.now() / 1000),
  };
}

/** Commits that were there before the agent. */
export function startingIds(base: BaseSnapshot): readonly string[] {
  return [...new Set([...(base.head === undefined ? [] : [base.head]), ...base.refs.map(({ oid }) => oid)])];
}

/** Remembers the state before the agent begins. @throws UserError when git in the guest fails. */
export async function snapshotBase(guest: Guest, imported: ImportedWorkspace): Promise<BaseSnapshot> {
  const git = await openGuestGit(guest.exec);
  const [refs, state] = await Promise.all([readGuestRefs(git), snapshotTree(git, { isFirst: true })]);
  return {
    kind: imported.kind,
    cwd: imported.cwd,
    objectFormat: git.objectFormat,
    tree: state.tree,
    commitTree: await uncommittedTree(git, state, state.tree),
    ...(refs.head !== undefined && { head: refs.head }),
    refs: refs.refs,
    shallow: imported.shallow,
    isPartial: imported.isPartial,
    takenAt: Math.floor(Date.now() / 1000),
  };
}
