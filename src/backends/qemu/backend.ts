/**
 * Guests in a kernel of their own: a micro-VM without any network device, whose one way out is a port that carries
 * SSH. It starts by going on from a machine that has booted once, and boots where that cannot be.
 */
import { existsSync } from "node:fs";
import { cpus } from "node:os";
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
import { GUEST } from "../../contract/backend.ts";
import type { BottlePlan } from "../../contract/plan.ts";
import type { RootImage } from "../../image/root-image.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import type { Scope } from "../../lib/scope.ts";
import { directHosts } from "../../plan/direct-hosts.ts";
import { accelerationCandidate, chooseAcceleration, knownAnswer } from "./acceleration.ts";
import { type BottleDisk, bottleDisk } from "./disk.ts";
import { etcFiles } from "./etc.ts";
import { createGuest } from "./guest.ts";
import { plainKernel } from "./kernel.ts";
import { openServiceLink, type ServiceLink } from "./link.ts";
import type { Disk, MachineSpec } from "./machine.ts";
import { goOn } from "./monitor.ts";
import { findHostParts } from "./parts.ts";
import { ramDisk } from "./ram-disk.ts";
import { DISK_PLACES, makeTemplate, openTemplate, templatePath, tryBoot } from "./template.ts";
import { startMachine } from "./virtual-machine.ts";

/** Enough for a build beside an agent; it is taken from the host only as it is used. */
const DEFAULT_MEMORY_BYTES = 2 * 1024 ** 3;
const DEFAULT_CPUS = 2;

interface QemuPrepared extends Prepared {
  readonly image: RootImage;
  readonly diskBytes: number;
  readonly machine: Omit<MachineSpec, "portFd" | "monitorFd" | "incomingFd" | "disks">;
  readonly template: string | undefined;
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
  probe,

  async prepare({ plan, tools }: PrepareRequest, progress): Promise<QemuPrepared> {
    const cache = cacheOf();
    const found = await findHostParts(cache);
    if ("lacks" in found) throw missing(found.lacks);
    const { arch, kernel, qemuVersion } = found.parts;
    const unaccelerated = {
      arch,
      accelerator: "tcg" as const,
      cpus: Math.max(1, Math.min(Math.floor(plan.resources.cpus ?? DEFAULT_CPUS), cpus().length)),
      memoryBytes: plan.resources.memoryBytes ?? DEFAULT_MEMORY_BYTES,
      kernel: await plainKernel(kernel, cache),
      ramDisk: await ramDisk(kernel, cache),
    };
    const accelerator = await chooseAcceleration({ arch, cache, qemuVersion }, (candidate) => {
      progress(`qemu: trying whether ${candidate} works here`);
      return tryBoot({ ...unaccelerated, accelerator: candidate });
    });
    const machine = { ...unaccelerated, accelerator };
    let template: string | undefined = templatePath(machine, qemuVersion, cache);
    if (!existsSync(template)) {
      progress("qemu: booting a machine once, to go on from later");
      template = await makeTemplate(template, machine, progress).then(
        () => template,
        (error: unknown) => {
          progress(`qemu: cannot keep a booted machine, so each bottle boots: ${String(error)}`);
          return undefined;
        },
      );
    }
    const { DEFAULT_DISK_BYTES, prepareRootImage } = await import("../../image/root-image.ts");
    const diskBytes = plan.resources.diskBytes ?? DEFAULT_DISK_BYTES;
    const source = plan.image ?? { kind: "built-in" };
    const image = await prepareRootImage({ source, tools, cache, diskBytes }, progress);
    return { backend: "qemu", image, diskBytes, machine, template };
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
    const { machine: spec, template } = prepared as QemuPrepared;
    const { id, stateDir, runtimeDir, disk, mounts, sockets } = link as QemuLink;
    // With the SSH library: who runs no micro-VM does without it.
    const [{ makeIdentity }, { introduce }] = await Promise.all([
      import("./identity.ts"),
      import("./start.ts"),
    ]);
    const { identity, keys } = makeIdentity({
      hostname: id,
      etc: etcFiles(id, directHosts(options.plan.routes)),
      mounts: mounts.places,
    });
    const incoming = template === undefined ? undefined : await openTemplate(template);
    const disks = [disk, ...mounts.disks];
    const machine = await startMachine(
      {
        id,
        rootDir: join(stateDir, "root"),
        runtimeDir,
        spec: {
          ...spec,
          disks: [...disks, ...Array.from({ length: DISK_PLACES - disks.length }, () => "none" as const)],
        },
        ...(incoming !== undefined && { incoming: incoming.fd }),
      },
      scope,
    ).finally(() => incoming?.close());
    if (incoming !== undefined) await goOn(machine.monitor);
    const { link: ssh, shell } = await introduce(
      machine,
      { identity, keys, services: sockets, hello: incoming === undefined },
      scope,
    );
    const imageEnv = environmentOf(disk.env);
    const parts = {
      link: ssh,
      monitor: machine.monitor,
      ended: machine.ended,
      processes: options.plan.resources.pids,
      env: {
        HOME: GUEST.home,
        USER: GUEST.user,
        LOGNAME: GUEST.user,
        SHELL: shell,
        LANG: "C.UTF-8",
        ...imageEnv,
        PATH: `${imageEnv["PATH"] ?? SYSTEM_PATH}:${OWN_PATH}`,
        ...options.env,
      },
    };
    return createGuest(parts, scope);
  },

  async enumerate(): Promise<readonly OwnedResource[]> {
    return [];
  },

  async remove(): Promise<void> {},
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

const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";
/** What an image may lack. */
const OWN_PATH = "/run/bottle/bin";

function environmentOf(entries: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    entries.map((entry) => {
      const end = entry.indexOf("=");
      return end < 0 ? [entry, ""] : [entry.slice(0, end), entry.slice(end + 1)];
    }),
  );
}

function missing(lacks: readonly { readonly what: string; readonly remedy: string }[]): UserError {
  return new UserError(
    `this host cannot run micro-VMs\n  ${lacks.map(({ what, remedy }) => `it lacks ${what}: ${remedy}`).join("\n  ")}`,
    { hint: "bottle doctor" },
  );
}

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
    ].join("; "),
    lacks: [],
    ...(accelerator === "tcg" && { emulated: true }),
  };
}
