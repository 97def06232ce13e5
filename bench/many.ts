/**
 * Many bottles at once, as an operator has them: whether all start and how long that takes, what `bottle list` takes with
 * all of them there, what they take of the processors while nobody does anything, and of the memory, each.
 */
import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { BackendName } from "../src/contract/isolation.ts";
import { isRoot } from "../test/support/bottle-cli.ts";
import { engineLack, startEngine } from "../test/support/docker-engine.ts";
import { vmLack } from "../test/support/vm-host.ts";
import { type BenchHome, makeBenchHome, pss } from "./bottle.ts";
import { type BenchRow, row } from "./row.ts";

/** How many at once: the figures that this project holds itself to on two processors. */
const MANY = { namespace: 50, docker: 10, qemu: 4 } as const satisfies Partial<Record<BackendName, number>>;
/** Launches under way at once; more only wait for each other. */
const STARTING = 4;
const LISTS = 9;
/** Long enough for whatever happens every few seconds to happen. */
const IDLE_MS = 30_000;
/** What a launch leaves to do (caches to write, pages to give back) is done by then. */
const SETTLE_MS = 10_000;
/** Of the kernel's accounting: a second has 100 of them wherever this runs. */
const TICKS_PER_SECOND = 100;

export async function benchMany(): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  rows.push(...(await many("namespace", {})));
  const noMachines = await vmLack();
  if (noMachines === undefined) rows.push(...(await many("qemu", process.env)));
  else rows.push({ ...row("many: qemu", "ms", [Number.NaN]), note: `not here: ${noMachines}` });
  const noEngine = isRoot ? engineLack() : "an engine is started by root";
  if (noEngine === undefined) {
    const engine = await startEngine();
    try {
      rows.push(...(await many("docker", engine.env)));
    } finally {
      await engine.close();
    }
  } else rows.push({ ...row("many: docker", "ms", [Number.NaN]), note: `not here: ${noEngine}` });
  return rows;
}

async function many(
  backend: keyof typeof MANY,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly BenchRow[]> {
  const count = MANY[backend];
  const home = makeBenchHome(["sleep", "infinity"], { backend });
  Object.assign(home.env, env, {
    BOT_BOTTLE_HOME: home.env["BOT_BOTTLE_HOME"],
    XDG_RUNTIME_DIR: home.env["XDG_RUNTIME_DIR"],
  });
  const mark = home.env["BOT_BOTTLE_HOME"] ?? "";
  const name = (what: string): string => `many: ${count} on ${backend}, ${what}`;
  try {
    // Images and templates are there afterwards.
    home.bottleSync("rm", "--force", home.bottleSync("start", "bench", "--detach", "--yes").trim());
    const from = performance.now();
    const starts = await startAll(home, count);
    const all = performance.now() - from;
    const lists: number[] = [];
    for (let i = 0; i < LISTS; i++) {
      const begun = performance.now();
      const listed = JSON.parse(home.bottleSync("list", "--json")) as { state: string }[];
      lists.push(performance.now() - begun);
      const running = listed.filter(({ state }) => state === "running").length;
      if (running !== count) throw new Error(`${running} of ${count} run`);
    }
    await pause(SETTLE_MS);
    const pids = processesOf(mark, backend);
    const before = ticksOf(pids);
    await pause(IDLE_MS);
    const used = (ticksOf(pids) - before) / TICKS_PER_SECOND / (IDLE_MS / 1_000);
    const memory = pids.reduce((sum, pid) => sum + pssOf(pid), 0) / count;
    const machine = `${cpus().length} processors`;
    return [
      row(name("each to its start"), "ms", starts, `${STARTING} launches at once, ${machine}`),
      row(name("all of them started"), "s", [all / 1_000]),
      row(name("bottle list"), "ms", lists, "goal 500"),
      row(name("idle, together"), "% of a processor", [used * 100], "goal 2"),
      row(name("memory each"), "MiB", [memory], `PSS of ${pids.length} processes`),
    ];
  } finally {
    const ids = (JSON.parse(home.bottleSync("list", "--json")) as { id: string }[]).map(({ id }) => id);
    if (ids.length > 0) home.bottleSync("rm", "--force", ...ids);
    home.remove();
  }
}

async function startAll(home: BenchHome, count: number): Promise<readonly number[]> {
  const took: number[] = [];
  let left = count;
  const worker = async (): Promise<void> => {
    while (left > 0) {
      left -= 1;
      const from = performance.now();
      const child = home.bottle("start", "bench", "--detach", "--yes");
      let said = "";
      child.stderr?.on("data", (chunk: Buffer) => {
        said += chunk.toString("utf8");
      });
      child.stdout?.resume();
      const code = await new Promise((resolve) => child.once("close", resolve));
      if (code !== 0) throw new Error(`bottle start ended with ${code}: ${said}`);
      took.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: STARTING }, worker));
  return took;
}

/** Keepers and whoever descends from them; of docker also what its engine runs, which is all the engine's. */
function processesOf(mark: string, backend: BackendName): readonly number[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const parents = new Map(all.map((pid) => [pid, parentOf(pid)]));
  const roots = new Set(
    all.filter(
      (pid) =>
        read(`/proc/${pid}/environ`).includes(mark) ||
        (backend === "docker" && read(`/proc/${pid}/cmdline`).includes("containerd-shim")),
    ),
  );
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (roots.has(pid) || isOurs(parents.get(pid)));
  return all.filter(isOurs);
}

function ticksOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = fieldsOf(pid);
    return sum + Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }, 0);
}

function pssOf(pid: number): number {
  try {
    return pss(pid);
  } catch {
    // It has ended.
    return 0;
  }
}

function parentOf(pid: number): number {
  return Number(fieldsOf(pid)[1] ?? 0);
}

function fieldsOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
