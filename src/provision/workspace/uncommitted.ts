/**
 * The tree that git itself would commit for a state of the workspace: the pointers to submodules are put back
 * where nothing below them was changed. Where something was, its files stay, for a pointer would lose them.
 */
import type { GuestGit } from "./guest-git.ts";
import { isOid } from "./oid.ts";

const GITLINK = "160000";

/**
 * @param now the state, submodules as files
 * @param head the commit it will stand on; its submodules are those that can be put back
 * @param start the state at the beginning, submodules as files
 */
export async function uncommittedTree(
  git: GuestGit,
  now: string,
  head: string | undefined,
  start: string,
): Promise<string> {
  if (head === undefined) return now;
  const links = gitlinksOf((await git.ok(["ls-tree", "-r", "-z", head])).toString("latin1"));
  const unchanged = await withoutChange(git, links, now, start);
  if (unchanged.length === 0) return now;
  // Beside the snapshot's own index, whose knowledge of the files is still needed.
  const env = { GIT_INDEX_FILE: `${git.index}.restored` };
  await git.ok(["read-tree", now], { env });
  const lines = unchanged.map(({ oid, path }) => `${GITLINK} ${oid}\t${path}\0`).join("");
  await git.ok(["update-index", "-z", "--index-info"], { env, stdin: Buffer.from(lines, "latin1") });
  const written = (await git.ok(["write-tree"], { env })).toString("latin1").trim();
  return isOid(written) ? written : now;
}

interface Gitlink {
  readonly oid: string;
  readonly path: string;
}

function gitlinksOf(listed: string): readonly Gitlink[] {
  return listed.split("\0").flatMap((record): Gitlink[] => {
    const [, oid, path] = /^160000 commit ([0-9a-f]+)\t(.+)$/s.exec(record) ?? [];
    // A line break would end the question about it below.
    return oid === undefined || path === undefined || path.includes("\n") ? [] : [{ oid, path }];
  });
}

async function withoutChange(
  git: GuestGit,
  links: readonly Gitlink[],
  now: string,
  start: string,
): Promise<readonly Gitlink[]> {
  if (links.length === 0) return [];
  const questions = links.map(({ path }) => `${now}:${path}\n${start}:${path}\n`).join("");
  const stdin = Buffer.from(questions, "latin1");
  const answers = (await git.ok(["cat-file", "--batch-check=%(objectname)"], { stdin }))
    .toString("latin1")
    .split("\n");
  return links.filter((_link, index) => {
    const [there, before] = [answers[2 * index] ?? "", answers[2 * index + 1] ?? ""];
    return there === before || (there.endsWith(" missing") && before.endsWith(" missing"));
  });
}
