/**
 * Where an agent's skills are: in the operator's own folders and nowhere else, also for an agent that a
 * repository brings (I5).
 */
import { readdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { UserError } from "../lib/errors.ts";
import { didYouMean } from "../lib/names.ts";
import { quoted } from "../lib/parsed.ts";
import type { Home } from "../lib/paths.ts";
import { suggestion } from "./problem.ts";

export interface SkillFolders {
  readonly home: Home;
  /** What `~` stands for. */
  readonly userHome?: string;
}

/**
 * The real folder of each skill, by name. `~/.bot-bottle/skills` is asked before `~/.claude/skills`.
 * @throws UserError naming every skill that is in neither.
 */
export function findSkills(names: readonly string[], where: SkillFolders): ReadonlyMap<string, string> {
  const roots = [join(where.home.root, "skills"), join(where.userHome ?? homedir(), ".claude", "skills")];
  const found = new Map<string, string>();
  const missing: string[] = [];
  for (const name of names) {
    const path = roots.map((root) => join(root, name)).find(isFolder);
    if (path === undefined) missing.push(name);
    else found.set(name, realpathSync(path));
  }
  if (missing.length > 0) throw absent(missing, roots);
  return found;
}

function absent(missing: readonly string[], roots: readonly string[]): UserError {
  const there = [...new Set(roots.flatMap(foldersIn))].sort();
  const lines = missing.map(
    (name) => `there is no skill ${quoted(name)}${suggestion(didYouMean(name, there))}`,
  );
  const available = there.length === 0 ? "there are none yet" : `there are: ${there.join(", ")}`;
  return new UserError(lines.join("\n"), {
    hint: `a skill is a folder in ${roots.join(" or ")}; ${available}`,
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function foldersIn(root: string): string[] {
  try {
    return readdirSync(root).filter((name) => isFolder(join(root, name)));
  } catch {
    // No such folder, or not ours to list: it has no skills to offer.
    return [];
  }
}
