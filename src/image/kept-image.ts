/**
 * Disks that `bottle commit` froze: the one kind of image that cannot be made again, so nothing removes one but its
 * name. Kept under `images/kept/<name>/`, as every other disk is: whole or not at all, and never written again.
 */
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { namesIn } from "../lib/on-disk.ts";
import { makePrivateDir } from "../lib/paths.ts";
import { printable } from "../lib/printable.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { eraseUnusedBlocks } from "./ext4/erase-unused.ts";
import {
  DISK_MODE,
  diskIn,
  imageCacheIn,
  type RootRecord,
  readRoot,
  writeRootRecord,
} from "./image-cache.ts";
import { usersOf } from "./image-users.ts";
import type { RootImage, RootImageRequest } from "./root-disk.ts";

export interface KeepRequest {
  readonly cache: string;
  readonly name: string;
  /** What the bottle's disk stood on. */
  readonly from: RootImage;
  /**
   * Writes the frozen disk, raw, to a path that does not exist yet, its file system brought to its end. Of what was
   * deleted on it nothing is kept, whatever is still in it then.
   */
  readonly write: (path: string) => Promise<void>;
}

/** @throws UserError when there is one of that name. What `write` throws; nothing is left then. */
export async function keepRootImage({ cache, name, from, write }: KeepRequest): Promise<RootImage> {
  const { kept } = imageCacheIn(cache);
  const stoodOn = await readRoot(join(from.disk, ".."));
  if (stoodOn === undefined) throw new Error(`${from.disk} is no disk of the cache`);
  await makePrivateDir(kept);
  const dir = join(kept, name);
  const lock = await acquireLock(`${dir}.lock`, { waitMs: Number.POSITIVE_INFINITY });
  const making = `${dir}.making`;
  try {
    if (existsSync(dir)) {
      throw new UserError(`there is a kept image ${name} already`, {
        hint: `give this one another name, or remove that one: bottle image prune kept:${name}`,
      });
    }
    await removeTree(making);
    await mkdir(making, { mode: 0o700 });
    await write(diskIn(making));
    // Whoever wrote it may have taken the right to write away.
    await chmod(diskIn(making), 0o600);
    await eraseUnusedBlocks(diskIn(making));
    await settle(diskIn(making));
    await writeRootRecord(making, {
      ...stoodOn.record,
      name: `kept:${name}`,
      digest: frozenDigest(from.digest, name),
      createdAt: new Date().toISOString(),
    });
    await rename(making, dir);
    return await keptImage(cache, name);
  } finally {
    await removeTree(making);
    await lock.release();
  }
}

async function settle(disk: string): Promise<void> {
  const file = await open(disk, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(disk, DISK_MODE);
}

/** Names the freezing, and not the bytes: hashing a disk of many gigabytes would take longer than all the rest. */
function frozenDigest(of: string, name: string): string {
  const text = JSON.stringify([of, name, randomBytes(32).toString("hex")]);
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

/** @throws UserError when there is none of that name. */
export async function keptImage(cache: string, name: string): Promise<RootImage> {
  const { kept } = imageCacheIn(cache);
  const found = await readRoot(join(kept, name));
  if (found === undefined) {
    const names = (await namesIn(kept)).filter((each) => !/\.(?:lock|making)/.test(each));
    throw new UserError(`there is no kept image ${name}`, {
      hint: names.length === 0 ? "bottle commit <id> makes one" : `there are: ${names.join(", ")}`,
    });
  }
  const { record, disk } = found;
  const key = createHash("sha256").update(record.digest).digest("hex");
  return { name: record.name, digest: record.digest, key, disk, config: record.config };
}

/** For a start: a kept disk is taken as it is. @throws UserError when the agent's own program is not on it. */
export async function prepareKept(
  name: string,
  { cache, tools, diskBytes }: RootImageRequest,
  progress: Progress,
): Promise<RootImage> {
  const image = await keptImage(cache, name);
  const record = (await readRoot(join(image.disk, "..")))?.record;
  const absent = tools.filter(({ to }) => record?.tools.includes(to) !== true);
  if (absent.length > 0) {
    throw new UserError(
      `kept:${name} has no ${absent.map(({ to }) => to).join(", ")}: another agent product was in it`,
      {
        hint: "use it with a bottle of the same agent_provider",
      },
    );
  }
  if (diskBytes !== undefined && record !== undefined && diskBytes !== record.diskBytes) {
    progress(`kept:${name} keeps its disk of ${printable(String(record.diskBytes))} bytes`);
  }
  return image;
}

/** @throws UserError when there is none, or a bottle's disk stands on it. */
export async function removeKept(cache: string, name: string): Promise<void> {
  const { kept } = imageCacheIn(cache);
  await keptImage(cache, name);
  const dir = join(kept, name);
  const bottles = await usersOf(dir);
  if (bottles.length > 0) {
    throw new UserError(`the disk of ${bottles.join(", ")} stands on kept:${name}`, {
      hint: `remove the bottle first: bottle rm ${bottles[0]}`,
    });
  }
  const lock = await acquireLock(`${dir}.lock`, { waitMs: Number.POSITIVE_INFINITY });
  try {
    // Out of everybody's sight at once: half of one is never found.
    await rename(dir, `${dir}.making`);
    await removeTree(`${dir}.making`);
  } finally {
    await lock.release();
  }
}

/** Every kept one's folder. */
export async function keptFolders(
  cache: string,
): Promise<readonly { readonly dir: string; readonly record: RootRecord }[]> {
  const { kept } = imageCacheIn(cache);
  const found = await Promise.all(
    (await namesIn(kept)).map(async (name) => {
      const root = await readRoot(join(kept, name));
      return root === undefined ? [] : [{ dir: join(kept, name), record: root.record }];
    }),
  );
  return found.flat();
}
