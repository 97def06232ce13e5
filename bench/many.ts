/**
 * Many bottles at once, as an operator has them: whether all start and how long that takes, what `bottle list` takes with
 * all of them there, what they take of the processors while nobody does anything, and of the memory, each.
 */
import { cpus } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import type { BackendName } from "../src/contract/isolation.ts";
import { forEachBackend } from "./backends.ts";
import { type BenchHome, makeBenchHome } from "./bottle.ts";
import { memoryOf, processesOf, processorSeconds } from "./footprint.ts";
import { type BenchRow, row } from "./row.ts";

/** How many at once: the figures that this project holds itself to on two processors. */
const MANY: Readonly<Record<BackendName, number>> = { namespace: 50, docker: 10, qemu: 4, smolmachines: 4 };
/** Launches under way at once; more only wait for each other. */
const STARTING = 4;
const LISTS = 9;
/** Long enough for whatever happens every few seconds to happen. */
const IDLE_MS = 30_000;
/** V8 looks for memory to give back up to three times, from 100 s after a program last did anything: that is a launch's, once, and over by then. */
const SETTLE_MS = 210_000;
export async function benchMany(): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  await forEachBackend({
    measured: async (backend, env) => void rows.push(...(await many(backend, env))),
    missing: (backend, lack) =>
      void rows.push({ ...row(`many: ${backend}`, "ms", [Number.NaN]), note: `not here: ${lack}` }),
  });
  return rows;
}

async function many(
  backend: BackendName,
  env: Readonly<Record<string, string | undefined>>,
): Promise<readonly BenchRow[]> {
  const count = MANY[backend];
  const home = makeBenchHome(["sleep", "infinity"], { backend });
  Object.assign(home.env, env);
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
    const before = processorSeconds(pids);
    await pause(IDLE_MS);
    const used = (processorSeconds(pids) - before) / (IDLE_MS / 1_000);
    const memory = memoryOf(pids) / count;
    const machine = `${cpus().length} processors`;
    return [
      row(name("each to its start"), "ms", starts, `${STARTING} launches at once, ${machine}`),
      row(name("all of them started"), "s", [all / 1_000]),
      row(name("bottle list"), "ms", lists, "goal 500"),
      row(
        name("idle, together"),
        "% of a processor",
        [used * 100],
        `${SETTLE_MS / 1_000} s after the last start; goal 2`,
      ),
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
