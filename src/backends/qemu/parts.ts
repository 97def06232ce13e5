/** What this host must have for micro-VMs, and the exact words that add what is missing. */
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Lack } from "../../contract/backend.ts";
import { UserError } from "../../lib/errors.ts";
import { run } from "../../lib/processes.ts";
import { shellQuoted } from "../../provision/shell-quoted.ts";
import { findKernel, type Kernel } from "./kernel.ts";
import { type MachineArch, machineArch, qemuBinary } from "./machine.ts";
import { findPart, PARTS } from "./ram-disk.ts";

export interface HostParts {
  readonly arch: MachineArch;
  readonly kernel: Kernel;
  readonly qemuVersion: string;
}

const QEMU_PACKAGE: Readonly<Record<MachineArch, string>> = {
  x64: "qemu-system-x86",
  arm64: "qemu-system-arm",
};
const KERNEL_ARCH: Readonly<Record<MachineArch, string>> = { x64: "amd64", arm64: "arm64" };
const VERSION_TIMEOUT_MS = 5_000;

/** Of the operator's environment: a kernel of his own. */
const OWN_KERNEL = "BOT_BOTTLE_KERNEL";

/** @returns what is there, or what is missing. */
export async function findHostParts(
  cache: string,
): Promise<{ readonly parts: HostParts } | { readonly lacks: readonly Lack[] }> {
  const arch = machineArch();
  if (arch === undefined)
    return {
      lacks: [{ what: `a machine for ${process.arch}`, remedy: "use another host, or another backend" }],
    };
  const lacks: Lack[] = [];
  const qemuVersion = await versionOf(qemuBinary(arch));
  if (qemuVersion === undefined)
    lacks.push({ what: qemuBinary(arch), remedy: `apt-get install ${QEMU_PACKAGE[arch]}` });
  if (findPart("qemu-img") === undefined)
    lacks.push({ what: "qemu-img", remedy: "apt-get install qemu-utils" });
  for (const { command, remedy } of PARTS)
    if (findPart(command) === undefined) lacks.push({ what: command, remedy });
  const kernel = kernelOrLack(arch, cache);
  if ("what" in kernel) lacks.push(kernel);
  return qemuVersion === undefined || "what" in kernel || lacks.length > 0
    ? { lacks }
    : { parts: { arch, kernel, qemuVersion } };
}

/** One of the operator's that cannot be used is a lack of this backend's: whoever asks for the others is not to stumble over it. */
function kernelOrLack(arch: MachineArch, cache: string): Kernel | Lack {
  try {
    const kernel = findKernel(process.env[OWN_KERNEL], cache);
    if (kernel !== undefined) return kernel;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { what: error.message, remedy: error.hint ?? `correct ${OWN_KERNEL}` };
  }
  return { what: "a Linux kernel for guests, with its modules", remedy: kernelRemedy(arch, cache) };
}

/** Unpacked and not installed: an installed kernel would become one that the host starts. */
function kernelRemedy(arch: MachineArch, cache: string): string {
  const metapackage = `linux-image-cloud-${KERNEL_ARCH[arch]}`;
  const place = shellQuoted(join(cache, "kernel"));
  const steps = [
    'cd "$(mktemp -d)"',
    `apt-get download $(apt-cache depends ${metapackage} | sed -n 's/.*Depends: \\(linux-image-[0-9]\\)/\\1/p')`,
    `mkdir -p ${place}`,
    `dpkg-deb -x linux-image-*.deb ${place}`,
  ];
  // Whoever pastes it stays in their folder.
  return `(${steps.join(" && ")})`;
}

const versions = new Map<string, Promise<string | undefined>>();

/** Asked once: it costs 30 ms. A program that was replaced is another one. */
function versionOf(command: string): Promise<string | undefined> {
  const path = findPart(command);
  if (path === undefined) return Promise.resolve(undefined);
  const { mtimeMs, size } = statSync(path);
  const key = `${path} ${mtimeMs} ${size}`;
  let version = versions.get(key);
  if (version === undefined) {
    version = run([path, "--version"], { timeoutMs: VERSION_TIMEOUT_MS }).then(
      ({ code, stdout }) =>
        code === 0 ? (/version (\S+)/.exec(stdout.toString())?.[1] ?? "unknown") : undefined,
      () => undefined,
    );
    versions.set(key, version);
  }
  return version;
}
