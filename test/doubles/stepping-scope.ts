/**
 * A scope that tells of each step, and at one of them does what a test wants: in a copy of the package it stands where
 * `src/lib/scope.ts` does, so that everything which is acquired or undone passes here, whoever acquires it.
 *
 * STEPS_LOG: where each step is told, `<process id> <step>` a line. STEP_AT: the step at which, once, STEP_DO is done:
 *   fail   the call throws
 *   die    the process is killed
 *   stop   the process stands still until `<STEPS_LOG>.go` is there
 */
import { appendFileSync, existsSync } from "node:fs";
import { createScope as createPlain, type Scope, ScopeError } from "../../src/lib/scope.ts";

export { type Scope, ScopeError };

/** How often whoever stands still looks whether it may go on. */
const LOOK_MS = 5;

const counts = new Map<string, number>();

/** A name without the bottle's own id, and with how often it has come. */
function stepOf(name: string): string {
  const plain = name.replace(/bot-bottle-\S*?-[a-z0-9]{5}(?=-|$|\s)/g, "*");
  const count = (counts.get(plain) ?? 0) + 1;
  counts.set(plain, count);
  return count === 1 ? plain : `${plain} (${count})`;
}

function pass(name: string): void {
  const { STEPS_LOG: log, STEP_AT: wanted, STEP_DO: what } = process.env;
  if (log === undefined) return;
  const step = stepOf(name);
  appendFileSync(log, `${process.pid} ${step}\n`);
  if (step !== wanted) return;
  switch (what) {
    case "fail":
      throw new Error(`made to fail at ${step}`);
    case "die":
      process.kill(process.pid, "SIGKILL");
      standStill(() => false);
      break;
    case "stop":
      appendFileSync(log, `${process.pid} stands still\n`);
      standStill(() => existsSync(`${log}.go`));
      break;
  }
}

function standStill(until: () => boolean): void {
  const clock = new Int32Array(new SharedArrayBuffer(4));
  while (!until()) Atomics.wait(clock, 0, 0, LOOK_MS);
}

export function createScope(): Scope {
  const scope = createPlain();
  return {
    defer(name, release) {
      scope.defer(name, async (hasFailed) => {
        pass(`undoing ${name}`);
        await release(hasFailed);
      });
      pass(name);
    },
    close: () => scope.close(),
  };
}
