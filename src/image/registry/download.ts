/**
 * Parts of an image, in the cache under the name of what they hash to. What was broken off goes on where it stopped,
 * and what comes is hashed with what was there: a mirror that answers with other bytes is noticed at the end.
 */
import { createReadStream } from "node:fs";
import { link, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, isLackOfRoom, UserError } from "../../lib/errors.ts";
import { acquireLock } from "../../lib/lock-file.ts";
import { statOf } from "../../lib/on-disk.ts";
import { makePrivateDir } from "../../lib/paths.ts";
import { DigestCheck, digestParts } from "../digest.ts";
import type { ImageCache } from "../image-cache.ts";
import type { RegistryClient } from "./client.ts";

/** Connections that break in the middle of one part. */
const MAX_RESUMES = 20;
/** Those of them, one after the other, that brought nothing: a reset takes along what was on its way. */
const MAX_FRUITLESS = 3;
const PAUSE_MS = 500;

export interface Part {
  readonly digest: string;
  readonly size: number;
}

export interface DownloadOptions {
  readonly client: RegistryClient;
  readonly cache: ImageCache;
  /** In the cache too. */
  readonly workDir: string;
  /** Bytes that have come, since it was last called. */
  readonly onBytes: (count: number) => void;
  readonly signal?: AbortSignal;
}

export interface Downloaded {
  /** A name of its own in the `workDir`: whoever prunes the cache while the rest comes takes only the other one. */
  readonly path: string;
  /** Takes it out of the cache. */
  discard(): Promise<void>;
}

/** @throws UserError when what comes is not what was named, or nothing comes. */
export async function download(part: Part, options: DownloadOptions): Promise<Downloaded> {
  const { algorithm, hex } = digestParts(part.digest);
  const folder = join(options.cache.blobs, algorithm);
  const path = join(folder, hex);
  const own = join(options.workDir, `${algorithm}-${hex}`);
  const downloaded: Downloaded = { path: own, discard: () => rm(path, { force: true }) };
  await makePrivateDir(folder);
  if (await isTaken(path, own, part.size)) {
    options.onBytes(part.size);
    return downloaded;
  }
  const lock = await acquireLock(`${path}.lock`, {
    waitMs: Number.POSITIVE_INFINITY,
    ...(options.signal && { signal: options.signal }),
  });
  try {
    // Another one may have brought it while we waited.
    if (await isTaken(path, own, part.size)) options.onBytes(part.size);
    else {
      await bring(part, path, options);
      await link(path, own);
    }
    return downloaded;
  } finally {
    await lock.release();
  }
}

/** Gives what is in the cache our own name. False when it is not there, or not of that size. */
async function isTaken(path: string, own: string, size: number): Promise<boolean> {
  try {
    await link(path, own);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    // An image may name one part as two things.
    if (codeOf(error) !== "EEXIST") throw error;
  }
  if ((await statOf(own))?.size === size) return true;
  await rm(own);
  return false;
}

async function bring(part: Part, path: string, options: DownloadOptions): Promise<void> {
  const beside = `${path}.part`;
  let fruitless = 0;
  for (let resumes = 0; ; resumes++) {
    // At least the last byte is asked for: of what has all come a registry has no more to give, and says 416.
    const had = Math.min((await statOf(beside))?.size ?? 0, Math.max(0, part.size - 1));
    try {
      await attempt(part, beside, had, options);
      break;
    } catch (error) {
      options.signal?.throwIfAborted();
      const came = ((await statOf(beside))?.size ?? 0) - had;
      fruitless = came > 0 ? 0 : fruitless + 1;
      if (error instanceof UserError || resumes >= MAX_RESUMES || fruitless >= MAX_FRUITLESS) {
        throw asUserError(part, error);
      }
      await sleep(PAUSE_MS, undefined, options.signal ? { signal: options.signal } : {});
    }
  }
  await rename(beside, path);
}

async function attempt(
  part: Part,
  beside: string,
  had: number,
  { client, onBytes, signal }: DownloadOptions,
) {
  const check = new DigestCheck("the part", part.digest, part.size);
  const { status, body } = await client.get(`blobs/${part.digest}`, {
    ...(had > 0 && { from: had }),
    ...(signal && { signal }),
  });
  const from = status === 206 ? had : 0;
  const file = await open(beside, from > 0 ? "r+" : "w", 0o600);
  try {
    if (status === 416) throw new UserError(`the registry has less of ${part.digest} than it says`);
    if (from > 0) {
      if (!startsAt(body.headers["content-range"], from))
        throw new UserError("the registry answers with another piece than asked for");
      for await (const chunk of createReadStream(beside, { end: from - 1 })) check.update(chunk as Buffer);
      onBytes(from);
    }
    let at = from;
    for await (const chunk of body) {
      signal?.throwIfAborted();
      check.update(chunk as Buffer);
      await writeAt(file, chunk as Buffer, at);
      at += (chunk as Buffer).length;
      onBytes((chunk as Buffer).length);
    }
    await file.truncate(at);
    if (at < part.size) throw new Error("the connection ended early");
    check.finish();
    await file.sync();
  } catch (error) {
    // Bytes that are wrong are not built upon. (Those of a connection that broke are not known to be.)
    if (error instanceof UserError) await rm(beside, { force: true });
    throw error;
  } finally {
    body.destroy();
    await file.close();
  }
}

async function writeAt(
  file: Awaited<ReturnType<typeof open>>,
  bytes: Buffer,
  position: number,
): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

function startsAt(header: string | undefined, first: number): boolean {
  return /^bytes ([0-9]+)-/.exec(header ?? "")?.[1] === String(first);
}

function asUserError(part: Part, error: unknown): unknown {
  if (error instanceof UserError || isLackOfRoom(error)) return error;
  return new UserError(`the download of ${part.digest} broke off: ${codeOf(error) ?? String(error)}`, {
    hint: "start it again: it goes on where it stopped",
    cause: error,
  });
}
