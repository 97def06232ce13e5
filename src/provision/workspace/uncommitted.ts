/**
 * The tree that git itself would commit for a state of the workspace: the pointers to submodules are put back
 * where nothing below them was changed. Where something was, its files stay, for a pointer would lose them.
 */
import type { GuestGit } from "./guest-git.ts";
import { isOid } from "./oid.ts";
import { GITLINK, type Gitlink, type WorkspaceState } from "./workspace-state.ts";

/** @param start tree of the state at the beginning, submodules as files */
export async function uncommittedTree(git: GuestGit, now: WorkspaceState, start: string): Promise<string> {
  const unchanged = await withoutChange(git, now, start);
  if (unchanged.length === 0) return now.tree;
  // Beside the snapshot's own index, whose knowledge of the files is still needed.
  const env = { GIT_INDEX_FILE: `${git.index}.restored` };
  await git.ok(["read-tree", now.tree], { env });
  const lines = unchanged.map(({ oid, path }) => `${GITLINK} ${oid}\t${path}\0`).join("");
  await git.ok(["update-index", "-z", "--index-info"], { env, stdin: Buffer.from(lines, "latin1") });
  const written = (await git.ok(["write-tree"], { env })).toString("latin1").trim();
  return isOid(written) ? written : now.tree;
}

async function withoutChange(git: GuestGit, now: WorkspaceState, start: string): Promise<readonly Gitlink[]> {
  // A line break in a name would end the question about it.
  const links = now.gitlinks.filter(({ path }) => !path.includes("\n"));
  if (links.length === 0) return [];
  const questions = links.map(({ path }) => `${now.tree}:${path}\n${start}:${path}\n`).join("");
  const stdin = Buffer.from(questions, "latin1");
  const answers = (await git.ok(["cat-file", "--batch-check=%(objectname)"], { stdin }))
    .toString("latin1")
    .split("\n");
  return links.filter((_link, index) => {
    const [there, before] = [answers[2 * index] ?? "", answers[2 * index + 1] ?? ""];
    return there === before || (there.endsWith(" missing") && before.endsWith(" missing"));
  });
}
