/**
 * What of a git repository made by a stranger must not reach the operator's disk. Contract: after a copy out of
 * a guest, running git in the copy runs nothing of the guest's. git takes commands from `config` (fsmonitor,
 * pagers, filters, ssh), from `hooks/`, and from whatever those point to; and it takes a folder for a repository
 * by its *structure*, not only by the name `.git`. So names are refused while extracting, and shapes afterwards.
 */
import { readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { Skipped } from "../lib/archive/extract-tar.ts";
import { joined } from "../lib/archive/pack-tar.ts";
import { statusOf } from "../lib/archive/status.ts";
import type { TarType } from "../lib/archive/tar-format.ts";
import { breather } from "../lib/breath.ts";
import { printable } from "../lib/printable.ts";

const HOLDS_COMMANDS = "git would take commands from it";
/** Of any repository of the operator's whose ids the agent knows; git would read them, and later send them. */
const BORROWS_OBJECTS = "git would take objects of another repository by it";

/** In a git folder: where commands are, or where git would look for them next. */
const COMMAND_PLACES: ReadonlySet<string> = new Set([
  "config",
  "config.worktree",
  "hooks",
  "modules",
  "worktrees",
  "commondir",
  "gitdir",
]);

/**
 * Why an entry of a guest's archive is left out, or undefined. A `.git` that is no folder is left out too:
 * as a file or link it makes git look elsewhere.
 */
export function excludeGitCommands(path: readonly Buffer[], type: TarType): string | undefined {
  const names = path.map(folded);
  for (const [index, name] of names.entries()) {
    if (!isDotGit(name)) continue;
    const [first, second, third] = names.slice(index + 1);
    if (first === undefined) return type === "directory" ? undefined : HOLDS_COMMANDS;
    if (COMMAND_PLACES.has(first)) return HOLDS_COMMANDS;
    if (first === "objects" && second === "info" && isAlternates(third ?? "")) return BORROWS_OBJECTS;
  }
  return undefined;
}

/**
 * Takes the command places, and what leads to others' objects, out of every folder below `tree` that git would take for
 * a repository, whatever its name, and says which they were. No link is followed.
 */
export async function disarmRepositories(tree: Buffer): Promise<readonly Skipped[]> {
  const breathe = breather();
  const removed: Skipped[] = [];
  const remove = async (path: Buffer, reason: string): Promise<void> => {
    await rm(path, { recursive: true, force: true });
    removed.push({ path: printable(path.subarray(tree.length + 1).toString()), reason });
  };
  const visit = async (folder: Buffer): Promise<void> => {
    const children = childrenOf(folder);
    const names = new Set(children.map(folded));
    const isRepository = names.has("head") && (names.has("objects") || names.has("commondir"));
    for (const child of children) {
      await breathe();
      const path = joined(folder, child);
      if (isRepository && COMMAND_PLACES.has(folded(child))) {
        await remove(path, HOLDS_COMMANDS);
        continue;
      }
      if (isRepository && folded(child) === "objects")
        for (const each of borrowing(path)) await remove(each, BORROWS_OBJECTS);
      if (isFolder(path)) await visit(path);
    }
  };
  if (isFolder(tree)) await visit(tree);
  return removed;
}

/** In a folder of objects, or the folder itself where it is elsewhere. */
function borrowing(objects: Buffer): readonly Buffer[] {
  if (!isFolder(objects)) return [objects];
  const infos = childrenOf(objects).filter((name) => folded(name) === "info");
  return infos.flatMap((name) => {
    const info = joined(objects, name);
    if (!isFolder(info)) return [info];
    return childrenOf(info).flatMap((each) => (isAlternates(folded(each)) ? [joined(info, each)] : []));
  });
}

/** `alternates`, `http-alternates`. */
function isAlternates(name: string): boolean {
  return name.endsWith("alternates");
}

function childrenOf(folder: Buffer): readonly Buffer[] {
  return readdirSync(folder, { encoding: "buffer" });
}

function isFolder(path: Buffer): boolean {
  return statusOf(path)?.isDirectory() === true;
}

/** Code points that HFS+ ignores when it compares names (git's own list, `utf8.c`). */
const HFS_IGNORED = /[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]/g;

/**
 * A name as the most forgiving file system would look it up: case, HFS+'s ignored characters, NTFS's stream
 * names and trailing dots and spaces are gone.
 */
function folded(name: Buffer): string {
  return name
    .toString("utf8")
    .replace(HFS_IGNORED, "")
    .replace(/:.*$/s, "")
    .replace(/[. ]+$/, "")
    .toLowerCase();
}

function isDotGit(name: string): boolean {
  return name === ".git" || name === "git~1";
}
