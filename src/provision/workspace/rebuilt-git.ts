/**
 * The `.git` that a guest gets: made new from what the operator's says, so that it is the same whether theirs is
 * plain, a linked worktree, shallow, partial or borrows objects. Only what branches, tags, HEAD and the index
 * reach comes along: no stash, no reflog, nothing that was committed once and taken back, no hook, no setting
 * that {@link publicConfig} does not know.
 */
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { joined, type PackEntry } from "../../lib/archive/pack-tar.ts";
import { statusOf } from "../../lib/archive/status.ts";
import { type GitOptions, type GitPlace, git, gitError, gitOk, splitBytes, streamGit } from "./host-git.ts";
import { shallowCommits } from "./lender.ts";
import { publicConfig, type RemoteUrl } from "./public-config.ts";
import type { HostRepository } from "./repository.ts";

/** The operator's earlier bottles, stashes and tools' private refs stay here. */
const NAMESPACES = ["refs/heads", "refs/tags", "refs/remotes"] as const;

const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;

export interface RebuiltGit {
  /** Commits at which the history was cut off. */
  readonly shallow: readonly string[];
  readonly isPartial: boolean;
  /** The folder's content, to be packed as `dotGit`. */
  entries(dotGit: Buffer): Generator<PackEntry, void, void>;
}

/** Makes it; packs and index lie in `scratchDir`, which must outlive the packing. */
export async function rebuildGit(
  repository: HostRepository,
  scratchDir: string,
  remoteUrl?: RemoteUrl,
): Promise<RebuiltGit> {
  const [head, refs, config] = await Promise.all([
    readHead(repository),
    readRefs(repository),
    publicConfig(repository, remoteUrl),
  ]);
  const shallow = await shallowCommits(repository.commonDir);
  const index = await plainIndex(repository, scratchDir);
  const staged = index === undefined ? [] : await objectsIn(repository, index);
  await packObjects(repository, [...refs.oids, ...head.oids, ...staged], join(scratchDir, "pack"));
  const packs = readdirSync(scratchDir)
    .filter((file) => file.startsWith("pack-"))
    .sort();

  function* entries(dotGit: Buffer): Generator<PackEntry, void, void> {
    const content = (path: string | Buffer, text: string | Buffer): PackEntry => ({
      kind: "content",
      name: joined(dotGit, path),
      content: Buffer.from(text),
      mode: FILE_MODE,
    });
    const disk = (path: string, from: string): PackEntry => ({
      kind: "disk",
      name: joined(dotGit, path),
      path: Buffer.from(from),
    });
    // git takes a folder without these two for no repository.
    for (const path of ["refs", "objects"])
      yield { kind: "folder", name: joined(dotGit, path), mode: FOLDER_MODE };
    yield content("HEAD", head.text);
    yield content("config", config.text);
    yield content("packed-refs", refs.packed);
    for (const { name, target } of refs.symbolic) {
      yield content(Buffer.from(name, "latin1"), Buffer.from(`ref: ${target}\n`, "latin1"));
    }
    if (shallow.length > 0) yield content("shallow", shallow.map((oid) => `${oid}\n`).join(""));
    for (const [path, folder] of [
      ["info/exclude", repository.commonDir],
      ["info/sparse-checkout", repository.gitDir],
    ] as const) {
      const from = join(folder, path);
      if (statusOf(from)?.isFile() === true) yield disk(path, from);
    }
    for (const file of packs) {
      yield disk(`objects/pack/${file}`, join(scratchDir, file));
      if (config.isPartial && file.endsWith(".pack")) {
        yield content(`objects/pack/${file.replace(/\.pack$/, ".promisor")}`, "");
      }
    }
    if (index !== undefined) yield disk("index", index);
  }
  return { shallow, isPartial: config.isPartial, entries };
}

