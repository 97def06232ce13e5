/**
 * The files of a workspace as the operator sees them: of a repository those that git tracks or would add, of a
 * plain folder all. No `.git` of any repository is among them; nested repositories and submodules come as
 * their files. No link is followed, neither as a file nor on the way to one.
 */
import { readdirSync } from "node:fs";
import { type DiskEntry, joined } from "../../lib/archive/pack-tar.ts";
import { statusOf } from "../../lib/archive/status.ts";
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { git, gitError, splitBytes, streamGit } from "./host-git.ts";

/** Repositories within repositories: deeper is a loop of somebody's making. */
const MAX_NESTING = 16;

const LIST = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"] as const;
const SLASH = 0x2f;

/** `root`'s tracked and unignored files, each named below `name`. */
export async function* repositoryFiles(
  root: Buffer,
  name: Buffer,
  depth = 0,
): AsyncGenerator<DiskEntry, void, void> {
  if (depth > MAX_NESTING) {
    throw new UserError(
      `repositories are nested more than ${MAX_NESTING} deep at ${printable(root.toString())}`,
    );
  }
  const folder = root.toString("utf8");
  if (!Buffer.from(folder).equals(root)) {
    throw new UserError(`the name of a nested repository is not UTF-8: ${printable(folder)}`, {
      hint: "rename it, or add it to .gitignore",
    });
  }
  const listing = streamGit({ kind: "operators", folder }, LIST, {
    config: { "core.untrackedCache": "false" },
  });
  const parents = realParents(root);
  for await (const listed of splitBytes(listing.stdout, 0)) {
    const path = listed.at(-1) === SLASH ? listed.subarray(0, -1) : listed;
    if (path.length === 0 || !parents.lead(path)) continue;
    const at = joined(root, path);
    const status = statusOf(at);
    if (status?.isDirectory() !== true) {
      // Deleted files are listed too; packing leaves out what is not there.
      yield { kind: "disk", name: joined(name, path), path: at };
    } else if (statusOf(joined(at, ".git")) !== undefined) {
      yield { kind: "disk", name: joined(name, path), path: at };
      yield* repositoryFiles(at, joined(name, path), depth + 1);
    }
  }
  const ended = await listing.ended;
  if (ended.code !== 0) throw gitError(LIST, ended);
}

/** Everything in a plain folder; what git would leave out of a repository in it is left out here too. */
export async function* folderFiles(root: Buffer, name: Buffer): AsyncGenerator<DiskEntry, void, void> {
  for (const child of readdirSync(root, { encoding: "buffer" }).sort(Buffer.compare)) {
    if (child.toString("latin1") === ".git") continue;
    const entry: DiskEntry = { kind: "disk", name: joined(name, child), path: joined(root, child) };
    yield entry;
    if (statusOf(entry.path)?.isDirectory() !== true) continue;
    if (await isRepository(entry.path)) yield* repositoryFiles(entry.path, entry.name, 1);
    else yield* folderFiles(entry.path, entry.name);
  }
}

/** A `.git` that git itself takes for none (a test's fixture) makes no repository. */
async function isRepository(folder: Buffer): Promise<boolean> {
  if (statusOf(joined(folder, ".git")) === undefined) return false;
  const answer = await git({ kind: "operators", folder: folder.toString("utf8") }, [
    "rev-parse",
    "--git-dir",
  ]);
  return answer.code === 0 || !/not a git repository/.test(answer.stderr);
}

/**
 * Whether every folder on the way to a path is a real one: git lists `a/b` although `a` has become a link, and
 * reading it would read what is elsewhere.
 */
function realParents(root: Buffer): { lead(path: Buffer): boolean } {
  let known = "";
  return {
    lead(path) {
      const last = path.lastIndexOf(SLASH);
      if (last < 0) return true;
      const parent = path.subarray(0, last);
      const key = parent.toString("latin1");
      if (key === known) return true;
      for (let end = parent.indexOf(SLASH); ; end = parent.indexOf(SLASH, end + 1)) {
        const folder = end < 0 ? parent : parent.subarray(0, end);
        if (statusOf(joined(root, folder))?.isDirectory() !== true) return false;
        if (end < 0) break;
      }
      known = key;
      return true;
    },
  };
}
