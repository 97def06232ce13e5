/**
 * A bottle's own disk: what it changed of its image, and nothing else. The image is never written to, and stays in the
 * cache while the bottle's folder is there.
 */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { RootImage } from "../../image/root-image.ts";
import { UserError } from "../../lib/errors.ts";
import { writeFileAtomic } from "../../lib/paths.ts";
import { runOk } from "../../lib/processes.ts";
import { BASE_PLACE, type Disk } from "./machine.ts";

const recordSchema = z.looseObject({ base: z.string(), env: z.array(z.string()) });

/** What a bottle has of its image: where it lies, and what the image wants for its programs. */
export interface BottleDisk extends Disk {
  readonly base: string;
  readonly env: readonly string[];
}

/**
 * The disk below `stateDir`: of an earlier life, or made anew on `image` in some milliseconds, whatever its size.
 * @throws UserError when what it stands on is gone.
 */
export async function bottleDisk(stateDir: string, image: RootImage, sizeBytes: number): Promise<BottleDisk> {
  const path = join(stateDir, "guest.qcow2");
  const recordPath = join(stateDir, "disk.json");
  if (existsSync(path)) {
    const { base, env } = recordSchema.parse(JSON.parse(await readFile(recordPath, "utf8")));
    if (existsSync(base)) return { path, format: "qcow2", base, env };
    throw new UserError(`the image that this bottle's disk stands on is gone: ${base}`, {
      hint: "its changes cannot be read without it; bottle rm removes the bottle",
    });
  }
  const { holdRootImage } = await import("../../image/image-users.ts");
  await holdRootImage(image, stateDir);
  const disk = { base: image.disk, env: image.config.env };
  await writeFileAtomic(recordPath, JSON.stringify(disk));
  try {
    // -u: the image is where it says only once QEMU runs.
    const options = ["-q", "-u", "-f", "qcow2", "-F", "raw", "-b", BASE_PLACE];
    await runOk(["qemu-img", "create", ...options, path, String(sizeBytes)]);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { path, format: "qcow2", ...disk };
}
