/**
 * The state of the workspace as one git tree: tracked and unignored files as they lie there, committed or not,
 * with the files of nested repositories and submodules in place of the pointers that git would store.
 */
import { GUEST } from "../../contract/backend.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { failed } from "../guest-command.ts";
import { linesOf } from "./byte-lines.ts";
import type { GuestGit } from "./guest-git.ts";
import { isOid } from "./oid.ts";
import { GITLINK, type Gitlink, type WorkspaceState } from "./workspace-state.ts";

/** Repositories within the workspace that are looked into; more is a checkout of the world. */
const MAX_NESTED = 100;
/** Nested ones may hold nested ones. */
const MAX_ROUNDS = 8;

/**
 * Takes the workspace's state now. An index or a store of ours that was damaged is made new once.
 * @throws UserError when git in the guest cannot do it: an incomplete state is never passed off as the whole.
 */
export async function snapshotTree(
  git: GuestGit,
  options: { readonly isFirst?: boolean } = {},
): Promise<WorkspaceState> {
  const [tracked, known, ignored] = await Promise.all([
    trackedBy(git),
    options.isFirst === true ? undefined : git.run(["ls-files", "-z"]),
    options.isFirst === true
      ? undefined
      : git.run(["ls-files", "-z", "--cached", "--ignored", "--exclude-standard"]),
  ]);
  const gitlinks = tracked.filter(({ mode }) => mode === GITLINK);
  if (known !== undefined && ignored !== undefined && known.code === 0 && known.stdout.length > 0) {
    try {
      await adopt(git, tracked, linesOf(known.stdout, "\0"), linesOf(ignored.stdout, "\0"));
      return { ...(await fillAndWrite(git)), gitlinks };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
    }
  }
  await git.resetIndex();
  // Pointers would keep git from looking at the files below them.
  await forceRemove(
    git,
    gitlinks.map(({ path }) => path),
  );
  return { ...(await fillAndWrite(git)), gitlinks };
}

interface TrackedFile extends Gitlink {
  readonly mode: string;
}

/** What the agent's own index holds. */
async function trackedBy(git: GuestGit): Promise<readonly TrackedFile[]> {
  if (git.repository === undefined) return [];
  const listed = await git.asAgent(["ls-files", "-s", "-z"]);
  return linesOf(listed.stdout, "\0").flatMap((record): TrackedFile[] => {
    const [, mode, oid, path] = STAGED.exec(record) ?? [];
    return mode === undefined || oid === undefined || path === undefined ? [] : [{ mode, oid, path }];
  });
}

/** A line of `ls-files -s`: mode, id, stage, path. */
const STAGED = /^([0-7]{6}) ([0-9a-f]+) [0-3]\t(.+)$/s;

/**
 * Makes our index know the same files as the agent's, beyond what lies unignored in the folder: a file may be
 * tracked although it is ignored, or no longer tracked.
 */
async function adopt(
  git: GuestGit,
  tracked: readonly TrackedFile[],
  known: readonly string[],
  ignored: readonly string[],
): Promise<void> {
  const ours = new Set(known);
  const missing = tracked.filter(({ mode, path }) => mode !== GITLINK && !ours.has(path));
  if (missing.length > 0) {
    const stdin = missing.map(({ mode, oid, path }) => `${mode} ${oid}\t${path}\0`).join("");
    await git.run(["update-index", "-z", "--index-info"], { stdin: Buffer.from(stdin, "latin1") });
  }
  const theirs = new Set(tracked.map(({ path }) => path));
  await forceRemove(
    git,
    ignored.filter((path) => !theirs.has(path)),
  );
}

async function fillAndWrite(git: GuestGit): Promise<Pick<WorkspaceState, "tree" | "notes">> {
  const notes = await addEverything(git);
  const tree = (await git.ok(["write-tree"])).toString("latin1").trim();
  if (!isOid(tree)) throw new UserError("git in the guest wrote no tree");
  return { tree, notes };
}

/** Returns what was left out. */
async function addEverything(git: GuestGit): Promise<readonly string[]> {
  const first = await addAll(git);
  const notes: string[] = [];
  const tried = new Set<string>();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const { gitlinks, unborn } = await nestedIn(git);
    await forceRemove(git, gitlinks);
    const nested = [...gitlinks, ...unborn].filter((path) => !tried.has(path));
    if (nested.length === 0) break;
    for (const path of nested) {
      tried.add(path);
      const taken = tried.size <= MAX_NESTED && (await addNested(git, path));
      if (!taken) notes.push(`the repository in ${printable(path)} could not be read`);
    }
  }
  // What git complained of may have been a nested repository, whose files are known by now.
  const complaint = first === undefined || tried.size === 0 ? first : await addAll(git);
  return complaint === undefined ? notes : [...notes, `some files could not be read: ${complaint}`];
}

/** Adds what git is willing to add. Returns its complaint when it left something out. */
async function addAll(git: GuestGit): Promise<string | undefined> {
  const { code, stderr } = await git.run(["add", "--all", "--ignore-errors", "--", "."]);
  if (code > 1) throw failed("git add", `exited ${code}`, stderr);
  return code === 1 || stderr.includes("could not open directory") ? stderr : undefined;
}

/** Repositories within: those git added as pointers, and those without a commit, which it lists but does not enter. */
async function nestedIn(git: GuestGit): Promise<{ gitlinks: readonly string[]; unborn: readonly string[] }> {
  const listed = await git.run(["ls-files", "-z", "--stage", "--others", "--exclude-standard"]);
  const gitlinks: string[] = [];
  const unborn: string[] = [];
  for (const record of linesOf(listed.stdout, "\0")) {
    const [, mode, , path] = STAGED.exec(record) ?? [];
    if (mode === GITLINK && path !== undefined) gitlinks.push(path);
    else if (mode === undefined && record.endsWith("/")) unborn.push(record.slice(0, -1));
  }
  return { gitlinks, unborn };
}

/** Adds the files of the repository at `path` as plain files of the workspace. */
async function addNested(git: GuestGit, path: string): Promise<boolean> {
  const name = Buffer.from(path, "latin1").toString("utf8");
  if (!Buffer.from(name).equals(Buffer.from(path, "latin1"))) return false;
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  const listed = await git.asAgent(list, `${GUEST.workspace}/${name}`);
  if (listed.code !== 0) return false;
  const paths = linesOf(listed.stdout, "\0")
    .filter((below) => !below.endsWith("/"))
    .map((below) => `${path}/${below}\0`);
  const stdin = Buffer.from(paths.join(""), "latin1");
  const added = await git.run(["update-index", "-z", "--add", "--remove", "--replace", "--stdin"], { stdin });
  return added.code === 0;
}

async function forceRemove(git: GuestGit, paths: readonly string[]): Promise<void> {
  if (paths.length === 0) return;
  const stdin = Buffer.from(paths.map((path) => `${path}\0`).join(""), "latin1");
  await git.run(["update-index", "-z", "--force-remove", "--stdin"], { stdin });
}
