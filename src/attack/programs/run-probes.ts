/**
 * Runs probes' programs one after the other, inside of a guest or outside, and prints a line of JSON for each. Each is a
 * process of its own in a session of its own, bounded in time and output, and nothing of it is left when it ends.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

interface Order {
  readonly id: string;
  /** Interpreter and its arguments, the program among them. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly timeoutMs: number;
}

/** A program that says more has something else to do. */
const MAX_OUTPUT = 256 * 1024;

let endCurrent = (): void => {};
// Nobody waits any more: what runs must not go on writing where others clean up.
process.on("SIGTERM", () => {
  endCurrent();
  process.exit(1);
});

function run({ id, argv, env, cwd, timeoutMs }: Order): Promise<void> {
  const [command = "", ...args] = argv;
  const from = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let text = "";
    let isLate = false;
    const keep = (chunk: Buffer): void => {
      if (text.length < MAX_OUTPUT) text += chunk.toString("latin1");
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const sweep = (): void => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nobody is left in it.
      }
    };
    endCurrent = sweep;
    const timer = setTimeout(() => {
      isLate = true;
      sweep();
    }, timeoutMs);
    let ended = false;
    const end = (how: string): void => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      sweep();
      const ms = performance.now() - from;
      const line = [...text.matchAll(/^@@(\{.*\})$/gm)].at(-1)?.[1];
      const words = text.trim().split("\n").slice(-3).join(" | ").slice(-300);
      console.log(
        JSON.stringify({ id, ms, line, end: isLate ? `no end within ${timeoutMs} ms` : how, words }),
      );
      resolve();
    };
    child.once("error", (error) => end(error.message));
    child.once("exit", (code, signal) => {
      // What it said last may still be on its way; what it left running may hold the pipe open.
      setTimeout(() => end(`exit ${code ?? signal}`), 20);
    });
    child.once("close", (code, signal) => end(`exit ${code ?? signal}`));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "") await run(JSON.parse(line) as Order);
}
process.exit(0);
