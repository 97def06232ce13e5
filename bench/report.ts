/**
 * `npm run report`: the README's table of backends, measured here and now and written there: what a start takes, a program
 * in a bottle that runs, the memory of an idle one, and what came of `bottle attack`.
 *
 *   --only NAME    this backend (repeatable); the other rows stay as they are
 *   --quick        without bottle attack, whose column stays as it is
 */
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import * as z from "zod";
import type { BackendName } from "../src/contract/isolation.ts";
import { connectKeeper } from "../src/keeper/control-client.ts";
import { packagePath } from "../src/lib/package-root.ts";
import { forEachBackend } from "./backends.ts";
import { type BenchHome, makeBenchHome } from "./bottle.ts";
import { memoryOf, processesOf } from "./footprint.ts";
import { row } from "./row.ts";

const STARTS = 7;
const EXECS = 50;
/** Pages that a start needed are given back by then. */
const SETTLE_MS = 5_000;
const [BEGIN, END] = ["<!-- npm run report -->", "<!-- end of the report -->"] as const;
const HEAD = [
  "| backend | start | exec | memory | `bottle attack` | measured |",
  "|---|---|---|---|---|---|",
];

const { values } = parseArgs({
  options: { only: { type: "string", multiple: true }, quick: { type: "boolean", default: false } },
});

const reportSchema = z.object({
  reports: z.array(
    z.object({
      probes: z.number(),
      problems: z.array(z.string()),
      results: z.array(z.object({ outcome: z.string(), held: z.boolean() })),
    }),
  ),
});

const path = packagePath("README.md");
const rows = new Map<string, string>();
for (const line of tableIn(readFileSync(path, "utf8"))) rows.set(nameIn(line), line);
await forEachBackend({
  async measured(backend, env) {
    if (values.only !== undefined && !values.only.includes(backend)) return;
    rows.set(backend, await measure(backend, env, rows.get(backend)));
  },
  missing: (backend, lack) => process.stderr.write(`${backend} is not measured: ${lack}\n`),
});
const text = readFileSync(path, "utf8");
const [before = "", , after = ""] = text.split(new RegExp(`(${BEGIN}[^]*${END})`));
const table = [BEGIN, ...HEAD, ...rows.values(), END].join("\n");
writeFileSync(path, `${before}${table}${after}`);
process.stdout.write(`${[...HEAD, ...rows.values()].join("\n")}\n`);
process.exit(0);

function tableIn(readme: string): readonly string[] {
  const [, inside] = new RegExp(`${BEGIN}\n([^]*)${END}`).exec(readme) ?? [];
  if (inside === undefined) throw new Error(`README.md has no ${BEGIN}`);
  return inside.split("\n").filter((line) => /^\| `/.test(line));
}

function nameIn(line: string): string {
  return /^\| `([^`]+)`/.exec(line)?.[1] ?? "";
}

async function measure(
  backend: BackendName,
  env: Readonly<Record<string, string | undefined>>,
  earlier: string | undefined,
): Promise<string> {
  const load = loadavg()[0]?.toFixed(1) ?? "?";
  const home = makeBenchHome(["sh", "-c", 'case "$0" in go) echo started ;; *) sleep infinity ;; esac'], {
    backend,
  });
  Object.assign(home.env, env);
  Object.assign(process.env, home.env);
  try {
    const start = await starts(home);
    const id = home.bottleSync("start", "bench", "--yes", "--detach", "--prompt", "stay").trim();
    const exec = await execs(id);
    await pause(SETTLE_MS);
    const memory = memoryOf(processesOf(home.env["BOT_BOTTLE_HOME"] ?? "", backend));
    home.bottleSync("rm", "--force", id);
    const held = values.quick ? (earlier?.split(" | ")[4] ?? "not tried") : attacked(home, backend);
    const when = `${new Date().toISOString().slice(0, 10)}, ${cpus().length} processors, load ${load}, Node ${process.versions.node}`;
    const figures = [
      `${(start / 1_000).toFixed(2)} s`,
      `${exec.toFixed(0)} ms`,
      `${memory.toFixed(0)} MiB`,
      held,
      when,
    ];
    return `| \`${backend}\` | ${figures.join(" | ")} |`;
  } finally {
    home.remove();
  }
}

/** From the command to the agent's first word. */
async function starts(home: BenchHome): Promise<number> {
  const samples: number[] = [];
  // The first fills caches.
  for (let i = -1; i < STARTS; i++) {
    const from = performance.now();
    const child = home.bottle("start", "bench", "--prompt", "go");
    const ended = once(child, "exit");
    child.stderr?.resume();
    if (child.stdout !== null) await once(child.stdout, "data");
    if (i >= 0) samples.push(performance.now() - from);
    const [code] = await ended;
    if (code !== 0) throw new Error(`bottle start ended with ${code}`);
  }
  return row("start", "ms", samples).median;
}

/** Of a program in a bottle that runs, at the keeper. */
async function execs(id: string): Promise<number> {
  const keeper = await connectKeeper(id);
  const samples: number[] = [];
  for (let i = 0; i < EXECS; i++) {
    const from = performance.now();
    const session = await keeper.session({ op: "exec", argv: ["true"] });
    await session.exit;
    session.close();
    samples.push(performance.now() - from);
  }
  return row("exec", "ms", samples).median;
}

function attacked(home: BenchHome, backend: BackendName): string {
  let said: string;
  try {
    said = home.bottleSync("attack", "--backend", backend, "--json");
  } catch (error) {
    // Something did not hold: it says what all the same.
    said = (error as { stdout: string }).stdout;
  }
  const [report] = reportSchema.parse(JSON.parse(said)).reports;
  if (report === undefined) throw new Error("bottle attack told nothing");
  const count = (outcome: string): number =>
    report.results.filter((result) => result.outcome === outcome).length;
  const failed = report.results.filter(({ held }) => !held).length + report.problems.length;
  return `${report.probes} probes: ${count("held")} held, ${count("stated")} as stated, ${failed} failed`;
}
