/**
 * The kernel that guests run: the operator's own, one that this host has installed, or one that was unpacked into the
 * cache. It is never downloaded. A compressed image is unpacked once, because a machine that has no firmware to speak of
 * starts the plain one in half the time.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { UserError } from "../../lib/errors.ts";
import { makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";
import { runOk } from "../../lib/processes.ts";
import { LZ4_LEGACY, unpackLz4 } from "./lz4.ts";
import { madeFrom } from "./made-from.ts";

/** Where a kernel and its modules lie. */
export interface Kernel {
  readonly image: string;
  /** The folder that is named after the release, as in /lib/modules. */
  readonly modules: string;
  readonly release: string;
}

/** Before the guest has its identity: what the link needs. */
export const LINK_MODULES = ["virtio_ring", "virtio", "virtio_mmio", "virtio_console"] as const;
/** After it. */
export const DISK_MODULES = ["virtio_blk"] as const;

const MODULE_FOLDERS = ["drivers/virtio", "drivers/char", "drivers/block"] as const;

/** Debian's kernel for virtual machines first, then any that has what is needed. */
const PREFERENCE = [/-cloud-/, /./] as const;

/**
 * @param own `BOT_BOTTLE_KERNEL`: a kernel of the operator's, with its modules in `lib/modules/<release>` beside `boot/`
 *   or in /lib/modules; with `#sha256:<digest>` behind it, only if it is that one.
 * @returns undefined when there is none. @throws UserError for one of the operator's that cannot be used.
 */
export function findKernel(own: string | undefined, cache: string): Kernel | undefined {
  if (own !== undefined && own !== "") return ownKernel(own);
  const found = [join(cache, "kernel"), "/"].flatMap(kernelsBelow);
  for (const pattern of PREFERENCE) {
    const kernel = found.find(({ release }) => pattern.test(release));
    if (kernel !== undefined) return kernel;
  }
  return undefined;
}

function ownKernel(text: string): Kernel {
  const [, path = text, digest] = /^(.*)#sha256:([0-9a-f]{64})$/.exec(text) ?? [];
  if (!existsSync(path)) {
    throw new UserError(`there is no kernel at ${path}`, { hint: "correct BOT_BOTTLE_KERNEL" });
  }
  if (digest !== undefined && createHash("sha256").update(readFileSync(path)).digest("hex") !== digest) {
    throw new UserError(`the kernel at ${path} is not the one of sha256:${digest}`, {
      hint: "correct BOT_BOTTLE_KERNEL",
    });
  }
  const release = releaseOf(basename(path));
  const modules = [join(dirname(dirname(path)), "lib/modules", release), join("/lib/modules", release)].find(
    hasModules,
  );
  if (modules !== undefined) return { image: path, modules, release };
  throw new UserError(
    `the kernel at ${path} has no modules in lib/modules/${release} (virtio_blk and others)`,
    {
      hint: "unpack its whole package, and name boot/vmlinuz-… in BOT_BOTTLE_KERNEL",
    },
  );
}

function kernelsBelow(root: string): readonly Kernel[] {
  const boot = join(root, "boot");
  if (!existsSync(boot)) return [];
  return readdirSync(boot)
    .filter((name) => name.startsWith("vmlinuz-"))
    .sort(byRelease)
    .flatMap((name) => {
      const release = releaseOf(name);
      const modules = ["lib/modules", "usr/lib/modules"]
        .map((folder) => join(root, folder, release))
        .find(hasModules);
      return modules === undefined ? [] : [{ image: join(boot, name), modules, release }];
    });
}

function releaseOf(name: string): string {
  return name.replace(/^vmlinuz-/, "");
}

/** The newest first: numbers count as numbers. */
function byRelease(a: string, b: string): number {
  return b.localeCompare(a, "en", { numeric: true });
}

