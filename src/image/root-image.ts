/**
 * From where an image comes from to a disk that a guest can boot from: made once for each content, kept in the cache
 * under the name of all that went into it, and never written again. Contract: a disk appears under its name whole or
 * not at all; two who want the same one make it once; who dies half-way leaves only what the next one removes.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { packTar } from "../lib/archive/pack-tar.ts";
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { codeOf, isLackOfRoom, UserError } from "../lib/errors.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { makePrivateDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { imageWord } from "../plan/image-word.ts";
import { addAgentUser } from "./agent-user.ts";
import { applyLayer, newLayerCount } from "./apply-layer.ts";
import { beginDisk } from "./ext4/write-disk.ts";
import {
  DISK_MODE,
  diskIn,
  type ImageCache,
  imageCacheIn,
  type RootRecord,
  readName,
  readRoot,
  touchRoot,
  withWorkDir,
  writeName,
  writeRootRecord,
} from "./image-cache.ts";
import { prepareKept } from "./kept-image.ts";
import { withLayerTar } from "./layer-stream.ts";
import { openSource, stampOf } from "./open-source.ts";
import type { RootImage, RootImageRequest } from "./root-disk.ts";
import type { SourceImage } from "./source-image.ts";
import { toolsDigest } from "./tools-layer.ts";
import { newFolder } from "./tree.ts";

export type { RootImage, RootImageRequest } from "./root-disk.ts";

/** Part of every disk's name: raised when the same image would come to other bytes than before. */
const FORMAT = 1;

/** Room for a large checkout and its build beside a development image. It costs only what is written. */
export const DEFAULT_DISK_BYTES = 16 * 1024 ** 3;

/**
 * The disk for a source, made if it is not there yet.
 * @throws UserError when the source cannot be had, is malformed or hostile, or does not fit. The signal's reason.
 */
export async function prepareRootImage(
  request: RootImageRequest,
  progress: Progress,
  signal?: AbortSignal,
): Promise<RootImage> {
  if (request.source.kind === "kept") return prepareKept(request.source.name, request, progress);
  const cache = imageCacheIn(request.cache);
  const name = imageWord(request.source);
  const tools = toolsDigest(request.tools);
  const { diskBytes = DEFAULT_DISK_BYTES } = request;
  const keyOf = (digest: string): string =>
    createHash("sha256")
      .update(JSON.stringify([FORMAT, digest, tools, diskBytes]))
      .digest("hex");

  const stamp = await stampOf(request.source);
  const known = await readName(cache, name);
  if (known !== undefined && known.stamp === stamp && stamp !== undefined && request.refresh !== true) {
    const ready = await findRoot(cache, name, keyOf(known.digest));
    if (ready !== undefined) return ready;
  }
  const making = withWorkDir(cache, async (workDir) => {
    const image = await openSource(request.source, {
      cache,
      workDir,
      progress,
      refresh: request.refresh === true,
      ...(signal && { signal }),
    });
    const key = keyOf(image.digest);
    const found =
      (await findRoot(cache, name, key)) ??
      (await makeRoot(cache, { ...request, diskBytes }, { name, image, key }, progress, signal));
    const resolvedAt = new Date().toISOString();
    await writeName(cache, { name, digest: image.digest, stamp: stamp ?? "", resolvedAt });
    return found;
  });
  return making.catch((error: unknown) => {
    // Streams and programs that were stopped say so in words of their own.
    signal?.throwIfAborted();
    if (!isLackOfRoom(error)) throw error;
    throw new UserError(`there is no room for the image ${name} in ${request.cache}: ${codeOf(error)}`, {
      hint: "make room there, bottle image prune for one, or set BOT_BOTTLE_CACHE to a folder on another disk",
      cause: error,
    });
  });
}

async function findRoot(cache: ImageCache, name: string, key: string): Promise<RootImage | undefined> {
  const dir = join(cache.roots, key);
  const root = await readRoot(dir);
  if (root === undefined) return undefined;
  await touchRoot(dir);
  return { name, digest: root.record.digest, key, disk: root.disk, config: root.record.config };
}

interface Wanted {
  readonly name: string;
  readonly image: SourceImage;
  readonly key: string;
}

async function makeRoot(
  cache: ImageCache,
  request: RootImageRequest & { readonly diskBytes: number },
  { name, image, key }: Wanted,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<RootImage> {
  await makePrivateDir(cache.roots);
  const dir = join(cache.roots, key);
  const lock = await acquireLock(`${dir}.lock`, {
    waitMs: Number.POSITIVE_INFINITY,
    onWait: ({ pid }) => progress(`waiting for process ${pid}, which makes the image ${name}`),
    ...(signal && { signal }),
  });
  const making = `${dir}.making`;
  try {
    const made = await findRoot(cache, name, key);
    if (made !== undefined) return made;
    await removeTree(making);
    await removeTree(dir);
    await mkdir(making, { mode: 0o700 });
    const counted = await writeDisk(diskIn(making), request, image, key, progress, signal);
    await writeRootRecord(making, {
      name,
      digest: image.digest,
      config: image.config,
      diskBytes: request.diskBytes,
      tools: request.tools.map(({ to }) => to),
      createdAt: new Date().toISOString(),
      ...counted,
    });
    await rename(making, dir);
    const root = await findRoot(cache, name, key);
    if (root === undefined) throw new Error(`the image just made at ${dir} cannot be read`);
    return root;
  } catch (error) {
    throw explain(name, error);
  } finally {
    await removeTree(making);
    await lock.release();
  }
}

async function writeDisk(
  path: string,
  request: RootImageRequest & { readonly diskBytes: number },
  image: SourceImage,
  key: string,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<Pick<RootRecord, "layers" | "entries" | "droppedAttributes">> {
  const file = await open(path, "wx+", 0o600);
  try {
    const disk = beginDisk(file, request.diskBytes);
    const root = newFolder();
    const count = newLayerCount();
    let layer = 0;
    for (const stored of image.layers) {
      layer += 1;
      const number = layer;
      progress(`unpacking layer ${number} of ${image.layers.length}`);
      const target = {
        root,
        content: disk.content,
        count,
        layer: number,
        ...(stored.rootIs && { rootIs: stored.rootIs }),
      };
      await withLayerTar(stored, (tar) => applyLayer(tar, target), signal);
    }
    for (const { from, to } of request.tools) {
      layer += 1;
      const target = { root, content: disk.content, count, layer };
      await applyLayer(packTar(from, Buffer.from(to.replace(/^\/+/, ""))), target);
    }
    await addAgentUser({ root, content: disk.content, file, layer: layer + 1 });
    signal?.throwIfAborted();
    progress("writing the disk");
    await disk.finish(root, createHash("sha256").update(key).digest());
    await file.sync();
    await chmod(path, DISK_MODE);
    return {
      layers: image.layers.length,
      entries: count.entries,
      droppedAttributes: Object.fromEntries(count.droppedAttributes),
    };
  } finally {
    await file.close();
  }
}

function explain(name: string, error: unknown): unknown {
  if (!(error instanceof ArchiveError)) return error;
  return new UserError(`the image ${name} is refused: ${error.message}`, {
    hint: "make it again with a tool that you trust, or take another one",
    cause: error,
  });
}
