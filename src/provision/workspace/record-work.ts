/**
 * Turns received objects and the guest's claims into refs and a summary. Nothing is taken on trust: an id must
 * be there and of the right kind, what is counted is counted here, and the commits that bear our name are made
 * here.
 */
import { UserError } from "../../lib/errors.ts";
import type { ClaimedWork } from "./guest-work.ts";
import { type GitPlace, gitLine, gitOk } from "./host-git.ts";
import { emptyTree, isOid } from "./oid.ts";
import type { ObjectFormat } from "./repository.ts";
import { type BaseSnapshot, startingIds } from "./snapshot.ts";
import { BASE_TREE_REF, NOW_TREE_REF, type WorkSummary, workPrefix } from "./work.ts";
import type { WorkRef } from "./work-refs.ts";

/** Who made the commits that the agent did not. */
const NAME = "bot-bottle";
const EMAIL = "bot-bottle@localhost";

/** Writes the refs below `refs/bottles/<id>/` and returns what they hold. */
export async function recordWork(
  place: GitPlace,
  claimed: ClaimedWork,
  base: BaseSnapshot,
  options: { readonly id: string; readonly objectFormat: ObjectFormat },
): Promise<WorkSummary> {
  const starting = startingIds(base);
  const heads = [claimed.head, base.head].filter((oid) => oid !== undefined);
  const trees = [
    claimed.start?.tree,
    claimed.start?.commitTree,
    claimed.now.tree,
    claimed.now.commitTree,
  ].filter((oid) => oid !== undefined);
  const types = await objectTypes(place, [
    ...starting,
    ...heads,
    ...trees,
    ...claimed.refs.map(({ oid }) => oid),
  ]);
  for (const tree of trees) {
    if (types.get(tree) !== "tree") throw new UserError("the guest named files that it did not send");
  }
  const isCommit = (oid: string | undefined): oid is string =>
    oid !== undefined && types.get(oid) === "commit";
  const commitTree = committer(place, base);
  const treeOf = (commit: string): Promise<string> => gitLine(place, ["rev-parse", `${commit}^{tree}`]);

  const [refs, notes] = sound(claimed, types);
  const start = isCommit(base.head) ? base.head : undefined;
  const startTree = start === undefined ? emptyTree(options.objectFormat) : await treeOf(start);
  const { tree: baseTree, commitTree: baseCommitTree } = claimed.start ?? {
    tree: startTree,
    commitTree: startTree,
  };
  const baseCommit =
    start !== undefined && startTree === baseCommitTree
      ? start
      : await commitTree(baseCommitTree, start, "The workspace as the agent found it");

  const parent = isCommit(claimed.head) && claimed.head !== base.head ? claimed.head : baseCommit;
  const uncommitted =
    (await treeOf(parent)) === claimed.now.commitTree
      ? undefined
      : {
          commit: await commitTree(claimed.now.commitTree, parent, "Work that the agent did not commit"),
          size: await sizeOf(place, await treeOf(parent), claimed.now.commitTree),
        };
  const isEmpty = refs.length === 0 && uncommitted === undefined;
  const prefix = workPrefix(options.id);
  if (!isEmpty) {
    await writeRefs(place, [
      [BASE_TREE_REF, baseTree],
      [NOW_TREE_REF, claimed.now.tree],
      [`${prefix}/base`, baseCommit],
      ...(uncommitted === undefined ? [] : [[`${prefix}/uncommitted`, uncommitted.commit] as const]),
      ...refs.map(({ name, oid }) => [`${prefix}/${name}`, oid] as const),
    ]);
  }
  const commits = await countCommits(
    place,
    refs.map(({ oid }) => oid).filter(isCommit),
    starting.filter(isCommit),
  );
  return {
    commits,
    branches: namesOf(refs, "branch", "heads/"),
    tags: namesOf(refs, "tag", "tags/"),
    ...(uncommitted !== undefined && { uncommitted: uncommitted.size }),
    notes: [...notes],
    empty: isEmpty && notes.length === 0,
  };
}

/** Type by id of those objects that are there. */
export async function objectTypes(
  place: GitPlace,
  oids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const asked = [...new Set(oids)].filter(isOid);
  if (asked.length === 0) return new Map();
  const stdin = asked.map((oid) => `${oid}\n`).join("");
  const answers = (await gitOk(place, ["cat-file", "--batch-check=%(objecttype)"], { stdin }))
    .toString("latin1")
    .split("\n");
  return new Map(
    asked.flatMap((oid, index) => {
      const type = answers[index] ?? "";
      return /^(commit|tree|tag|blob)$/.test(type) ? [[oid, type] as const] : [];
    }),
  );
}

function sound(
  claimed: ClaimedWork,
  types: ReadonlyMap<string, string>,
): readonly [readonly WorkRef[], readonly string[]] {
  const refs = claimed.refs.filter(({ kind, oid }) => {
    const type = types.get(oid);
    return type === "commit" || (kind === "tag" && type === "tag");
  });
  const refused = claimed.refs.length - refs.length;
  return [
    refs,
    refused === 0 ? claimed.notes : [...claimed.notes, `${refused} refs lead to no commit and were left out`],
  ];
}

function committer(
  place: GitPlace,
  base: BaseSnapshot,
): (tree: string, parent: string | undefined, message: string) => Promise<string> {
  // The same time in each export, so that the same state is the same commit.
  const date = `@${base.takenAt} +0000`;
  const env = {
    GIT_AUTHOR_NAME: NAME,
    GIT_AUTHOR_EMAIL: EMAIL,
    GIT_AUTHOR_DATE: date,
    GIT_COMMITTER_NAME: NAME,
    GIT_COMMITTER_EMAIL: EMAIL,
    GIT_COMMITTER_DATE: date,
  };
  return (tree, parent, message) =>
    gitLine(place, ["commit-tree", tree, ...(parent === undefined ? [] : ["-p", parent]), "-m", message], {
      env,
    });
}

async function sizeOf(
  place: GitPlace,
  before: string,
  after: string,
): Promise<{ files: number; insertions: number; deletions: number }> {
  const args = ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"];
  const listed = (await gitOk(place, [...args, before, after])).toString("latin1");
  const size = { files: 0, insertions: 0, deletions: 0 };
  for (const record of listed.split("\0")) {
    const [, insertions, deletions] = /^(\d+|-)\t(\d+|-)\t/.exec(record) ?? [];
    if (insertions === undefined || deletions === undefined) continue;
    size.files += 1;
    // A binary file has no lines.
    size.insertions += Number(insertions) || 0;
    size.deletions += Number(deletions) || 0;
  }
  return size;
}

async function countCommits(
  place: GitPlace,
  tips: readonly string[],
  known: readonly string[],
): Promise<number> {
  if (tips.length === 0) return 0;
  const stdin = [...tips, ...known.map((oid) => `^${oid}`)].map((line) => `${line}\n`).join("");
  return Number(await gitLine(place, ["rev-list", "--count", "--stdin"], { stdin }));
}

/** All or none; git checks each name once more. */
async function writeRefs(
  place: GitPlace,
  refs: readonly (readonly [name: string, oid: string])[],
): Promise<void> {
  const stdin = refs.map(([name, oid]) => `create ${name} ${oid}\n`).join("");
  await gitOk(place, ["update-ref", "--stdin"], { stdin });
}

function namesOf(refs: readonly WorkRef[], kind: WorkRef["kind"], prefix: string): string[] {
  return refs.filter((ref) => ref.kind === kind).map(({ name }) => name.slice(prefix.length));
}
