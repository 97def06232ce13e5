/**
 * Is a repository what it looks like? A folder that somebody else packed (`.git` and all) can say in its `.git`
 * that its history, its refs or its working tree are elsewhere on this disk: in another project of the
 * operator's, for instance, which would then be copied into the guest. Contract: what is elsewhere must point
 * back. Linked worktrees and submodules do.
 */
import { readdir, readFile, realpath } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { statusOf } from "../../lib/archive/status.ts";
import { UserError } from "../../lib/errors.ts";
import { shellQuoted } from "../shell-quoted.ts";
import { git } from "./host-git.ts";

/** What a repository is made of; as links they would be another's. */
const PARTS = ["objects", "packed-refs", "info"] as const;
/**
 * What says which commits it has, with all that is in it: git follows a link in there, and what it then names comes
 * from wherever objects are borrowed. (Who knows a name by himself learns nothing by borrowing.)
 */
const NAMES = ["refs", "reftable"] as const;

/**
 * @param root what git says the top of the working tree is
 * @throws UserError when it is not the folder with the `.git` nearest to the one that was named
 */
export function refuseOtherWorkTree(root: string, marker: string | undefined): void {
  if (marker === join(root, ".git")) return;
  throw new UserError(`the repository's working tree is elsewhere: ${root}`, {
    hint: "name that folder, if it is the one you mean",
  });
}

/** @throws UserError saying what points elsewhere */
export async function refuseBorrowed(repository: {
  readonly root: string;
  readonly gitDir: string;
  readonly commonDir: string;
}): Promise<void> {
  const { root, gitDir, commonDir } = repository;
  const pointsBack = isWithin(gitDir, root) || (await isLinkedTo(gitDir, root));
  const isOwn = commonDir === gitDir || isWithin(gitDir, join(commonDir, "worktrees"));
  if (!pointsBack || !isOwn) {
    const elsewhere = pointsBack ? commonDir : gitDir;
    throw new UserError(
      `the repository at ${root} keeps its history in ${elsewhere}, which does not name it`,
      {
        hint: `if both are yours: git --git-dir=${shellQuoted(gitDir)} config core.worktree ${shellQuoted(root)}`,
      },
    );
  }
  const refuse = (path: string): never => {
    throw new UserError(`${path} is a link to another repository's`, {
      hint: "use `git worktree add` for a second working tree",
    });
  };
  for (const part of PARTS) {
    const path = join(commonDir, part);
    if (statusOf(path)?.isSymbolicLink() === true) refuse(path);
  }
  for (const folder of new Set([commonDir, gitDir]))
    for (const names of NAMES) for await (const link of linksIn(join(folder, names))) refuse(link);
}

/** Itself, or below it. */
async function* linksIn(path: string): AsyncGenerator<string, void, void> {
  const status = statusOf(path);
  if (status?.isSymbolicLink() === true) yield path;
  if (status?.isDirectory() !== true) return;
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (!entry.isFile()) yield* linksIn(below);
  }
}

/** A worktree's folder names the `.git` file it belongs to; a submodule's configuration names its folder. */
async function isLinkedTo(gitDir: string, root: string): Promise<boolean> {
  const named = (await readFile(join(gitDir, "gitdir"), "utf8").catch(() => "")).trim();
  if (named !== "" && (await sameFile(resolve(gitDir, named), join(root, ".git")))) return true;
  const file = join(gitDir, "config");
  const place = { kind: "operators", folder: root } as const;
  const answer = await git(place, ["config", "--file", file, "--no-includes", "core.worktree"]);
  const worktree = answer.stdout.toString("utf8").replace(/\n$/, "");
  return worktree !== "" && (await sameFile(resolve(gitDir, worktree), root));
}

async function sameFile(one: string, other: string): Promise<boolean> {
  const [first, second] = await Promise.all(
    [one, other].map((path) => realpath(path).catch(() => undefined)),
  );
  return first !== undefined && first === second;
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== "" && way !== ".." && !way.startsWith("../");
}
