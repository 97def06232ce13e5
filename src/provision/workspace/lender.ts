/** The operator's repository as a source of objects that the host has already. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../../lib/errors.ts";
import { gitLine } from "./host-git.ts";
import { type ObjectFormat, repositoryAt } from "./repository.ts";

export interface Lender {
  /** Its objects folder. */
  readonly objects: string;
  readonly shallow: readonly string[];
}

/** The repository at `folder`, if it is still there and can lend objects of this format. */
export async function lenderAt(folder: string, format: ObjectFormat): Promise<Lender | undefined> {
  try {
    const repository = await repositoryAt(folder);
    if (repository?.objectFormat !== format) return undefined;
    const args = ["rev-parse", "--path-format=absolute", "--git-path", "objects"];
    const objects = await gitLine(repository.place, args);
    // git's list of lenders has a syntax of its own for other paths.
    if (!objects.startsWith("/") || /["\n]/.test(objects)) return undefined;
    return { objects, shallow: await shallowCommits(repository.commonDir) };
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

/** Commits at which the history of the repository at `commonDir` was cut off. */
export async function shallowCommits(commonDir: string): Promise<readonly string[]> {
  const text = await readFile(join(commonDir, "shallow"), "utf8").catch(() => "");
  return text.split("\n").filter((line) => /^[0-9a-f]{40,64}$/.test(line));
}
