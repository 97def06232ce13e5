/** The disks that are in the cache: which, how large, for whom; and removing those that nobody needs. */
import { rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { tryLock } from "../lib/lock-file.ts";
import { bytesOnDisk, namesIn, statOf } from "../lib/on-disk.ts";
import { removeTree } from "../lib/remove-tree.ts";
import {
  type ImageCache,
  imageCacheIn,
  listNames,
  type NameRecord,
  type RootRecord,
  readRoot,
  sweepWork,
} from "./image-cache.ts";
import { usersOf } from "./image-users.ts";
import { keptFolders } from "./kept-image.ts";

/** A bottle that is being launched has its image already, and has not said so yet. */
export const JUST_WANTED_MS = 10 * 60_000;

export interface StoredImage {
  /** Of one that is kept: its name. */
  readonly key: string;
  readonly disk: string;
  readonly record: RootRecord;
  /** By `bottle commit`: nothing can make it again. */
  readonly isKept: boolean;
  /** What the file takes, and not what the guest sees. */
  readonly bytes: number;
  readonly lastWantedAt: Date;
  /** Bottles whose disks stand on it. */
  readonly bottles: readonly string[];
  /** Operators' words that come to it today. */
  readonly names: readonly string[];
}

/** The disks that are whole, the last wanted first. */
export async function listImages(cacheDir: string): Promise<readonly StoredImage[]> {
  const cache = imageCacheIn(cacheDir);
  const names = await listNames(cache);
  const keys = (await namesIn(cache.roots)).filter((name) => /^[0-9a-f]{64}$/.test(name));
  const made = keys.map((key) => join(cache.roots, key));
  const kept = (await keptFolders(cacheDir)).map(({ dir }) => dir);
  const found = await Promise.all([...made, ...kept].map((dir) => describe(dir, names)));
  return found
    .flatMap((image) => image ?? [])
    .sort((a, b) => b.lastWantedAt.getTime() - a.lastWantedAt.getTime());
}

async function describe(dir: string, names: readonly NameRecord[]): Promise<StoredImage | undefined> {
  const root = await readRoot(dir);
  if (root === undefined) return undefined;
  const [disk, record] = await Promise.all([stat(root.disk), stat(join(dir, "image.json"))]);
  const isKept = root.record.name.startsWith("kept:");
  return {
    key: isKept ? root.record.name : basename(dir),
    ...root,
    isKept,
    bytes: disk.blocks * 512,
    lastWantedAt: record.mtime,
    bottles: await usersOf(dir),
    names: isKept
      ? [root.record.name]
      : names.filter(({ digest }) => digest === root.record.digest).map(({ name }) => name),
  };
}

export interface PruneRequest {
  readonly cache: string;
  /** Words of images that a manifest names. */
  readonly wanted: ReadonlySet<string>;
  readonly dryRun: boolean;
}

export interface Pruned {
  readonly what: string;
  readonly bytes: number;
}

/**
 * Removes disks that no bottle stands on and no manifest names, parts of images that are on a disk already, and what
 * builds that died left. What was wanted a moment ago stays, and so does what `bottle commit` kept.
 */
export async function pruneImages(request: PruneRequest): Promise<readonly Pruned[]> {
  const cache = imageCacheIn(request.cache);
  const pruned: Pruned[] = [];
  const current = new Set<string>();
  for (const image of await listImages(request.cache)) {
    // The same image with an older release of the agent in it is not what anybody wants.
    const shape = JSON.stringify([image.record.digest, image.record.diskBytes, image.record.tools]);
    const isCurrent = !current.has(shape) && image.names.some((name) => request.wanted.has(name));
    current.add(shape);
    if (image.isKept) continue;
    if (isCurrent || image.bottles.length > 0) continue;
    if (Date.now() - image.lastWantedAt.getTime() < JUST_WANTED_MS) continue;
    if (!request.dryRun && !(await removeRoot(cache, image))) continue;
    pruned.push({ what: `${image.record.name} ${image.record.digest}`, bytes: image.bytes });
  }
  for (const leftover of await leftoversIn(cache)) {
    const bytes = await bytesOnDisk(leftover);
    if (!request.dryRun && !(await removeLocked(leftover))) continue;
    pruned.push({ what: leftover.slice(cache.root.length + 1), bytes });
  }
  if (!request.dryRun) await sweepWork(cache);
  return pruned;
}

/** What a build left whose maker is dead, and old parts: of registry images and of the built-in one. */
async function leftoversIn(cache: ImageCache): Promise<readonly string[]> {
  const below = async (folder: string): Promise<string[]> =>
    (await namesIn(folder)).map((name) => join(folder, name));
  const making = [...(await below(cache.roots)), ...(await below(cache.recipes))].filter((path) =>
    path.endsWith(".making"),
  );
  const blobs = (await Promise.all((await below(cache.blobs)).map(below))).flat();
  const recipes = (await below(cache.recipes)).filter((path) => /\/[0-9a-f]{64}$/.test(path));
  const old: string[] = [];
  for (const path of [...blobs, ...recipes]) {
    if (path.includes(".lock")) continue;
    const status = await statOf(path);
    if (status !== undefined && Date.now() - status.mtimeMs > JUST_WANTED_MS) old.push(path);
  }
  return [...making, ...old];
}

/** False when somebody is at work on it, or has wanted it since it was listed. */
async function removeRoot(cache: ImageCache, image: StoredImage): Promise<boolean> {
  const dir = join(cache.roots, image.key);
  return removeLocked(dir, async () => {
    const now = await statOf(join(dir, "image.json"));
    if (now === undefined || now.mtime.getTime() !== image.lastWantedAt.getTime()) return false;
    // Out of everybody's sight at once: half of one is never found.
    await rename(dir, `${dir}.making`);
    await removeTree(`${dir}.making`);
    return true;
  });
}

/** False when somebody is at work on it. */
async function removeLocked(
  path: string,
  remove: () => Promise<boolean> = () => removeTree(path).then(() => true),
): Promise<boolean> {
  const lockPath = `${path.replace(/\.(?:making|part)$/, "")}.lock`;
  const lock = await tryLock(lockPath);
  if (!("release" in lock)) return false;
  try {
    return await remove();
  } finally {
    await lock.release();
  }
}
