/**
 * The protocol's published conformance suite for servers, fetched on demand by the operator's own npm into the cache.
 * It asks for a newer Node than the oldest that we run on, for one function that it does not call here: bundled as
 * CommonJS, where a missing export is no error until it is used, it runs on all of them.
 */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { cacheOf } from "../../src/lib/paths.ts";
import { run, runOk } from "../../src/lib/processes.ts";

/** The first line of versions that knows the protocol of 2026 besides that of 2025. */
const SUITE = { name: "@modelcontextprotocol/conformance", version: "0.2.0-alpha.12" };
const RUN_MS = 240_000;

export interface Outcome {
  readonly scenario: string;
  readonly passed: number;
  readonly failed: number;
}

/** Runs all scenarios that there are for servers. */
export async function conformanceOf(url: string): Promise<readonly Outcome[]> {
  const program = await installed();
  const result = await run([process.execPath, program, "server", "--url", url, "--suite", "all"], {
    timeoutMs: RUN_MS,
  });
  const summary = result.stdout.toString("utf8").split("=== SUMMARY ===")[1] ?? "";
  const outcomes = [...summary.matchAll(/^[✓✗] (\S+): (\d+) passed, (\d+) failed/gm)].map(
    ([, scenario = "", passed, failed]) => ({ scenario, passed: Number(passed), failed: Number(failed) }),
  );
  if (outcomes.length === 0) throw new Error(`the suite did not run: ${result.stdout}${result.stderr}`);
  return outcomes;
}

async function installed(): Promise<string> {
  const folder = join(cacheOf(), "test", `mcp-conformance-${SUITE.version}`);
  const program = join(folder, "suite.cjs");
  if (existsSync(program)) return program;
  await mkdir(folder, { recursive: true });
  const options = ["--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"];
  await runOk(["npm", "install", ...options, `${SUITE.name}@${SUITE.version}`], { timeoutMs: RUN_MS });
  const entry = join(folder, "node_modules", SUITE.name, "dist", "index.js");
  await build({
    entryPoints: [entry],
    outfile: program,
    bundle: true,
    platform: "node",
    format: "cjs",
    logLevel: "error",
    define: { "import.meta.url": "__entry" },
    banner: { js: `const __entry = ${JSON.stringify(pathToFileURL(entry).href)};` },
  });
  return program;
}
