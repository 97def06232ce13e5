/**
 * A bottle's own disk: what it changed of its image, and nothing else. The image is never written to, and stays in the
 * cache while the bottle's folder is there.
 */
import { randomBytes } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { chmod, copyFile, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { RootImage } from "../../image/root-image.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf, makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";
import { runOk } from "../../lib/processes.ts";
import { BASE_PLACE, type Disk } from "./machine.ts";

const DISK = "guest.qcow2";
const RECORD = "disk.json";
/** Gigabytes, on a slow disk. */
const FLATTEN_TIMEOUT_MS = 10 * 60_000;

const recordSchema = z.looseObject({
  image: z.custom<RootImage>((value) => typeof (value as Partial<RootImage> | null)?.disk === "string"),
});

/** With the image that it stands on. */
export interface BottleDisk extends Disk {
  readonly image: RootImage;
}

/**
 * The disk below `stateDir`: of an earlier life, or made anew on `image` in some milliseconds, whatever its size.
 * @throws UserError when what it stands on is gone.
 */
export async function bottleDisk(stateDir: string, image: RootImage, sizeBytes: number): Promise<BottleDisk> {
  const path = join(stateDir, DISK);
  if (existsSync(path)) return keptDisk(stateDir);
  const { holdRootImage } = await import("../../image/image-users.ts");
  await holdRootImage(image, stateDir);
  await writeFileAtomic(join(stateDir, RECORD), JSON.stringify({ image }));
  try {
    await copyFile(await emptyDisk(sizeBytes), path, constants.COPYFILE_EXCL);
    await chmod(path, 0o600);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { path, format: "qcow2", base: image.disk, image };
}

/** One that has changed nothing yet: the same for every image, so it is made once for each size. */
async function emptyDisk(sizeBytes: number): Promise<string> {
  const folder = join(cacheOf(), "qemu");
  const path = join(folder, `empty-${sizeBytes}.qcow2`);
  if (existsSync(path)) return path;
  await makePrivateDir(folder);
  const making = `${path}.${randomBytes(4).toString("hex")}`;
  try {
    // -u: the image is where it says only once QEMU runs.
    const options = ["-q", "-u", "-f", "qcow2", "-F", "raw", "-b", BASE_PLACE];
    await runOk(["qemu-img", "create", ...options, making, String(sizeBytes)]);
    await rename(making, path);
  } finally {
    await rm(making, { force: true });
  }
  return path;
}

/** @throws UserError when there is none, or what it stands on is gone. */
export async function keptDisk(stateDir: string): Promise<BottleDisk> {
  const path = join(stateDir, DISK);
  if (!existsSync(path))
    throw new UserError("the bottle has no disk yet", { hint: "bottle resume makes one" });
  const { image } = recordSchema.parse(JSON.parse(await readFile(join(stateDir, RECORD), "utf8")));
  if (existsSync(image.disk)) return { path, format: "qcow2", base: image.disk, image };
  throw new UserError(`the image that this bottle's disk stands on is gone: ${image.disk}`, {
    hint: "its changes cannot be read without it; bottle rm removes the bottle",
  });
}

/** Shares what the file system can share; otherwise what the bottle changed is copied. */
export async function forkDisk(fromStateDir: string, toStateDir: string): Promise<void> {
  const { path, image } = await keptDisk(fromStateDir);
  const { holdRootImage } = await import("../../image/image-users.ts");
  await holdRootImage(image, toStateDir);
  await writeFileAtomic(join(toStateDir, RECORD), JSON.stringify({ image }));
  await copyFile(path, join(toStateDir, DISK), constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
}

/** The whole of it as one raw file, which must not exist; holes stay holes. */
export async function flattenDisk({ path, image }: BottleDisk, to: string): Promise<void> {
  // The disk's own word for its image holds inside a machine only.
  const source = [
    ...["driver=qcow2", "file.driver=file", `file.filename=${escaped(path)}`],
    ...["backing.driver=raw", "backing.file.driver=file", `backing.file.filename=${escaped(image.disk)}`],
  ].join(",");
  await runOk(["qemu-img", "convert", "-q", "--image-opts", "-O", "raw", source, to], {
    timeoutMs: FLATTEN_TIMEOUT_MS,
  });
}

/** In QEMU's lists of options a comma is doubled. */
function escaped(path: string): string {
  return path.replaceAll(",", ",,");
}