function hasModules(folder: string): boolean {
  return [...LINK_MODULES, ...DISK_MODULES].every((name) => findModule(folder, name) !== undefined);
}

/** One that is built into the kernel is none, and none is then missing. */
function findModule(folder: string, name: string): string | "built-in" | undefined {
  for (const place of MODULE_FOLDERS) {
    for (const ending of ["", ".xz", ".gz", ".zst"]) {
      const path = join(folder, "kernel", place, `${name}.ko${ending}`);
      if (existsSync(path)) return path;
    }
  }
  const builtIn = join(folder, "modules.builtin");
  if (!existsSync(builtIn)) return undefined;
  return readFileSync(builtIn, "utf8").includes(`/${name}.ko`) ? "built-in" : undefined;
}

/** A module's bytes, or undefined for what is built in. @param from is told of the file. */
export async function readModule(
  kernel: Kernel,
  name: string,
  from: (path: string) => string,
): Promise<Buffer | undefined> {
  const path = findModule(kernel.modules, name);
  if (path === undefined) throw new Error(`no module ${name} in ${kernel.modules}`);
  return path === "built-in" ? undefined : unpacked(readFileSync(from(path)));
}

/**
 * The plain kernel for QEMU's direct start, kept in the cache by the digest of what it was unpacked from; one that is not
 * packed as it is.
 */
export function plainKernel(kernel: Kernel, cache: string): Promise<string> {
  return madeFrom(plainKernelOf(kernel), cache, (from) => unpackKernel(from(kernel.image), cache));
}

/** What it is known by: see made-from.ts. */
export function plainKernelOf(kernel: Kernel): readonly string[] {
  return ["kernel", kernel.image];
}

async function unpackKernel(imagePath: string, cache: string): Promise<string> {
  const image = readFileSync(imagePath);
  const folder = join(cache, "qemu");
  const path = join(folder, `vmlinux-${createHash("sha256").update(image).digest("hex").slice(0, 32)}`);
  if (existsSync(path)) return path;
  await makePrivateDir(folder);
  const payload = payloadOf(image);
  await writeFileAtomic(path, payload === undefined ? image : await unpacked(payload), 0o444);
  return path;
}

/** Documentation/arch/x86/boot.rst: "HdrS" at 0x202, and where the compressed kernel is since protocol 2.08. */
function payloadOf(image: Buffer): Buffer | undefined {
  if (image.length < 0x250 || image.toString("latin1", 0x202, 0x206) !== "HdrS") return undefined;
  if (image.readUInt16LE(0x206) < 0x208) return undefined;
  const setupSectors = image.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * 512 + image.readUInt32LE(0x248);
  // Its last four bytes are the unpacked size.
  const payload = image.subarray(start, start + image.readUInt32LE(0x24c) - 4);
  return payload.length === 0 ? undefined : payload;
}

const XZ = Buffer.from("fd377a585a00", "hex");
const ZSTD = Buffer.from("28b52ffd", "hex");
const GZIP = Buffer.from("1f8b", "hex");

/** A kernel unpacks to some 60 MB. */
const MAX_UNPACKED_BYTES = 256 * 1024 ** 2;

async function unpacked(bytes: Buffer): Promise<Buffer> {
  if (startsWith(bytes, GZIP)) return gunzipSync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
  if (startsWith(bytes, LZ4_LEGACY)) return unpackLz4(bytes, MAX_UNPACKED_BYTES);
  const argv = startsWith(bytes, XZ)
    ? (["xz", "-dc"] as const)
    : startsWith(bytes, ZSTD)
      ? (["zstd", "-dcq"] as const)
      : undefined;
  if (argv === undefined) return bytes;
  const { stdout } = await runOk(argv, { stdin: bytes, maxOutputBytes: MAX_UNPACKED_BYTES });
  return stdout;
}

function startsWith(bytes: Buffer, magic: Buffer): boolean {
  return bytes.subarray(0, magic.length).equals(magic);
}
