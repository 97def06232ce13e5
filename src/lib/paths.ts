/**
 * Where things are on the operator's disk, and how files are made there: 0700 directories, 0600 files,
 * written beside and renamed so that no reader ever sees half of one.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, realpathSync, statSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { homedir, hostname, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { draftBeside } from "./draft.ts";
import { codeOf, UserError } from "./errors.ts";

export interface Home {
  /** `~/.bot-bottle`, or `$BOT_BOTTLE_HOME`. */
  readonly root: string;
  readonly bottles: string;
  readonly agents: string;
  readonly state: string;
  readonly audit: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The operator's own folder. Nothing is created. */
export function homeOf(env: Environment = process.env): Home {
  const root = env["BOT_BOTTLE_HOME"] || join(env["HOME"] || homedir(), ".bot-bottle");
  return {
    root,
    bottles: join(root, "bottles"),
    agents: join(root, "agents"),
    state: join(root, "state"),
    audit: join(root, "audit"),
  };
}

/**
 * What a resource elsewhere (an engine's, a kernel's) bears of whose home it was made from: engines and kernels serve
 * several, and machines share engines.
 */
export function homeMark(root: string = homeOf().root): string {
  const place = existsSync(root) ? realpathSync(root) : root;
  return createHash("sha256").update(`${hostname()}\0${place}`).digest("hex").slice(0, 16);
}

/** What can be made again: installed agents, images. `~/.cache/bot-bottle`, or `$BOT_BOTTLE_CACHE`. */
export function cacheOf(env: Environment = process.env): string {
  return (
    env["BOT_BOTTLE_CACHE"] ||
    join(env["XDG_CACHE_HOME"] || join(env["HOME"] || homedir(), ".cache"), "bot-bottle")
  );
}

/** Linux's `sun_path` is 108 bytes with its NUL; Node cuts a longer one off without a word. */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Who runs this; in a container often a number without a name, which is all that `os.userInfo` would fail for. */
export function ownUid(): number {
  return process.getuid?.() ?? -1;
}

/**
 * The 0700 directory under which each running bottle has its sockets: `$XDG_RUNTIME_DIR/bot-bottle`,
 * else `/tmp/bot-bottle-<uid>`. One that others can change (`sudo -E` keeps the caller's) is as good as none: they could
 * put another directory in the place of ours, and answer for our bottles.
 * @throws UserError when that name in /tmp belongs to another user or is a link: somebody is waiting there.
 */
export function runtimeDir(env: Environment = process.env): string {
  const uid = ownUid();
  const told = env["XDG_RUNTIME_DIR"];
  const base = told && !othersChange(told, uid) ? told : undefined;
  const dir = base ? join(base, "bot-bottle") : join(tmpdir(), `bot-bottle-${uid}`);
  try {
    makeFolders(dir);
  } catch (cause) {
    throw new UserError(`cannot create ${dir}: ${codeOf(cause) ?? String(cause)}`, {
      hint: `set ${base ? "XDG_RUNTIME_DIR" : "TMPDIR"} to a directory you can write`,
      cause,
    });
  }
  const stat = lstatSync(dir);
  if (!stat.isDirectory() || stat.uid !== uid) {
    throw new UserError(`${dir} is not a directory of yours`, {
      hint: `remove it, or set XDG_RUNTIME_DIR to a directory that only you can write`,
    });
  }
  if ((stat.mode & 0o077) !== 0) chmodSync(dir, 0o700);
  return dir;
}

/** What is in it they replace: it is somebody else's, or leads to such a one, or all may write there and no sticky bit minds. */
function othersChange(path: string, uid: number): boolean {
  const place = lstatSync(path, { throwIfNoEntry: false });
  if (place === undefined) return false;
  const folder = statSync(path, { throwIfNoEntry: false });
  if (folder === undefined || place.uid !== uid || folder.uid !== uid) return true;
  return (folder.mode & 0o022) !== 0 && (folder.mode & 0o1000) === 0;
}

/** @throws UserError naming the limit; the caller's path would be silently cut otherwise. */
export function checkSocketPath(path: string): string {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new UserError(`socket path is longer than ${MAX_SOCKET_PATH_BYTES} bytes: ${path}`, {
      hint: "set XDG_RUNTIME_DIR to a shorter directory",
    });
  }
  return path;
}

/**
 * Creates a directory that only the operator can enter, and those above it.
 * @throws UserError naming what to set, when the disk is read-only, full or not ours, or takes no directories at all.
 */
export async function makePrivateDir(path: string): Promise<void> {
  try {
    makeFolders(path);
  } catch (cause) {
    const variable = movedBy(path);
    throw new UserError(`cannot create ${path}: ${codeOf(cause) ?? String(cause)}`, {
      hint:
        variable === undefined
          ? `see that ${dirname(path)} is a directory you can write`
          : `set ${variable} to a directory you can write`,
      cause,
    });
  }
}

/**
 * A directory for a while, which only the operator can enter; whoever makes it removes it.
 * @throws UserError naming `TMPDIR`.
 */
export function makeTemporaryDir(prefix: string): string {
  const place = tmpdir();
  try {
    return mkdtempSync(join(place, prefix));
  } catch (cause) {
    throw new UserError(`cannot create a directory in ${place}: ${codeOf(cause) ?? String(cause)}`, {
      hint: "set TMPDIR to a directory you can write",
      cause,
    });
  }
}

/** The variable that says where `path` is. */
function movedBy(path: string): string | undefined {
  const places = [
    [cacheOf(), "BOT_BOTTLE_CACHE"],
    [homeOf().root, "BOT_BOTTLE_HOME"],
  ] as const;
  return places.find(([place]) => path === place || path.startsWith(`${place}/`))?.[1];
}

/**
 * Not by mkdir's own recursion: it calls a read-only disk ENOENT, and goes on for ever where a directory takes none
 * (/proc), since that is ENOENT too.
 */
function makeFolders(path: string, isParentThere = false): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    switch (codeOf(error)) {
      case "EEXIST":
        if (!statSync(path).isDirectory()) throw error;
        return;
      case "ENOENT":
        if (isParentThere || dirname(path) === path) throw error;
        makeFolders(dirname(path));
        makeFolders(path, true);
        return;
      default:
        throw error;
    }
  }
}

/** Replaces `path` whole: readers see the old file or the new one. Mode 0600 unless told otherwise. */
export async function writeFileAtomic(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const beside = await draftBeside(path);
  try {
    const file = await open(beside, "wx", mode);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}
