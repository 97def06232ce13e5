/**
 * A guest's machine in QEMU's words: memory, processors, one port for the link, disks. There is no network device, no
 * display, no USB, no shared folder, and on x86 no PCI bus. arm64's `virt` machine and macOS' hypervisor are
 * written as QEMU's manual says, and were never tried.
 */
import { counterKilohertz } from "./time-counter.ts";

export type Accelerator = "kvm" | "hvf" | "tcg";
export type MachineArch = "x64" | "arm64";

export interface Disk {
  /** In QEMU's own file system. */
  readonly path: string;
  readonly format: "qcow2" | "raw";
  readonly readOnly?: boolean;
  /** The image that a qcow2 disk is a change of, which names it by {@link BASE_PLACE}. */
  readonly base?: string;
}

/** Where the image lies in QEMU's own file system, and so what a disk calls it. */
export const BASE_PLACE = "/machine/base";

export interface MachineSpec {
  readonly arch: MachineArch;
  readonly accelerator: Accelerator;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly ramDisk: string;
  /** Descriptors of listening sockets that QEMU is born with. */
  readonly portFd: number;
  readonly monitorFd: number;
  /** Always as many, and in this order: a template's machine and its clones' must be alike. */
  readonly disks: readonly (Disk | "none")[];
  /** A descriptor of what its memory is: shared with whoever else has it, or only read, and changed privately. */
  readonly memory?: { readonly fd: number; readonly shared: boolean };
  /** It waits for a template's devices, to go on from them. */
  readonly incoming?: true;
}

const BINARY: Readonly<Record<MachineArch, string>> = {
  x64: "qemu-system-x86_64",
  arm64: "qemu-system-aarch64",
};

export function qemuBinary(arch: MachineArch): string {
  return BINARY[arch];
}

/** This host's, where there is a machine for it. */
export function machineArch(arch: string = process.arch): MachineArch | undefined {
  return arch === "x64" || arch === "arm64" ? arch : undefined;
}

/**
 * All that QEMU can emulate, but for one promise: that `rep movsb` is the fastest way to move bytes. A kernel and a C
 * library that believe it move a page byte by byte, which makes a program's start a fifth longer.
 */
const EMULATED_CPU: Readonly<Record<MachineArch, string>> = { x64: "max,erms=off", arm64: "max" };

/** A capacity for the place of a disk that is not there: nobody looks at it. */
const NO_DISK_BYTES = 1024 ** 2;

/** @param kilohertz of the counter that an emulated guest tells time by, where that is known. */
export function qemuArgv(
  spec: MachineSpec,
  kilohertz: number | undefined = counterKilohertz(),
): readonly [string, ...string[]] {
  const memory = String(machineBytes(spec));
  return [
    BINARY[spec.arch],
    ...["-M", machine(spec) + (spec.memory === undefined ? "" : ",memory-backend=memory")],
    ...["-accel", spec.accelerator === "tcg" ? "tcg,thread=multi" : spec.accelerator],
    ...["-cpu", spec.accelerator === "tcg" ? EMULATED_CPU[spec.arch] : "host"],
    ...["-smp", String(spec.cpus), "-m", `${memory}B`],
    ...["-nodefaults", "-no-user-config", "-nographic", "-no-reboot"],
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    ...["-kernel", spec.kernel, "-initrd", spec.ramDisk, "-append", kernelWords(spec, kilohertz)],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-chardev", `socket,id=monitor,fd=${spec.monitorFd},server=on,wait=off`],
    ...["-mon", "chardev=monitor,mode=control"],
    ...["-device", "virtio-serial-device,max_ports=2"],
    ...["-chardev", `socket,id=link,fd=${spec.portFd},server=on,wait=off`],
    ...["-device", "virtserialport,chardev=link,name=link"],
    ...spec.disks.flatMap(diskWords),
    ...(spec.memory === undefined ? [] : memoryWords(spec.memory, memory)),
    ...(spec.incoming === undefined ? [] : ["-incoming", "defer"]),
  ];
}

/** Whole megabytes. */
export function machineBytes({ memoryBytes }: Pick<MachineSpec, "memoryBytes">): number {
  return Math.ceil(memoryBytes / 1024 ** 2) * 1024 ** 2;
}

function memoryWords({ fd, shared }: { fd: number; shared: boolean }, size: string): readonly string[] {
  const place = `size=${size},mem-path=/proc/self/fd/${fd},share=${shared ? "on" : "off"}`;
  return ["-object", `memory-backend-file,id=memory,${place}`];
}

function machine({ arch, accelerator }: MachineSpec): string {
  switch (arch) {
    case "x64":
      return "microvm";
    case "arm64":
      return `virt,gic-version=${accelerator === "tcg" ? "3" : "max"}`;
  }
}

/** For a guest that must not measure its counter, and does not tell time by it. */
const ANY_KILOHERTZ = 2_000_000;

function kernelWords({ arch, accelerator }: MachineSpec, kilohertz: number | undefined): string {
  const console = arch === "x64" ? "ttyS0 reboot=t 8250.nr_uarts=1 pci=off random.trust_cpu=on" : "ttyAMA0";
  const counter = `tsc_early_khz=${kilohertz ?? ANY_KILOHERTZ}${kilohertz === undefined ? "" : " tsc=reliable"}`;
  const isEmulated = accelerator === "tcg";
  const clock = arch === "x64" && isEmulated ? ` ${counter}` : "";
  const told = `BOTTLE_ARCH=${arch}${isEmulated ? " BOTTLE_EMULATED=1" : ""}`;
  return `console=${console} panic=-1 quiet ipv6.disable=1 cryptomgr.notests${clock} ${told}`;
}

function diskWords(disk: Disk | "none", i: number): readonly string[] {
  const id = `disk${i}`;
  const drive =
    disk === "none"
      ? `driver=null-co,node-name=${id},size=${NO_DISK_BYTES},read-zeroes=on`
      : [
          `driver=${disk.format},node-name=${id},discard=unmap`,
          ...(disk.readOnly ? ["read-only=on"] : []),
          `file.driver=file,file.filename=${disk.path}`,
          // Who may use it is settled by the bottle's lock; QEMU's own would need to write to what is only read.
          "file.locking=off",
        ].join(",");
  return ["-blockdev", drive, "-device", `virtio-blk-device,drive=${id}`];
}
