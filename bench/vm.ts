/** Micro-VMs: what a start costs, by going on from a template and by booting, against bare QEMU; programs, copies, forks, memory. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { qemuBackend } from "../src/backends/qemu/backend.ts";
import { bootGuest } from "../src/backends/qemu/boot-guest.ts";
import { forkDisk, keptDisk } from "../src/backends/qemu/disk.ts";
import { etcFiles } from "../src/backends/qemu/etc.ts";
import { type PreparedMachine, prepareMachine } from "../src/backends/qemu/prepare-machine.ts";
import { GUEST } from "../src/contract/backend.ts";
import { createScope } from "../src/lib/scope.ts";
import {
  finish,
  runIn,
  startBottle,
  type TestBottle,
  temporaryFolder,
} from "../test/support/bottle-guest.ts";
import { processesOf } from "../test/support/namespace-host.ts";
import { vmLack } from "../test/support/vm-host.ts";
import { bareBoot, framedGuest } from "./bare-machine.ts";
import { type BenchRow, row } from "./row.ts";

const STARTS = 10;
/** A host's other guests move one pair's ratio by a quarter, whichever way. */
const BOOTS = 11;
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
  const [bare, booted]: [number[], number[]] = [[], []];
  // In turn, for what else this host does changes by the minute.
  for (let i = 0; i < BOOTS; i++) {
    bare.push(...(await repeat(1, () => bareOnce(machine))));
    booted.push(...(await repeat(1, () => bootOnce(machine, used))));
  }
  rmSync(used, { recursive: true, force: true });
  note("vm: bare QEMU, same kernel and RAM disk, to its hello", "ms", bare);
  note("vm: boot, to the end of the first exec", "ms", booted);
  const ratios = booted.map((each, i) => each / (bare[i] ?? Number.NaN));
  note(
    "vm: the same as a percentage of bare QEMU just before",
    "%",
    ratios.map((each) => 100 * each),
  );

  const bottle = await startBottle(qemuBackend);
  try {
    note("vm: idle guest, its share of this host's memory", "MiB", [await shareOfMemory(bottle)]);
    const other = await startBottle(qemuBackend);
    note("vm: the same beside another", "MiB", [await shareOfMemory(other)]);
    await other.close();
    note("vm: exec true", "ms", await repeat(EXECS, async () => void (await runIn(bottle.guest, ["true"]))));
    rows.push(...(await throughput(bottle, how)));
    rows.push(...(await againstFrames(bottle, machine, how)));
    note("vm: fork of a disk", "ms", await forks(bottle));
    note(
      "vm: fork of a disk that is in use, with its guest written out and stopped",
      "ms",
      await liveForks(bottle),
    );
    note(
      "vm: fork of a guest that runs, to the end of the copy's first exec",
      "ms",
      await repeat(FORKS, () => forkOnce(bottle)),
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
async function bareOnce({ spec }: PreparedMachine): Promise<() => Promise<void>> {
  const { end } = await bareBoot(spec);
  return end;
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

/** The same programs over a bottle's link and over frames of their own: what SSH and our server cost. */
async function againstFrames(
  { guest }: TestBottle,
  { spec }: PreparedMachine,
  how: string,
): Promise<readonly BenchRow[]> {
  const input = Buffer.alloc(COPY_BYTES, "bench");
  const programs = (busybox: string) => ({
    short: [busybox, "true"] as const,
    talks: [busybox, "head", "-c", String(COPY_BYTES), "/dev/zero"] as const,
    listens: [busybox, "wc", "-c"] as const,
  });
  type Run = (argv: readonly [string, ...string[]], stdin?: Buffer) => Promise<unknown>;
  const rowsOf = async (by: string, busybox: string, run: Run): Promise<readonly BenchRow[]> => {
    const { short, talks, listens } = programs(busybox);
    const rates = (milliseconds: readonly number[]): readonly number[] =>
      milliseconds.map((each) => COPY_BYTES / 1024 ** 2 / (each / 1000));
    const timed = async (times: number, once: () => Promise<unknown>): Promise<readonly number[]> =>
      repeat(times, async () => void (await once()));
    const note = `${how}; of busybox`;
    return [
      { ...row(`vm: a program by ${by}`, "ms", await timed(EXECS, () => run(short))), note },
      { ...row(`vm: its output by ${by}`, "MiB/s", rates(await timed(3, () => run(talks)))), note },
      { ...row(`vm: its input by ${by}`, "MiB/s", rates(await timed(3, () => run(listens, input)))), note },
    ];
  };
  const bySsh = await rowsOf("SSH", "/run/bottle/busybox", (argv, stdin) =>
    runIn(guest, argv, stdin === undefined ? {} : { stdin }),
  );
  const framed = await framedGuest(spec);
  try {
    const byFrames = await rowsOf("bare frames, in perl", "/bottle/busybox", (argv, stdin) =>
      framed.run(argv, stdin),
    );
    const ping = row(
      "vm: a word there and back by bare frames",
      "ms",
      await repeat(EXECS, () => framed.ping()),
    );
    return [...bySsh, ...byFrames, { ...ping, note: how }];
  } finally {
    await framed.end();
  }
}

/** Another bottle on a copy of this one's disk, as `bottle fork` starts it, but for what is provisioned. */
async function forkOnce({ guest }: TestBottle): Promise<() => Promise<void>> {
  const folder = await temporaryFolder();
  const stateDir = join(folder, "state");
  await mkdir(stateDir, { mode: 0o700 });
  await guest.copyDisk?.([stateDir]);
  const copy = await startBottle(qemuBackend, { folder });
  await runIn(copy.guest, ["true"]);
  return async () => {
    await copy.close();
    rmSync(folder, { recursive: true, force: true });
  };
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
