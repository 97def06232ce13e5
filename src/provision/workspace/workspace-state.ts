/** git's mode of a pointer to another repository's commit: a submodule. */
export const GITLINK = "160000";

export interface Gitlink {
  /** Of any bytes (latin1). */
  readonly path: string;
  readonly oid: string;
}

/** The workspace at one moment. */
export interface WorkspaceState {
  /** Tracked and unignored files, submodules as files. */
  readonly tree: string;
  /** What the agent's index has as pointers. */
  readonly gitlinks: readonly Gitlink[];
  /** What could not be taken, in words; printable. */
  readonly notes: readonly string[];
}
