/** The agent's work as it lies on the host: a bare repository with a summary beside the objects. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import * as z from "zod";
import { codeOf, UserError } from "../../lib/errors.ts";
import { type GitPlace, git, gitError, streamGit } from "./host-git.ts";

/** Trees of the state at the start and when the work was taken, nested repositories as files. For looking only. */
export const BASE_TREE_REF = "refs/private/base";
export const NOW_TREE_REF = "refs/private/now";

const SUMMARY_FILE = "bottle-work.json";

const summarySchema = z.strictObject({
  /** Commits of the agent's on branches, tags, the stash or a detached HEAD. */
  commits: z.number(),
  /** Branch names, as below `refs/bottles/<id>/heads/`. */
  branches: z.array(z.string()),
  tags: z.array(z.string()),
  /** Files that differ from the last commit, apart from those that did so before the agent began. */
  uncommitted: z
    .strictObject({ files: z.number(), insertions: z.number(), deletions: z.number() })
    .optional(),
  /** What could not be taken, in words; printable. */
  notes: z.array(z.string()),
  /** Nothing to take out, and nothing that could not be looked at. */
  empty: z.boolean(),
});

export type WorkSummary = Readonly<z.infer<typeof summarySchema>>;

/** Where a bottle's refs are, here and in the operator's repository. */
export function workPrefix(id: string): string {
  return `refs/bottles/${id}`;
}

export async function writeSummary(workDir: string, summary: WorkSummary): Promise<void> {
  await writeFile(join(workDir, SUMMARY_FILE), `${JSON.stringify(summary)}\n`, { mode: 0o600 });
}

/** What the last export found; undefined when there was none. */
export async function readWork(workDir: string): Promise<WorkSummary | undefined> {
  try {
    return summarySchema.parse(JSON.parse(await readFile(join(workDir, SUMMARY_FILE), "utf8")));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Whether the last export found work. */
export async function hasWork(workDir: string): Promise<boolean> {
  return (await readWork(workDir))?.empty === false;
}

/**
 * The difference between the start and the last export, as `git diff` prints it: a patch that `git apply`
 * takes, or with `stat` a table. The bytes are the agent's: whoever shows them on a terminal filters them.
 * The stream fails with a UserError when git does.
 */
export function diffWork(
  workDir: string,
  options: { readonly stat?: boolean; readonly color?: boolean } = {},
): Readable {
  const shape = options.stat === true ? ["--stat", "--summary"] : ["--binary", "--full-index"];
  const color = `--color=${options.color === true ? "always" : "never"}`;
  const args = ["diff", "--no-ext-diff", "--no-textconv", "--submodule=short", color, ...shape];
  return Readable.from(patch(workDir, [...args, BASE_TREE_REF, NOW_TREE_REF, "--"]), { objectMode: false });
}

async function* patch(workDir: string, args: readonly string[]): AsyncGenerator<Buffer, void, void> {
  const place: GitPlace = { kind: "ours", gitDir: workDir };
  if ((await readWork(workDir)) === undefined) {
    throw new UserError("no work was taken out of this bottle yet");
  }
  const found = await git(place, ["rev-parse", "--quiet", "--verify", NOW_TREE_REF]);
  if (found.code !== 0) return;
  const running = streamGit(place, args);
  for await (const chunk of running.stdout) yield chunk as Buffer;
  const ended = await running.ended;
  if (ended.code !== 0) throw gitError(args, ended);
}
