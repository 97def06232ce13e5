/**
 * Guests in a kernel of their own: a micro-VM without any network device, whose one way out is a port that carries
 * SSH. It starts by going on from a machine that has booted once, and boots where that cannot be.
 */
import { join } from "node:path";
import type {
  Availability,
  Backend,
  BootOptions,
  Guest,
  OwnedResource,
  Prepared,
  PrepareRequest,
} from "../../contract/backend.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import type { RootImage } from "../../image/root-image.ts";
import { cacheOf } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import type { Scope } from "../../lib/scope.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { accelerationCandidate, knownAnswer } from "./acceleration.ts";
import { type BottleDisk, bottleDisk, forkDisk } from "./disk.ts";
import { etcFiles } from "./etc.ts";
import { openServiceLink, type ServiceLink } from "./link.ts";
import type { Disk } from "./machine.ts";
import { findHostParts } from "./parts.ts";
import {
  DEFAULT_CPUS,
  DEFAULT_MEMORY_BYTES,
  type PreparedMachine,
  prepareMachine,
} from "./prepare-machine.ts";
import { sweepWorkFolders } from "./work-folder.ts";

interface QemuPrepared extends Prepared {
  readonly image: RootImage;
  readonly diskBytes: number;
  readonly machine: PreparedMachine;
}

interface QemuLink extends ServiceLink {
  readonly id: string;
  readonly stateDir: string;
  readonly runtimeDir: string;
  readonly disk: BottleDisk;
  readonly mounts: { readonly places: readonly string[]; readonly disks: readonly Disk[] };
}

export const qemuBackend: Backend = {
  name: "qemu",
  takesImages: true,
  sizesDisks: true,
  probe,

  async prepare({ plan, tools }: PrepareRequest, progress): Promise<QemuPrepared> {
    const machine = await prepareMachine(plan.resources, progress);
    const { DEFAULT_DISK_BYTES, prepareRootImage } = await import("../../image/root-image.ts");
    const diskBytes = plan.resources.diskBytes ?? DEFAULT_DISK_BYTES;
    const source = plan.image ?? { kind: "built-in" };
    const image = await prepareRootImage({ source, tools, cache: cacheOf(), diskBytes }, progress);
    return { backend: "qemu", image, diskBytes, machine };
  },

  async reserve(prepared, request, scope): Promise<QemuLink> {
    const { id, stateDir, runtimeDir } = request;
    const { image, diskBytes } = prepared as QemuPrepared;
    const mounts = await mountsOf(request.plan, stateDir, scope);
    const disk = await bottleDisk(stateDir, image, diskBytes);
    return {
      ...openServiceLink(request.services, runtimeDir, scope),
      mounts,
      id,
      stateDir,
      runtimeDir,
      disk,
    };
  },

  async boot(prepared, link, options: BootOptions, scope): Promise<Guest> {
    const { disk, mounts, sockets, ...places } = link as QemuLink;
    const { bootGuest } = await import("./boot-guest.ts");
    return bootGuest(
      {
        id: places.id,
        stateDir: places.stateDir,
        runtimeDir: places.runtimeDir,
        machine: (prepared as QemuPrepared).machine,
        disks: [disk, ...mounts.disks],
        mounts: mounts.places,
        etc: etcFiles(places.id, directHosts(options.plan.routes)),
        services: sockets,
        processes: options.plan.resources.pids,
        imageEnv: disk.image.config.env,
        env: options.env,
        ...(options.progress && { progress: options.progress }),
      },
      scope,
    );
  },

  async enumerate(): Promise<readonly OwnedResource[]> {
    return [];
  },

  async remove(): Promise<void> {},

  sweep: sweepWorkFolders,

  cachedParts: async () => (await import("./cached-parts.ts")).cachedParts(cacheOf()),

  disks: {
    fork: forkDisk,
    commit: async (request, progress) => (await import("./commit.ts")).commitDisk(request, progress),
  },
};

/** Copied anew at each start. */
async function mountsOf(
  plan: BottlePlan,
  stateDir: string,
  scope: Scope,
): Promise<{ readonly places: readonly string[]; readonly disks: readonly Disk[] }> {
  if (plan.mounts.length === 0) return { places: [], disks: [] };
  const { placeMounts, writeMountsDisk } = await import("./mounts-disk.ts");
  const placed = placeMounts(plan.mounts);
  const path = join(stateDir, MOUNTS_DISK);
  await removeTree(path);
  scope.defer("mounts' disk", () => removeTree(path));
  await writeMountsDisk(path, placed);
  return { places: placed.map(({ to }) => to), disks: [{ path, format: "raw", readOnly: true }] };
}

/** With a dot: what a killed keeper leaves of it, cleanup takes for what only a running bottle needs. */
const MOUNTS_DISK = ".mounts.ext4";

async function probe(): Promise<Availability> {
  const cache = cacheOf();
  const found = await findHostParts(cache);
  if ("lacks" in found) return { usable: false, lacks: found.lacks };
  const { arch, kernel, qemuVersion } = found.parts;
  const accelerator = knownAnswer({ arch, cache, qemuVersion }) ?? accelerationCandidate(arch) ?? "tcg";
  return {
    usable: true,
    isolation: "vm",
    strength: [
      "a kernel of its own, no network device",
      `QEMU ${qemuVersion}, ${accelerator === "tcg" ? "in software" : accelerator}`,
      `Linux ${kernel.release}`,
      `unless told ${DEFAULT_CPUS} processors and ${DEFAULT_MEMORY_BYTES / 1024 ** 3} GiB`,
    ].join("; "),
    lacks: [],
    ...(accelerator === "tcg" && { emulated: true }),
  };
}
