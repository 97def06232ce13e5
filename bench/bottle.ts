/** A bottle for the benches: a home of its own, and the real command. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packagePath } from "../src/lib/package-root.ts";

export interface BenchHome {
  readonly env: NodeJS.ProcessEnv;
  readonly bottle: (...args: readonly string[]) => ChildProcess;
  readonly bottleSync: (...args: readonly string[]) => string;
  remove(): void;
}

/** The agent `bench` runs `command`, with no route but those in `more`, which its bottle has besides. */
export function makeBenchHome(
  command: readonly string[],
  more: Readonly<Record<string, unknown>> = {},
): BenchHome {
  const root = mkdtempSync(join(tmpdir(), "bb-bench-"));
  for (const folder of ["home/bottles", "home/agents", "run"])
    mkdirSync(join(root, folder), { recursive: true, mode: 0o700 });
  const bottle = { agent_provider: { template: "command", command }, ...more };
  writeFileSync(join(root, "home/bottles/bench.md"), `---\n${JSON.stringify(bottle)}\n---\n`, {
    mode: 0o600,
  });
  writeFileSync(join(root, "home/agents/bench.md"), "---\nbottle: bench\n---\n", { mode: 0o600 });
  const env = { ...process.env, BOT_BOTTLE_HOME: join(root, "home"), XDG_RUNTIME_DIR: join(root, "run") };
  const program = packagePath("dist/bottle.js");
  return {
    env,
    bottle: (...args) =>
      spawn(process.execPath, [program, ...args], { env, stdio: ["ignore", "pipe", "pipe"] }),
    bottleSync: (...args) =>
      execFileSync(process.execPath, [program, ...args], {
        env,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      }),
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}

/** Proportional set size: what a process costs beyond what it shares. */
export function pss(pid: number): number {
  const kilobytes = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1];
  return Math.round(Number(kilobytes) / 102.4) / 10;
}
