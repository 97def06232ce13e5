/** From the shell's command to the first process in the bottle, and to the end of everything. */
import { once } from "node:events";
import { makeBenchHome } from "./bottle.ts";
import { type BenchRow, row } from "./row.ts";

const RUNS = 15;

export async function benchStart(): Promise<readonly BenchRow[]> {
  const home = makeBenchHome(["sh", "-c", "echo started"]);
  const first: number[] = [];
  const whole: number[] = [];
  try {
    for (let i = -1; i < RUNS; i++) {
      const from = performance.now();
      const child = home.bottle("start", "bench", "--prompt", "go");
      const ended = once(child, "exit");
      child.stderr?.resume();
      if (child.stdout !== null) await once(child.stdout, "data");
      const toFirst = performance.now() - from;
      const [code] = await ended;
      if (code !== 0) throw new Error(`bottle start ended with ${code}`);
      // The first run fills caches of the file system.
      if (i < 0) continue;
      first.push(toFirst);
      whole.push(performance.now() - from);
    }
  } finally {
    home.remove();
  }
  return [
    row("start to first exec", "ms", first, "goal 400 at the median"),
    row("start to everything gone", "ms", whole),
  ];
}
