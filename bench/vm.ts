/** Micro-VMs: what a start costs, by going on from a template and by booting, against bare QEMU; programs, copies, forks, memory. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { qemuBackend } from "../src/backends/qemu/backend.ts";
import { bootGuest } from "../src/backends/qemu/boot-guest.ts";
import { forkDisk, keptDisk } from "../src/backends/qemu/disk.ts";
import { etcFiles } from "../src/backends/qemu/etc.ts";
import { qemuArgv } from "../src/backends/qemu/machine.ts";
import { type PreparedMachine, prepareMachine } from "../src/backends/qemu/prepare-machine.ts";
import { GUEST } from "../src/contract/backend.ts";
import { createScope } from "../src/lib/scope.ts";
import { finish, runIn, startBottle, type TestBottle } from "../test/support/bottle-guest.ts";
import { processesOf } from "../test/support/namespace-host.ts";
import { vmLack } from "../test/support/vm-host.ts";
import { type BenchRow, row } from "./row.ts";

const STARTS = 10;
const BOOTS = 5;
const EXECS = 20;
const FORKS = 5;
const COPY_BYTES = 16 * 1024 ** 2;

export async function benchVm(): Promise<readonly BenchRow[]> {
  const lack = await vmLack();
  if (lack !== undefined) return [{ ...row("vm", "ms", [Number.NaN]), note: `not here: ${lack}` }];
  const machine = await prepareMachine({ pids: 512 }, () => {});
  const how = `${machine.spec.accelerator}, ${machine.spec.cpus} processors, ${machine.spec.memoryBytes / 1024 ** 2} MiB`;
  const rows: BenchRow[] = [];
  const note = (name: string, unit: string, figures: readonly number[], more?: string): void => {
    rows.push({ ...row(name, unit, figures), note: more === undefined ? how : `${how}; ${more}` });
  };

  const used = mkdtempSync(join(tmpdir(), "bbv-"));
  const first = await startBottle(qemuBackend);
  await forkDisk(first.stateDir, used);
  await first.close();
  note("vm: start by going on, to the end of the first exec", "ms", await repeat(STARTS, startOnce));
  const bare = await repeat(BOOTS, () => bareBoot(machine));
  const booted = await repeat(BOOTS, () => bootOnce(machine, used));
  rmSync(used, { recursive: true, force: true });
  note("vm: bare QEMU, same kernel and RAM disk, to its hello", "ms", bare);
  note("vm: boot, to the end of the first exec", "ms", booted);

  const bottle = await startBottle(qemuBackend);
  try {
    note("vm: idle guest, its share of this host's memory", "MiB", [await shareOfMemory(bottle)]);
    const other = await startBottle(qemuBackend);
    note("vm: the same beside another", "MiB", [await shareOfMemory(other)]);
    await other.close();
    note("vm: exec true", "ms", await repeat(EXECS, async () => void (await runIn(bottle.guest, ["true"]))));
    rows.push(...(await throughput(bottle, how)));
    note("vm: fork of a disk", "ms", await forks(bottle));
    note(
      "vm: fork of a disk that is in use, with its guest written out and stopped",
      "ms",
      await liveForks(bottle),
    );
  } finally {
    await bottle.close();
  }
  return rows;
}

async function startOnce(): Promise<() => Promise<void>> {
  const bottle = await startBottle(qemuBackend);
  await runIn(bottle.guest, ["true"]);
  return () => bottle.close();
}

/** The way that is taken where a machine cannot be saved, on a copy of the disk that is in `used`. */
async function bootOnce({ spec }: PreparedMachine, used: string): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "bbv-"));
  const stateDir = mkdtempSync(join(folder, "state-"));
  await forkDisk(used, stateDir);
  const scope = createScope();
  const { image, ...disk } = await keptDisk(stateDir);
  const guest = await bootGuest(
    {
      ...{ id: "b-bench", stateDir, runtimeDir: folder },
      machine: { spec, template: undefined },
      disks: [disk],
      mounts: [],
      etc: etcFiles("b-bench", []),
      services: new Map(),
      processes: 512,
      imageEnv: image.config.env,
      env: {},
    },
    scope,
  );
  await runIn(guest, ["true"]);
  return async () => {
    await scope.close();
    rmSync(folder, { recursive: true, force: true });
  };
}

