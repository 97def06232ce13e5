/**
 * A machine that has booted and waits for its identity, kept as a file: to go on from it takes a tenth of booting. In that
 * moment it holds no identity, no key, no disk and nothing of any bottle or image; it depends on the kernel, the RAM disk,
 * QEMU, the processors and the memory alone. A clone gets the file as an open descriptor that cannot be
 * written to, and reads its memory from it into memory of its own: what one does with it, no other sees.
 */
import { createHash } from "node:crypto";
import { createWriteStream, existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, open, rename, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as pause } from "node:timers/promises";
import type { Progress } from "../../contract/backend.ts";
import { acquireLock } from "../../lib/lock-file.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { createScope, type Scope } from "../../lib/scope.ts";
import { awaitHello, HELLO_TIMEOUT_MS } from "./greeting.ts";
import type { MachineSpec } from "./machine.ts";
import { OUTGOING, startMachine, type VirtualMachine } from "./virtual-machine.ts";

export type TemplateSpec = Omit<MachineSpec, "portFd" | "monitorFd" | "incomingFd" | "disks">;

/** A booted guest's memory that is not zero is some 80 MB. */
const MAX_TEMPLATE_BYTES = 1024 ** 3;
/** For another who makes the same one: as long as a boot may take, and its saving. */
const WAIT_MS = HELLO_TIMEOUT_MS + 60_000;
const SAVE_TIMEOUT_MS = 60_000;
const POLL_MS = 5;

/** How many disks every machine has a place for: the bottle's, and the operator's mounts. */
export const DISK_PLACES = 2;

/** Where the template of such machines is, or will be. */
export function templatePath(spec: TemplateSpec, qemuVersion: string, cache: string): string {
  const parts = {
    ...spec,
    kernel: basename(spec.kernel),
    ramDisk: basename(spec.ramDisk),
    qemuVersion,
    DISK_PLACES,
  };
  const digest = createHash("sha256").update(JSON.stringify(parts)).digest("hex");
  return join(cache, "qemu", "templates", digest.slice(0, 32));
}

/** Makes it unless somebody else did. @throws Error when a machine cannot be saved here. */
export async function makeTemplate(path: string, spec: TemplateSpec, progress: Progress): Promise<void> {
  if (existsSync(path)) return;
  const folder = join(path, "..");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const lock = await acquireLock(`${path}.lock`, {
    waitMs: WAIT_MS,
    onWait: ({ pid }) => progress(`qemu: waiting for process ${pid}, which boots it`),
  });
  try {
    if (existsSync(path)) return;
    await inWorkFolder((work) => save(spec, work, `${path}.new`));
    await chmod(`${path}.new`, 0o400);
    await rename(`${path}.new`, path);
  } finally {
    await rm(`${path}.new`, { force: true });
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

async function inWorkFolder(use: (work: string) => Promise<void>): Promise<void> {
  // Short, because of the sockets in it.
  const work = await mkdtemp(join(tmpdir(), "bbq-"));
  try {
    await use(work);
  } finally {
    await removeTree(work);
  }
}

async function boot(
  spec: TemplateSpec,
  { work, outgoing }: { readonly work: string; readonly outgoing?: string },
  scope: Scope,
): Promise<VirtualMachine> {
  const machine = await startMachine(
    {
      id: "template",
      rootDir: join(work, "root"),
      runtimeDir: work,
      spec: { ...spec, disks: Array.from({ length: DISK_PLACES }, () => "none" as const) },
      ...(outgoing !== undefined && { outgoing }),
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
        pipeline(socket, bounded(), createWriteStream(to, { mode: 0o600 })).then(resolve, reject);
      });
    });
    saved.catch(() => {});
    const machine = await boot(spec, { work, outgoing: out }, scope);
    await machine.monitor.run("stop");
    await machine.monitor.run("migrate-set-parameters", { "max-bandwidth": MAX_TEMPLATE_BYTES });
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
  } finally {
    await scope.close();
  }
}

function bounded(): Transform {
  let size = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      size += chunk.length;
      if (size > MAX_TEMPLATE_BYTES) done(new Error("the machine's state is too large"));
      else done(null, chunk);
    },
  });
}

/** Opens it for one clone. The descriptor is the caller's to close. */
export async function openTemplate(path: string): Promise<{ readonly fd: number; close(): Promise<void> }> {
  const file = await open(path, "r");
  return { fd: file.fd, close: () => file.close() };
}
