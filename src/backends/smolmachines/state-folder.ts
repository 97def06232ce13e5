/**
 * Where a bottle's smolvm keeps its database and its disks: below the bottle's own state directory. smolvm's sockets lie
 * so deep in there that their paths would be too long for the system, so it is shown a short link to it.
 */
import { createHash } from "node:crypto";
import { lstat, readdir, readlink, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, UserError } from "../../lib/errors.ts";
import { makePrivateDir, ownUid } from "../../lib/paths.ts";
import type { Scope } from "../../lib/scope.ts";

/** Not the system's idea of a temporary folder: on macOS that is 49 characters by itself. */
const SHORT_FOLDER = "/tmp";
const PREFIX = "bbv-";
export const STATE_NAME = "smolvm";

export interface StateFolder {
  /** The folder itself. */
  readonly path: string;
  /** The way to it that smolvm is told. */
  readonly short: string;
}

/** Makes both. @throws UserError when somebody else has the short name. */
export async function makeStateFolder(stateDir: string, scope: Scope): Promise<StateFolder> {
  const folder = stateFolderIn(stateDir);
  await makePrivateDir(folder.path);
  // Without it, some releases take another place for it.
  for (const name of ["data", "cache", "config", "run"]) await makePrivateDir(join(folder.path, name));
  try {
    await symlink(folder.path, folder.short);
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
    const [stat, target] = await Promise.all([lstat(folder.short), readlink(folder.short).catch(() => "")]);
    if (target !== folder.path || stat.uid !== ownUid())
      throw new UserError(`${folder.short} is in the way`, { hint: `see what it is: ls -l ${folder.short}` });
  }
  scope.defer("short way to the machine's folder", () =>
    // A straggler of smolvm's may have made a folder of it.
    rm(folder.short, { recursive: true, force: true }),
  );
  return folder;
}

/** The same name every time: a machine may remember it. */
export function stateFolderIn(stateDir: string): StateFolder {
  const path = join(stateDir, STATE_NAME);
  const name = createHash("sha256").update(path).digest("hex").slice(0, 10);
  return { path, short: join(SHORT_FOLDER, `${PREFIX}${name}`) };
}

/** Short ways of this user's, and where they lead. */
export async function shortWays(): Promise<readonly { readonly short: string; readonly path: string }[]> {
  const names = (await readdir(SHORT_FOLDER)).filter((name) => name.startsWith(PREFIX));
  const ways = await Promise.all(
    names.map(async (name) => {
      const short = join(SHORT_FOLDER, name);
      try {
        const stat = await lstat(short);
        return stat.isSymbolicLink() && stat.uid === ownUid() ? [{ short, path: await readlink(short) }] : [];
      } catch {
        return [];
      }
    }),
  );
  return ways.flat();
}