/** No jail, no disk, no link: what the emulator and the guest's kernel take by themselves. */
async function bareBoot({ spec }: PreparedMachine): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "bbv-"));
  const path = join(folder, "link");
  const argv = qemuArgv({ ...spec, portFd: 0, monitorFd: 0, disks: ["none", "none"] })
    .filter(
      (word, i, all) =>
        !word.startsWith("socket,id=monitor") && all[i + 1]?.startsWith("socket,id=monitor") !== true,
    )
    .filter(
      (word, i, all) =>
        !word.startsWith("chardev=monitor") && all[i + 1]?.startsWith("chardev=monitor") !== true,
    )
    .map((word) =>
      word.startsWith("socket,id=link") ? `socket,id=link,path=${path},server=on,wait=off` : word,
    );
  const [command = "", ...args] = argv;
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"] });
  await new Promise<void>((resolve) => {
    const listen = (): void => {
      const socket = connect(path);
      socket.on("error", () => setTimeout(listen, 5));
      socket.once("data", () => {
        socket.destroy();
        resolve();
      });
    };
    listen();
  });
  return async () => {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
    rmSync(folder, { recursive: true, force: true });
  };
}

/** What is measured and what only follows it: `undo` is not counted. */
async function repeat(
  times: number,
  once: () => Promise<(() => Promise<void>) | void>,
): Promise<readonly number[]> {
  const figures: number[] = [];
  for (let i = 0; i < times; i++) {
    const from = performance.now();
    const undo = await once();
    figures.push(performance.now() - from);
    await undo?.();
    await pause(50);
  }
  return figures;
}

async function throughput({ guest }: TestBottle, how: string): Promise<readonly BenchRow[]> {
  const rate = (milliseconds: readonly number[]): readonly number[] =>
    milliseconds.map((each) => COPY_BYTES / 1024 ** 2 / (each / 1000));
  const folder = mkdtempSync(join(tmpdir(), "bbv-"));
  const file = join(folder, "file");
  writeFileSync(file, Buffer.alloc(COPY_BYTES, "bench"));
  const into = await repeat(3, () => guest.copyIn(file, `${GUEST.home}/file`, { user: "agent" }));
  const outOf = await repeat(3, () =>
    guest.copyOut(`${GUEST.home}/file`, join(folder, `${performance.now()}`)),
  );
  const stream = await repeat(3, async () => {
    await finish(await guest.exec(["head", "-c", String(COPY_BYTES), "/dev/zero"]));
  });
  rmSync(folder, { recursive: true, force: true });
  return [
    { ...row("vm: copy in", "MiB/s", rate(into)), note: `${how}; tar over exec, SSH` },
    { ...row("vm: copy out", "MiB/s", rate(outOf)), note: `${how}; tar over exec, SSH` },
    { ...row("vm: a program's output", "MiB/s", rate(stream)), note: `${how}; SSH` },
  ];
}

function forks({ stateDir }: TestBottle): Promise<readonly number[]> {
  return repeat(FORKS, async () => {
    const to = mkdtempSync(join(tmpdir(), "bbv-"));
    await forkDisk(stateDir, to);
    return async () => rmSync(to, { recursive: true, force: true });
  });
}

function liveForks({ guest }: TestBottle): Promise<readonly number[]> {
  return repeat(FORKS, async () => {
    const to = mkdtempSync(join(tmpdir(), "bbv-"));
    await guest.copyDisk?.([to]);
    return async () => rmSync(to, { recursive: true, force: true });
  });
}

/** Of all that the guest is on the host: what it shares with another counts by halves. */
async function shareOfMemory(bottle: TestBottle): Promise<number> {
  await pause(1_000);
  const kilobytes = processesOf(bottle).map((pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    return Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0);
  });
  return kilobytes.reduce((sum, each) => sum + each, 0) / 1024;
}
