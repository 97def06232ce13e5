/**
 * A machine that has booted and waits for its identity, kept as two files: its memory and its devices. To go on from it
 * takes a tenth of booting. In that moment it holds no identity, no key, no disk and nothing of any bottle or image; it
 * depends on the kernel, the RAM disk, QEMU, the processors and the memory alone. No clone can write to it: what a
 * clone maps is a sealed copy (guest-memory.ts), and its devices are an open descriptor that only reads.
 */
import { createHash } from "node:crypto";
import { closeSync, createWriteStream, existsSync, openSync } from "node:fs";
import { chmod, mkdir, rename } from "node:fs/promises";
import { createServer } from "node:net";
import { basename, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Progress } from "../../contract/backend.ts";
import { acquireLock } from "../../lib/lock-file.ts";
import { makePrivateDir } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { awaitHello, HELLO_TIMEOUT_MS } from "./greeting.ts";
import { type GuestMemory, newMemory, saveMemory, templateMemory } from "./guest-memory.ts";
import { type MachineSpec, machineBytes, qemuArgv } from "./machine.ts";
import { leaveMemory } from "./monitor.ts";
import { OUTGOING, startMachine, type VirtualMachine } from "./virtual-machine.ts";
import { inWorkFolder } from "./work-folder.ts";

export type TemplateSpec = Omit<MachineSpec, "portFd" | "monitorFd" | "memory" | "incoming" | "disks">;

/** Devices without the memory are some 70 kB. */
const MAX_DEVICES_BYTES = 16 * 1024 ** 2;
/** For another who makes the same one: as long as a boot may take, and its saving. */
const WAIT_MS = HELLO_TIMEOUT_MS + 60_000;
const SAVE_TIMEOUT_MS = 60_000;
const POLL_MS = 5;

/** How many disks every machine has a place for: the bottle's, and the operator's mounts. */
export const DISK_PLACES = 2;
const NO_DISKS = Array.from({ length: DISK_PLACES }, () => "none" as const);

const MEMORY = "memory";
const DEVICES = "devices";
/** Who has its memory: see guest-memory.ts. */
const HELD_BY = "held-by";

export function templatesIn(cache: string): string {
  return join(cache, "qemu", "templates");
}

/** How the names of all templates begin that are made of these parts, whatever the machine's size. */
export function templatesOf(parts: Pick<TemplateSpec, "kernel" | "ramDisk">, qemuVersion: string): string {
  const words = [basename(parts.kernel), basename(parts.ramDisk), qemuVersion];
  return `${createHash("sha256").update(JSON.stringify(words)).digest("hex").slice(0, 12)}-`;
}

/** Where the template of such machines is, or will be. Whatever makes a machine another one is in its name. */
export function templatePath(spec: TemplateSpec, qemuVersion: string, cache: string): string {
  const named = { ...spec, kernel: basename(spec.kernel), ramDisk: basename(spec.ramDisk) };
  const words = qemuArgv({ ...named, portFd: 0, monitorFd: 0, disks: NO_DISKS });
  const digest = createHash("sha256")
    .update(JSON.stringify([words, qemuVersion]))
    .digest("hex");
  return join(templatesIn(cache), `${templatesOf(spec, qemuVersion)}${digest.slice(0, 32)}`);
}

/** Makes it unless somebody else did. @throws Error when a machine cannot be saved here. */
export async function makeTemplate(path: string, spec: TemplateSpec, progress: Progress): Promise<void> {
  if (existsSync(path)) return;
  const folder = join(path, "..");
  await makePrivateDir(folder);
  const lock = await acquireLock(`${path}.lock`, {
    waitMs: WAIT_MS,
    onWait: ({ pid }) => progress(`qemu: waiting for process ${pid}, which boots it`),
  });
  const making = `${path}.new`;
  try {
    if (existsSync(path)) return;
    await removeTree(making);
    await mkdir(making, { mode: 0o700 });
    await inWorkFolder((work) => save(spec, work, making));
    for (const name of [MEMORY, DEVICES]) await chmod(join(making, name), 0o400);
    await rename(making, path);
  } finally {
    await removeTree(making);
    await lock.release();
  }
}

/** One that no machine goes on from is made anew by the next who wants it. What runs has its memory already. */
export async function forgetTemplate(path: string): Promise<void> {
  const lock = await acquireLock(`${path}.lock`, { waitMs: WAIT_MS });
  try {
    await removeTree(path);
  } finally {
    await lock.release();
  }
}

/** Boots such a machine, and no more. @throws Error when it does not come up. */
export function tryBoot(spec: TemplateSpec): Promise<void> {
  return inWorkFolder(async (work) => {
    const scope = createScope();
    try {
      await boot(spec, { work }, scope);
    } finally {
      await scope.close();
    }
  });
}

async function boot(
  spec: TemplateSpec,
  { work, ...saved }: { readonly work: string; readonly outgoing?: string; readonly memory?: GuestMemory },
  scope: Scope,
): Promise<VirtualMachine> {
  const machine = await startMachine(
    {
      id: "template",
      rootDir: join(work, "root"),
      runtimeDir: work,
      spec: { ...spec, disks: NO_DISKS },
      ...(saved.outgoing !== undefined && { outgoing: saved.outgoing }),
      ...(saved.memory && { memory: { fd: saved.memory.fd, shared: true } }),
    },
    scope,
  );
  const port = await machine.reach();
  port.on("error", () => {});
  await awaitHello(port);
  port.destroy();
  return machine;
}

async function save(spec: TemplateSpec, work: string, to: string): Promise<void> {
  const scope = createScope();
  try {
    const out = join(work, "out.sock");
    const server = createServer();
    scope.defer("state socket", () => void server.close());
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(out, resolve);
    });
    // Its folder is ours alone; inside the jail it is another user's.
    await chmod(out, 0o666);
    const saved = new Promise<void>((resolve, reject) => {
      server.once("connection", (socket) => {
        socket.on("error", reject);
        pipeline(socket, bounded(), createWriteStream(join(to, DEVICES), { mode: 0o600 })).then(
          resolve,
          reject,
        );
      });
    });
    saved.catch(() => {});
    const memory = await newMemory(machineBytes(spec), scope);
    const machine = await boot(spec, { work, outgoing: out, memory }, scope);
    await machine.monitor.run("stop");
    await leaveMemory(machine.monitor);
    await machine.monitor.run("migrate", { uri: `unix:${OUTGOING}` });
    await Promise.race([
      saved,
      machine.ended.then((reason) => {
        throw new Error(reason);
      }),
      pause(SAVE_TIMEOUT_MS, undefined, { ref: false }).then(() => {
        throw new Error("the machine was not saved in time");
      }),
    ]);
    for (let status = ""; status !== "completed"; await pause(POLL_MS)) {
      ({ status } = (await machine.monitor.run("query-migrate")) as { status: string });
      if (status === "failed") throw new Error("the machine could not be saved");
    }
    await saveMemory(memory, join(to, MEMORY));
  } finally {
    await scope.close();
  }
}

function bounded(): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > MAX_DEVICES_BYTES) done(new Error("the machine's state is too large"));
      else done(null, chunk);
    },
  });
}

export interface OpenTemplate {
  readonly memory: GuestMemory;
  /** A descriptor at its beginning. */
  readonly devices: number;
}

/** Opens it for one clone, until the scope ends. */
export async function openTemplate(path: string, scope: Scope): Promise<OpenTemplate> {
  const devices = openSync(join(path, DEVICES), "r");
  scope.defer("template", () => closeSync(devices));
  return { memory: await templateMemory(join(path, MEMORY), join(path, HELD_BY), scope), devices };
}
