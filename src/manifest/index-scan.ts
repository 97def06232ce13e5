/**
 * Which agents and bottles there are. Only names of files are read here: a broken file blocks nobody but
 * its own users, and nothing that a repository brings is opened before it is chosen.
 *
 * Trust is where a file lies (I5). Bottles come from the operator's home folder alone. A repository may bring
 * agents; of two agents with one name the operator's wins, then the built-in one.
 */
import { existsSync, opendirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { AgentSource } from "../contract/plan.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { type Home, ownUid } from "../lib/paths.ts";
import { printable } from "../lib/printable.ts";
import { BUILT_IN_AGENTS, BUILT_IN_BOTTLES } from "./built-ins.ts";
import { isName } from "./scalars.ts";
import { containedIn, ownershipFault } from "./trust.ts";

export interface IndexEntry {
  readonly name: string;
  readonly source: AgentSource;
  /** Absent for what is built in. */
  readonly file?: string;
}

export interface ManifestIndex {
  /** Sorted by name; one entry a name. */
  readonly agents: readonly IndexEntry[];
  readonly bottles: readonly IndexEntry[];
  readonly warnings: readonly string[];
  readonly home: Home;
  /** The repository around the working directory; absent when there is none, or it is the home itself. */
  readonly repository?: string;
  /** What `~` stands for. */
  readonly userHome: string;
  /** Who must own what is read from the home folder. */
  readonly uid: number;
}

export interface IndexOptions {
  readonly home: Home;
  /** Whose repository's agents are offered; none when absent. */
  readonly cwd?: string;
  readonly userHome?: string;
  readonly uid?: number;
}

/** Nobody has more, and a cloned repository may try. */
const MAX_FILES = 2_000;

/** @throws UserError when the home folder belongs to, or can be written by, somebody else. */
export function loadIndex(options: IndexOptions): ManifestIndex {
  const { home } = options;
  const uid = options.uid ?? ownUid();
  const warnings: string[] = [];
  for (const path of [home.root, home.bottles, home.agents]) checkFolder(path, uid);

  const repository = options.cwd === undefined ? undefined : repositoryOf(options.cwd, home);
  const bottles = [
    ...scan(home.bottles, "home", warnings),
    ...BUILT_IN_BOTTLES.map((name): IndexEntry => ({ name, source: "built-in" })),
  ];
  const agents = [
    ...scan(home.agents, "home", warnings),
    ...BUILT_IN_AGENTS.map((name): IndexEntry => ({ name, source: "built-in" })),
    ...(repository === undefined ? [] : scanRepository(repository, warnings)),
  ];
  return {
    agents: firstOfEachName(agents, warnings),
    bottles: firstOfEachName(bottles, warnings),
    warnings,
    home,
    ...(repository === undefined ? {} : { repository }),
    userHome: options.userHome ?? homedir(),
    uid,
  };
}

function checkFolder(path: string, uid: number): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  const fault = stat.isDirectory() ? ownershipFault(stat, path, uid) : "is not a folder";
  if (fault === undefined) return;
  throw new UserError(`${path} ${fault}`, {
    hint: "what agents may do is written there; BOT_BOTTLE_HOME names another folder",
  });
}

/** The nearest folder upwards with a `.git`, else `cwd` itself. */
function repositoryOf(cwd: string, home: Home): string | undefined {
  let root = resolve(cwd);
  for (let dir = root; ; dir = dirname(dir)) {
    if (existsSync(join(dir, ".git"))) {
      root = dir;
      break;
    }
    if (dirname(dir) === dir) break;
  }
  // Started in one's own home folder, `.bot-bottle` there is the operator's and not a repository's.
  return realOf(join(root, ".bot-bottle")) === realOf(home.root) ? undefined : root;
}

function realOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

function scanRepository(repository: string, warnings: string[]): IndexEntry[] {
  const folder = join(repository, ".bot-bottle");
  if (existsSync(join(folder, "bottles"))) {
    warnings.push(
      `${printable(join(folder, "bottles"), 500)} is not read: bottles say what is allowed, ` +
        "and come from your own folder alone",
    );
  }
  const agents = join(folder, "agents");
  const containment = containedIn(repository, agents);
  switch (containment.kind) {
    case "inside":
      return scan(agents, "repository", warnings);
    case "outside":
      warnings.push(`${printable(agents, 500)} is not read: it leads out of the repository`);
      return [];
    case "missing":
      return [];
  }
}

/** Reads names only, in a bounded number. */
function scan(folder: string, source: AgentSource, warnings: string[]): IndexEntry[] {
  const entries: IndexEntry[] = [];
  try {
    const dir = opendirSync(folder);
    try {
      let seen = 0;
      for (let item = dir.readSync(); item !== null; item = dir.readSync()) {
        if (!item.name.endsWith(".md") || item.name.startsWith(".")) continue;
        if (++seen > MAX_FILES) {
          warnings.push(
            `${printable(folder, 500)} holds more than ${MAX_FILES} files: the others are not read`,
          );
          break;
        }
        const name = item.name.slice(0, -".md".length);
        const file = join(folder, item.name);
        if (!isName(name)) {
          warnings.push(`${printable(file, 500)} is not read: its name is not one that can be used`);
          continue;
        }
        entries.push({ name, source, file });
      }
    } finally {
      dir.closeSync();
    }
  } catch (error) {
    const code = codeOf(error);
    if (code !== "ENOENT")
      warnings.push(`${printable(folder, 500)} cannot be read: ${code ?? String(error)}`);
  }
  return entries;
}

function firstOfEachName(entries: readonly IndexEntry[], warnings: string[]): IndexEntry[] {
  const byName = new Map<string, IndexEntry>();
  for (const entry of entries) {
    const first = byName.get(entry.name);
    if (first === undefined) byName.set(entry.name, entry);
    else if (entry.source === "repository") {
      const winner = first.file === undefined ? "the built-in agent" : printable(first.file, 500);
      warnings.push(`${printable(entry.file ?? "", 500)} is not used: ${winner} has the same name`);
    }
  }
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
