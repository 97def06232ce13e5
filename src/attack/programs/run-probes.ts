/**
 * Runs probes' programs one after the other, inside of a guest or outside, and prints a line of JSON for each. Each is a
 * process of its own in a session of its own, bounded in time and output, and nothing of it is left when it ends; but for
 * those that may share one with others (run-in-one.ts).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

interface Order {
  readonly id: string;
  /** Interpreter and its arguments, the program among them. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly timeoutMs: number;
  /** The program's text, when it may run in the process of others of its kind first. */
  readonly shared?: string;
}

/** A program that says more has something else to do. */
const MAX_OUTPUT = 256 * 1024;

const HERE = dirname(fileURLToPath(import.meta.url));
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

interface Shared {
  readonly child: ChildProcess;
  /** What it says next, or nothing when it is gone. */
  next(): Promise<string | undefined>;
  end(): void;
}

let shared: Shared | undefined;

function startShared({ argv: [node = ""], env, cwd }: Order): Shared {
  const child = spawn(node, [join(HERE, "attack-one.mjs"), join(HERE, "attack-kit.mjs")], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "ignore"],
    detached: true,
  });
  child.stdin.on("error", () => {});
  child.on("error", () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    child,
    next: async () => {
      const { value, done } = await lines.next();
      return done === true ? undefined : value;
    },
    end() {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nobody is left in it.
      }
    },
  };
}

/** @returns whether it said what came of it. */
async function runShared(order: Order): Promise<boolean> {
  shared ??= startShared(order);
  const one = shared;
  endCurrent = one.end;
  const timer = setTimeout(one.end, order.timeoutMs);
  one.child.stdin?.write(`${JSON.stringify({ text: order.shared, cwd: order.cwd })}\n`);
  const said = await one.next();
  clearTimeout(timer);
  const { ms, line } = JSON.parse(said ?? "{}") as { readonly ms?: number; readonly line?: string };
  if (line !== undefined) {
    console.log(JSON.stringify({ id: order.id, ms, line, end: "said", words: "" }));
    return true;
  }
  one.end();
  shared = undefined;
  return false;
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "") continue;
  const order = JSON.parse(line) as Order;
  if (order.shared === undefined || !(await runShared(order))) await run(order);
}
shared?.end();
process.exit(0);
