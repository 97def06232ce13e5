/**
 * What of a git repository made by a stranger must not reach the operator's disk. Contract: after a copy out of
 * a guest, running git in the copy runs nothing of the guest's. git takes commands from `config` (fsmonitor,
 * pagers, filters, ssh), from `hooks/`, and from whatever those point to; and it takes a folder for a repository
 * by its *structure*, not only by the name `.git`. So names are refused while extracting, and shapes afterwards.
 */
import { readdirSync, rmSync } from "node:fs";
import type { Skipped } from "../lib/archive/extract-tar.ts";
import { joined } from "../lib/archive/pack-tar.ts";
import { statusOf } from "../lib/archive/status.ts";
import type { TarType } from "../lib/archive/tar-format.ts";
import { printable } from "../lib/printable.ts";

const HOLDS_COMMANDS = "git would take commands from it";

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
    // Would make git read, and later send, objects of any repository of the operator's.
    if (first === "objects" && second === "info" && /alternates$/.test(third ?? "")) return HOLDS_COMMANDS;
  }
  return undefined;
}

/**
 * Takes the command places out of every folder below `tree` that git would take for a repository,
 * whatever its name, and says which they were. No link is followed.
 */
export function disarmRepositories(tree: Buffer): readonly Skipped[] {
  const removed: Skipped[] = [];
  const visit = (folder: Buffer, below: readonly Buffer[]): void => {
    const children = readdirSync(folder, { encoding: "buffer" });
    const names = new Set(children.map(folded));
    const isRepository = names.has("head") && (names.has("objects") || names.has("commondir"));
    for (const child of children) {
      const path = joined(folder, child);
      if (isRepository && COMMAND_PLACES.has(folded(child))) {
        rmSync(path, { recursive: true, force: true });
        removed.push({ path: printable([...below, child].join("/")), reason: HOLDS_COMMANDS });
      } else if (statusOf(path)?.isDirectory() === true) {
        visit(path, [...below, child]);
      }
    }
  };
  if (statusOf(tree)?.isDirectory() === true) visit(tree, []);
  return removed;
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
