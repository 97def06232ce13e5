/**
 * Where images lie: `~/.cache/bot-bottle/images`. Everything in it can be made again, except what `bottle commit` kept.
 *
 *     blobs/<algorithm>/<hex>     parts of registry images, each the bytes it is named by
 *     recipes/<key>/              what the built-in recipe made
 *     roots/<key>/                a disk, and what is known of it; `<key>` names all that went into it
 *     roots/<key>.making/         one that is being made, or was when its maker died
 *     names/<hash>.json           what the operator's word for an image came to, last time
 *     kept/<name>/                disks of `bottle commit`
 *     engine/<name>.lock          somebody makes that image in an engine while it is held
 *     work/<random>/              somebody is at work in it while its lock is held
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { ImageConfig } from "../contract/image.ts";
import { acquireLock, tryLock } from "../lib/lock-file.ts";
import { cachedRecord, namesIn } from "../lib/on-disk.ts";
import { makePrivateDir, writeFileAtomic } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";

export interface ImageCache {
  readonly root: string;
  readonly blobs: string;
  readonly recipes: string;
  readonly roots: string;
  readonly names: string;
  readonly kept: string;
  readonly engine: string;
  readonly work: string;
}

/** Below the operator's cache folder. Nothing is created. */
export function imageCacheIn(cache: string): ImageCache {
  const root = join(cache, "images");
  const below = (name: string): string => join(root, name);
  return {
    root,
    blobs: below("blobs"),
    recipes: below("recipes"),
    roots: below("roots"),
    names: below("names"),
    kept: below("kept"),
    engine: below("engine"),
    work: below("work"),
  };
}

const config: z.ZodType<ImageConfig> = z.object({
  env: z.array(z.string()),
  user: z.string(),
  cwd: z.string(),
  entrypoint: z.array(z.string()),
  cmd: z.array(z.string()),
  architecture: z.string(),
});

const rootRecord = z.object({
  /** The word by which it was asked for, when it was made. */
  name: z.string(),
  digest: z.string(),
  config,
  diskBytes: z.number(),
  layers: z.number(),
  entries: z.number(),
  /** Where in it the agent's own programs are. */
  tools: z.array(z.string()),
  createdAt: z.string(),
  /** Attributes of another kind of system, which were left out. */
  droppedAttributes: z.record(z.string(), z.number()),
});
/** What is known of a disk. */
export type RootRecord = z.output<typeof rootRecord>;

/** Nobody writes it. Others may read it who are led past the folder above: a virtual machine that gave up root. */
export const DISK_MODE = 0o444;

const DISK = "disk.ext4";
const RECORD = "image.json";

/** Undefined when there is none, or it is not whole. */
export async function readRoot(dir: string): Promise<{ disk: string; record: RootRecord } | undefined> {
  const record = await cachedRecord(join(dir, RECORD), rootRecord);
  return record && { disk: join(dir, DISK), record };
}

/** The files of a root that is being made; `dir` gets its real name afterwards. */
export const diskIn = (dir: string): string => join(dir, DISK);

export async function writeRootRecord(dir: string, record: RootRecord): Promise<void> {
  await writeFileAtomic(join(dir, RECORD), `${JSON.stringify(record, null, 2)}\n`);
}

/** Its record's time says when it was last wanted. */
export async function touchRoot(dir: string): Promise<void> {
  const now = new Date();
  await utimes(join(dir, RECORD), now, now);
}

const nameRecord = z.object({
  name: z.string(),
  digest: z.string(),
  /** What of the source would have changed with its content; a name in a registry has none. */
  stamp: z.string(),
  resolvedAt: z.string(),
});
export type NameRecord = z.output<typeof nameRecord>;

const nameFile = (cache: ImageCache, name: string): string =>
  join(cache.names, `${createHash("sha256").update(name).digest("hex")}.json`);

/** What `name` came to, last time. */
export function readName(cache: ImageCache, name: string): Promise<NameRecord | undefined> {
  return cachedRecord(nameFile(cache, name), nameRecord);
}

export async function writeName(cache: ImageCache, record: NameRecord): Promise<void> {
  await makePrivateDir(cache.names);
  await writeFileAtomic(nameFile(cache, record.name), `${JSON.stringify(record)}\n`);
}

export async function listNames(cache: ImageCache): Promise<readonly NameRecord[]> {
  const files = await namesIn(cache.names);
  const records = await Promise.all(files.map((file) => cachedRecord(join(cache.names, file), nameRecord)));
  return records.flatMap((record) => record ?? []);
}

/** Runs `use` with a folder of its own, which is gone afterwards; if this process dies, the next one removes it. */
export async function withWorkDir<T>(cache: ImageCache, use: (dir: string) => Promise<T>): Promise<T> {
  await makePrivateDir(cache.work);
  await sweepWork(cache);
  const dir = join(cache.work, randomBytes(8).toString("hex"));
  // Its name is new, but who looks for what the dead left may see the lock before it is ours.
  const lock = await acquireLock(`${dir}.lock`, { waitMs: Number.POSITIVE_INFINITY });
  try {
    await mkdir(dir, { mode: 0o700 });
    return await use(dir);
  } finally {
    await removeTree(dir);
    await lock.release();
  }
}

/** Removes what the dead were at work in. */
export async function sweepWork(cache: ImageCache): Promise<void> {
  for (const name of await namesIn(cache.work)) {
    const dir = join(cache.work, name.replace(/\.lock.*$/, ""));
    const lock = await tryLock(`${dir}.lock`);
    if (!("release" in lock)) continue;
    await removeTree(dir);
    await lock.release();
  }
}