async function readHead(repository: HostRepository): Promise<{ text: Buffer; oids: readonly string[] }> {
  const [branch, commit] = await Promise.all([
    git(repository.place, ["symbolic-ref", "--quiet", "HEAD"]),
    git(repository.place, ["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]),
  ]);
  const oids = commit.code === 0 ? [commit.stdout.toString("latin1").trim()] : [];
  return {
    text: branch.code === 0 ? Buffer.concat([Buffer.from("ref: "), branch.stdout]) : commit.stdout,
    oids,
  };
}

interface Refs {
  readonly packed: Buffer;
  readonly symbolic: readonly { readonly name: string; readonly target: string }[];
  readonly oids: readonly string[];
}

/** Names as latin1 text, one character a byte. */
async function readRefs(repository: HostRepository): Promise<Refs> {
  const format = "--format=%(objectname) %(refname) %(symref)";
  const listed = await gitOk(repository.place, ["for-each-ref", "--sort=refname", format, ...NAMESPACES]);
  const packed: string[] = [];
  const symbolic: { name: string; target: string }[] = [];
  const oids = new Set<string>();
  for (const line of listed.toString("latin1").split("\n")) {
    const [oid, name, target] = line.split(" ");
    if (oid === undefined || name === undefined) continue;
    if (target !== undefined && target !== "") {
      if (NAMESPACES.some((namespace) => target.startsWith(`${namespace}/`))) symbolic.push({ name, target });
    } else {
      packed.push(`${oid} ${name}\n`);
      oids.add(oid);
    }
  }
  return { packed: Buffer.from(packed.join(""), "latin1"), symbolic, oids: [...oids] };
}

/**
 * What an index names and is there: of a partial clone not all is, and a submodule's commit is another repository's. (git's
 * own `--indexed-objects` takes the indexes of all working trees, with what is staged in those and committed nowhere.)
 */
async function objectsIn({ place }: HostRepository, index: string): Promise<readonly string[]> {
  const named = new Set<string>();
  const listing = ["ls-files", "--stage", "-z"];
  for await (const record of answers(place, listing, "\0", { env: { GIT_INDEX_FILE: index } })) {
    const oid = /^1[02]0[0-7]{3} ([0-9a-f]+) /.exec(record)?.[1];
    if (oid !== undefined) named.add(oid);
  }
  const there: string[] = [];
  const looking = ["cat-file", "--batch-check=%(objectname)", "--buffer"];
  const stdin = [...named].map((oid) => `${oid}\n`).join("");
  for await (const line of answers(place, looking, "\n", { stdin }))
    if (/^[0-9a-f]+$/.test(line)) there.push(line);
  return there;
}

/** One at a time: a large working tree has more than an answer may be long. */
async function* answers(
  place: GitPlace,
  args: readonly string[],
  separator: string,
  options: GitOptions,
): AsyncGenerator<string, void, void> {
  const running = streamGit(place, args, options);
  for await (const answer of splitBytes(running.stdout, separator.charCodeAt(0)))
    yield answer.toString("latin1");
  const ended = await running.ended;
  if (ended.code !== 0) throw gitError(args, ended);
}

/** One pack of what `oids` reach; none when that is nothing. */
async function packObjects(repository: HostRepository, oids: readonly string[], base: string): Promise<void> {
  const args = ["--revs", "--missing=allow-promisor", "--delta-base-offset", "--non-empty", "-q"];
  await gitOk(repository.place, ["pack-objects", ...args, base], {
    stdin: oids.map((oid) => `${oid}\n`).join(""),
    config: { "pack.packSizeLimit": "0", "pack.writeReverseIndex": "false" },
  });
}

/**
 * A copy of the index that stands alone: neither split over two files nor with the names and times that speed
 * up this machine. Undefined when there is none. The working tree is hidden from git meanwhile: before it
 * writes an index it compares files that changed lately, and that runs their filters.
 */
async function plainIndex(repository: HostRepository, scratchDir: string): Promise<string | undefined> {
  const from = join(repository.gitDir, "index");
  if (statusOf(from)?.isFile() !== true) return undefined;
  const to = join(scratchDir, "index");
  const nothing = join(scratchDir, "nothing");
  copyFileSync(from, to);
  mkdirSync(nothing);
  const plain = ["--no-split-index", "--no-untracked-cache", "--no-fsmonitor", "--force-write-index"];
  await gitOk({ kind: "operators", folder: nothing }, ["update-index", ...plain], {
    env: { GIT_DIR: repository.gitDir, GIT_WORK_TREE: nothing, GIT_INDEX_FILE: to },
    config: { "core.splitIndex": "false", "core.untrackedCache": "false" },
  });
  return to;
}
