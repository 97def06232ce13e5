/**
 * A guest's objects, received as what they are: a stranger's. Contract: they come as one pack, bounded in bytes
 * and time, into a bare repository that was made for them; git checks every object and every link before one is
 * visible; they are never checked out here, and no setting, hook or attribute of theirs is ever read.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { UserError } from "../../lib/errors.ts";
import { type GitPlace, git, gitError, gitOk } from "./host-git.ts";
import type { ObjectFormat } from "./repository.ts";

/** Work of a day, with its build's artefacts committed by mistake; not a way to fill the operator's disk. */
const MAX_PACK_BYTES = 4 * 1024 ** 3;

/**
 * Faults that old, honest history has, and that harm nobody: refusing them would keep the operator's own
 * commits from coming back.
 */
export const OLD_FAULTS = [
  "badTimezone",
  "missingSpaceBeforeDate",
  "missingSpaceBeforeEmail",
  "missingEmail",
  "badEmail",
  "missingNameBeforeEmail",
  "zeroPaddedFilemode",
] as const;

export interface WorkRepositoryOptions {
  readonly objectFormat: ObjectFormat;
  /** Objects folder of the operator's repository, whose objects then need not come. */
  readonly alternate: string | undefined;
  readonly shallow: readonly string[];
}

/** Makes an empty bare repository in the new folder `gitDir`. */
export async function makeWorkRepository(gitDir: string, options: WorkRepositoryOptions): Promise<GitPlace> {
  await mkdir(gitDir, { mode: 0o700 });
  const place: GitPlace = { kind: "ours", gitDir };
  await gitOk(place, ["init", "-q", "--bare", "--template=", `--object-format=${options.objectFormat}`]);
  if (options.alternate !== undefined) {
    await mkdir(join(gitDir, "objects/info"), { recursive: true });
    await writeFile(join(gitDir, "objects/info/alternates"), `${options.alternate}\n`);
  }
  if (options.shallow.length > 0) {
    await writeFile(join(gitDir, "shallow"), options.shallow.map((oid) => `${oid}\n`).join(""));
  }
  return place;
}

export interface PackBounds {
  /** Objects that the operator's repository lacks too may be missing. */
  readonly isPartial: boolean;
  readonly maxBytes?: number;
}

/** Reads a pack from `stream` into `place`. @throws UserError when it is too large, or git finds anything wrong. */
export async function receivePack(place: GitPlace, stream: Readable, bounds: PackBounds): Promise<void> {
  const ignored = OLD_FAULTS.map((fault) => `${fault}=ignore`).join(",");
  const check = bounds.isPartial ? "--fsck-objects" : `--strict=${ignored}`;
  const limit = `--max-input-size=${bounds.maxBytes ?? MAX_PACK_BYTES}`;
  const args = ["index-pack", "--stdin", check, limit];
  try {
    const result = await git(place, args, { stdin: stream });
    if (result.code === 0) return;
    throw new UserError(`the guest's objects were refused: ${gitError(args, result).message}`, {
      hint: "the work is still in the bottle: `bottle cp` copies files out of it",
    });
  } finally {
    // git may have stopped reading long before the guest stops sending.
    stream.destroy();
  }
}
