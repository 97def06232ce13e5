/**
 * What micro-VMs leave in the cache, and which of it no machine would go on from any more: kernels, RAM disks and
 * templates of parts that this host had once. All of it is made again in seconds.
 */
import { basename, join } from "node:path";
import type { CachedPart } from "../../contract/backend.ts";
import { bytesOnDisk, namesIn, statOf } from "../../lib/on-disk.ts";
import { plainKernelOf } from "./kernel.ts";
import { knownMade } from "./made-from.ts";
import { findHostParts } from "./parts.ts";
import { ramDiskOf } from "./ram-disk.ts";
import { templatesIn, templatesOf } from "./template.ts";

/** Somebody may be making it, or be about to start from it. */
const JUST_MADE_MS = 10 * 60_000;

/** The largest first. */
export async function cachedParts(cache: string): Promise<readonly CachedPart[]> {
  const { files, templates } = await currentParts(cache);
  const found = await Promise.all([
    ...(await namesIn(join(cache, "qemu"))).flatMap((name) => {
      const [, kind] = /^(ramdisk|vmlinux)-[0-9a-f]{32}$/.exec(name) ?? [];
      if (kind === undefined) return [];
      const what = kind === "ramdisk" ? "RAM disk of micro-VMs" : "kernel of micro-VMs";
      return [describe(what, join(cache, "qemu", name), files.has(name))];
    }),
    ...(await namesIn(templatesIn(cache))).flatMap((name) => {
      if (name.includes(".lock")) return [];
      const isCurrent = templates !== undefined && name.startsWith(templates);
      return [describe("booted micro-VM to go on from", join(templatesIn(cache), name), isCurrent)];
    }),
  ]);
  return found.flatMap((part) => part ?? []).sort((a, b) => b.bytes - a.bytes);
}

/** Of this host as it is now; nothing where it can start no micro-VM. */
async function currentParts(
  cache: string,
): Promise<{ readonly files: ReadonlySet<string>; readonly templates?: string }> {
  const found = await findHostParts(cache);
  if ("lacks" in found) return { files: new Set() };
  const { kernel: release, qemuVersion } = found.parts;
  const kernel = await knownMade(plainKernelOf(release), cache);
  const ramDisk = await knownMade(ramDiskOf(release), cache);
  const files = new Set([kernel, ramDisk].flatMap((path) => (path === undefined ? [] : [basename(path)])));
  if (kernel === undefined || ramDisk === undefined) return { files };
  return { files, templates: templatesOf({ kernel, ramDisk }, qemuVersion) };
}

async function describe(what: string, path: string, isCurrent: boolean): Promise<CachedPart | undefined> {
  const status = await statOf(path);
  if (status === undefined) return undefined;
  const isOld = !isCurrent && Date.now() - status.mtimeMs > JUST_MADE_MS;
  return { what, path, bytes: await bytesOnDisk(path), isOld };
}
