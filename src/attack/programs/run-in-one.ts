/**
 * Probes' programs in Node, one after the other in one process that has all loaded which they need: starting Node is most
 * of what a probe costs, several times over where the processor is emulated. What a program says, and its exit, are its
 * own by the asynchronous context that it was started in: whatever an earlier one left behind speaks for nobody. A program
 * that says nothing here is run again by itself (run-probes.ts).
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

interface Order {
  readonly text: string;
  readonly cwd: string;
}

interface Running {
  said: string;
  end(): void;
}

/** Thrown where a program would have ended; whoever catches it comes to its end all the same. */
class Ended extends Error {}

const running = new AsyncLocalStorage<Running>();
const AsyncFunction = (async () => {}).constructor as new (body: string) => () => Promise<void>;
const [, , kit = ""] = process.argv;
Object.assign(globalThis, await import(pathToFileURL(kit).href));
const leave = process.exit.bind(process);

process.stdout.write = ((chunk: string | Uint8Array) => {
  const one = running.getStore();
  if (one !== undefined) one.said += String(chunk);
  return true;
}) as typeof process.stdout.write;
process.exit = (() => {
  running.getStore()?.end();
  throw new Ended();
}) as typeof process.exit;

let endCurrent = (): void => {};
const giveUp = (error: unknown): void => {
  if (!(error instanceof Ended)) endCurrent();
};
process.on("uncaughtException", giveUp);
process.on("unhandledRejection", giveUp);

/** A module's text as the body of a function: what it imports by name is asked for where it stands. */
function bodyOf(text: string): string {
  const body = text.replace(
    /import \{([^}]*)\} from ("[^"]*");?/g,
    (_, names: string, from: string) => `const {${names.replaceAll(" as ", ": ")}} = await import(${from});`,
  );
  return `"use strict";\n${body}`;
}

let number = 0;
/** Names what a program makes; no two in this process have the same. */
const ownPid = process.pid;

function run({ text, cwd }: Order): Promise<void> {
  process.chdir(cwd);
  Object.defineProperty(process, "pid", { value: ownPid * 1_000 + number++ });
  const from = performance.now();
  return new Promise((resolve) => {
    let hasEnded = false;
    const one: Running = {
      said: "",
      end() {
        if (hasEnded) return;
        hasEnded = true;
        const line = /^@@(\{.*\})$/m.exec(one.said)?.[1];
        writeSync(1, `${JSON.stringify({ ms: performance.now() - from, line })}\n`);
        resolve();
      },
    };
    endCurrent = one.end;
    running.run(one, () => void new AsyncFunction(bodyOf(text))().catch(giveUp));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "") await run(JSON.parse(line) as Order);
}
leave(0);
