/**
 * A QEMU process and its two sockets. It runs on an allow-list root in namespaces of its own, as sidecars do: no network,
 * no home, nothing but its kernel, its RAM disk and this bottle's disks; QEMU's own filter forbids it to start programs
 * or to gain privileges. It dies with the keeper (parent-death signal, and the end of its stdin).
 */
import { chownSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { listenFor } from "../../jail/born-listener.ts";
import { hostUidOf, isRoot } from "../../jail/host-uid.ts";
import { type HeldJail, holdJail } from "../../jail/jail.ts";
import type { Bind } from "../../jail/mounts.ts";
import { makeSkeleton } from "../../jail/skeleton.ts";
import { printable } from "../../lib/printable.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import type { Scope } from "../../lib/scope.ts";
import { BASE_PLACE, type Disk, type MachineSpec, qemuArgv } from "./machine.ts";
import { type Monitor, openMonitor } from "./monitor.ts";

export interface VirtualMachine {
  /** A new connection to the link's port: there is one at a time. */
  reach(): Promise<Socket>;
  readonly monitor: Monitor;
  /** Host pid of the process that everything else in there dies with. */
  readonly initPid: number;
  kill(): Promise<void>;
  /** Why it ended, with its last words: escaped, and bounded. */
  readonly ended: Promise<string>;
}

export interface VirtualMachineRequest {
  readonly id: string;
  /** For the skeleton of its root. */
  readonly rootDir: string;
  /** For its two sockets. */
  readonly runtimeDir: string;
  readonly spec: Omit<MachineSpec, "portFd" | "monitorFd" | "memory" | "incoming">;
  /** A descriptor of ours; without one the memory is its own, and cannot be saved. */
  readonly memory?: { readonly fd: number; readonly shared: boolean };
  /** A descriptor of ours with a template's devices, to go on from: see {@link INCOMING_FD}. */
  readonly incoming?: number;
  /** A socket of ours that a template may be written to. */
  readonly outgoing?: string;
}

/** Small files: QEMU writes none, but its C library wants a place. */
const TMP_BYTES = 16 * 1024 ** 2;
/** Of the kernel's console, which the guest writes: a panic's last lines. */
const CONSOLE_CHARACTERS = 600;
const CONNECT_TIMEOUT_MS = 15_000;
/** What process 1 says last. A guest that says it on its console ends itself. */
const ENDED = /(?:^|\n)ended\s*$/;
const LAST_WORDS_MS = 300;
/** Where its files are inside. */
const PLACE = "/machine";
/** Numbers of its descriptors: a jail's first is 4. */
const [PORT_FD, MONITOR_FD, MEMORY_FD] = [4, 5, 6];
/** Where a template's devices are read from. */
export const INCOMING_FD = 7;
/** Where a template is written to, in QEMU's own file system. */
export const OUTGOING = `${PLACE}/out`;

export async function startMachine(request: VirtualMachineRequest, scope: Scope): Promise<VirtualMachine> {
  const { id, rootDir, runtimeDir, spec, memory, incoming } = request;
  const hostUid = hostUidOf(id, "guest");
  const inside = placeFiles(spec, hostUid);
  await removeTree(rootDir);
  const binds = await makeSkeleton({
    root: rootDir,
    user: { name: "qemu", uid: 1000, home: "/nonexistent" },
    hostname: "machine",
    etc: {},
    binds: [
      ...inside.binds,
      ...(request.outgoing === undefined ? [] : [{ from: request.outgoing, to: OUTGOING }]),
    ],
  }).finally(() => scope.defer("machine root", () => removeTree(rootDir)));
  const portPath = join(runtimeDir, "link.sock");
  const monitorPath = join(runtimeDir, "monitor.sock");
  const port = await listenFor(portPath, scope);
  const monitorListener = await listenFor(monitorPath, scope);
  const jail = await holdJail({
    name: "the guest",
    binds,
    network: "own",
    hostUid,
    uid: 1000,
    cwd: "/",
    env: {},
    argv: qemuArgv({
      ...inside.spec,
      portFd: PORT_FD,
      monitorFd: MONITOR_FD,
      ...(memory !== undefined && { memory: { fd: MEMORY_FD, shared: memory.shared } }),
      ...(incoming !== undefined && { incoming: true }),
    }),
    startsPrograms: true,
    ...(spec.accelerator === "kvm" && { devices: ["kvm"] }),
    tmpBytes: TMP_BYTES,
    extraFds: [port.fd, monitorListener.fd, memory?.fd, incoming].filter((fd) => fd !== undefined),
  });
  scope.defer("guest", () => jail.kill());
  // With ours closed, a machine that is gone refuses.
  port.close();
  monitorListener.close();
  let console = "";
  jail.stdout.on("data", (chunk: Buffer) => {
    console = (console + chunk.toString("latin1")).slice(-CONSOLE_CHARACTERS);
    // Its process 1 outlives QEMU, and has its sockets: nobody would refuse.
    if (ENDED.test(console)) void jail.kill();
  });
  jail.enter();
  const monitor = await connected(jail, () => openMonitor(monitorPath));
  scope.defer("monitor", () => monitor.close());
  void monitor.gone.then(() => jail.kill());
  return {
    reach: () => connected(jail, () => connectTo(portPath)),
    monitor,
    initPid: jail.initPid,
    kill: () => jail.kill(),
    ended: jail.ended.then((reason) => {
      const words = console.replace(ENDED, "").trimEnd();
      return words === ""
        ? reason
        : `${reason}; its console's last words: ${printable(words, CONSOLE_CHARACTERS)}`;
    }),
  };
}

/** Its files under short names inside, and made readable (and the writable disk writable) for the uid it runs as. */
function placeFiles(
  spec: VirtualMachineRequest["spec"],
  hostUid: number,
): { readonly spec: VirtualMachineRequest["spec"]; readonly binds: readonly Bind[] } {
  const binds: Bind[] = [];
  const place = (from: string, name: string, writable = false): string => {
    const to = `${PLACE}/${name}`;
    binds.push({ from, to, writable });
    if (writable && isRoot()) chownSync(from, hostUid, hostUid);
    return to;
  };
  return {
    spec: {
      ...spec,
      kernel: place(spec.kernel, "kernel"),
      ramDisk: place(spec.ramDisk, "ramdisk"),
      disks: spec.disks.map((disk, i): Disk | "none" => {
        if (disk === "none") return disk;
        if (disk.base !== undefined) binds.push({ from: disk.base, to: BASE_PLACE });
        return { ...disk, path: place(disk.path, `disk${i}`, disk.readOnly !== true) };
      }),
    },
    binds,
  };
}

/** The process that listens may still be on its way to its program; one that ends meanwhile says why. */
async function connected<T>(jail: HeldJail, reach: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the machine does not answer within ${CONNECT_TIMEOUT_MS} ms`)),
      CONNECT_TIMEOUT_MS,
    );
  });
  const over = jail.ended.then((reason) => {
    throw new Error(reason);
  });
  over.catch(() => {});
  try {
    return await Promise.race([reach(), over, late]);
  } catch (error) {
    // A refused connection is how the end of it is heard first; its process 1 outlives it.
    await Promise.race([jail.ended, pause(LAST_WORDS_MS)]);
    await jail.kill();
    throw new Error(await jail.ended, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.on("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}
