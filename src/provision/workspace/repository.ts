/** The operator's folder, looked at: which repository it belongs to, if any. Nothing is changed in it. */
import { realpath, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { statusOf } from "../../lib/archive/status.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { shellQuoted } from "../shell-quoted.ts";
import { type GitPlace, git, gitLine } from "./host-git.ts";
import { refuseBorrowed, refuseOtherWorkTree } from "./self-contained.ts";

export type ObjectFormat = "sha1" | "sha256";

export interface HostRepository {
  /** Top of the working tree. */
  readonly root: string;
  /** HEAD, the index: the worktree's own. */
  readonly gitDir: string;
  /** Refs, config: shared by all worktrees. */
  readonly commonDir: string;
  readonly objectFormat: ObjectFormat;
  /** From the root to the folder that was asked for; empty when it is the root. */
  readonly prefix: string;
  readonly place: GitPlace;
}

export type WorkspaceSource =
  | { readonly kind: "repository"; readonly repository: HostRepository }
  | { readonly kind: "folder"; readonly root: string };

/**
 * Says what `folder` is.
 * @throws UserError when it is not there, is the home directory or above it, is inside a git directory, or git
 * refuses the repository (because somebody else owns it, for instance).
 */
export async function workspaceSource(folder: string): Promise<WorkspaceSource> {
  const repository = await repositoryAt(folder);
  const root = repository?.root ?? (await existingFolder(folder));
  await refuseHome(root, repository !== undefined);
  return repository === undefined ? { kind: "folder", root } : { kind: "repository", repository };
}

/**
 * The repository that `named` lies in, or undefined.
 * @throws UserError when there is one that git refuses, or that is not what it looks like
 */
export async function repositoryAt(named: string): Promise<HostRepository | undefined> {
  const folder = await existingFolder(named);
  const place: GitPlace = { kind: "operators", folder };
  const args = ["rev-parse", "--is-bare-repository", "--is-inside-git-dir"];
  const found = await git(place, args);
  if (found.code !== 0) {
    if (/dubious ownership/.test(found.stderr)) {
      throw new UserError(`git does not trust the repository at ${folder}: it belongs to another user`, {
        hint: `git config --global --add safe.directory ${shellQuoted(folder)}`,
      });
    }
    const marker = nearestGit(folder);
    if (marker === undefined) return undefined;
    throw new UserError(`git cannot use ${marker}: ${found.stderr}`, {
      hint: `git -C ${shellQuoted(folder)} status`,
    });
  }
  if (found.stdout.includes("true")) {
    throw new UserError(`${folder} is a bare repository or inside a .git directory, not a working tree`, {
      hint: "clone it, and name the clone",
    });
  }
  const root = await gitLine(place, ["rev-parse", "--show-toplevel"]);
  refuseOtherWorkTree(root, nearestGit(folder));
  const atRoot: GitPlace = { kind: "operators", folder: root };
  const [gitDir, commonDir, format] = await Promise.all([
    gitLine(atRoot, ["rev-parse", "--absolute-git-dir"]),
    gitLine(atRoot, ["rev-parse", "--path-format=absolute", "--git-common-dir"]),
    gitLine(atRoot, ["rev-parse", "--show-object-format"]),
  ]);
  const repository: HostRepository = {
    root,
    gitDir,
    commonDir,
    objectFormat: format === "sha256" ? "sha256" : "sha1",
    prefix: relative(root, folder),
    place: atRoot,
  };
  await refuseBorrowed(repository);
  return repository;
}

async function existingFolder(folder: string): Promise<string> {
  try {
    const real = await realpath(folder);
    if (!(await stat(real)).isDirectory()) throw new UserError(`${folder} is no folder`);
    return real;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    const code = codeOf(cause);
    if (code === "ENOENT")
      throw new UserError(`there is no folder ${folder}`, { hint: "name one with --cwd", cause });
    throw new UserError(`cannot use ${folder}: ${code ?? String(cause)}`, { cause });
  }
}

/** A home directory holds the keys and tokens that a bottle exists to keep away from the agent. */
async function refuseHome(root: string, isRepository: boolean): Promise<void> {
  const home = await realpath(process.env["HOME"] || homedir()).catch(() => homedir());
  const fromRoot = relative(root, home);
  if (fromRoot === ".." || fromRoot.startsWith("../")) return;
  throw new UserError(
    isRepository
      ? `the folder belongs to a repository that holds your home directory (${root})`
      : `${root} holds your home directory, with its keys and tokens`,
    { hint: "name a project folder; run `git init` in it if it lies in your home's own repository" },
  );
}

function nearestGit(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    const marker = join(at, ".git");
    if (statusOf(marker) !== undefined) return marker;
    if (at === dirname(at)) return undefined;
  }
}
