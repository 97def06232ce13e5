/** In a guest without a network: leads ports of its loopback to the sockets that were mounted into it. */
import { type ChildProcess, spawn } from "node:child_process";
import { readGreetingLine } from "../../jail/channel-greeting.ts";
import { coverInherited } from "../../jail/inherited-fds.ts";
import { messageOf } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { exited } from "../../lib/processes.ts";
import type { Scope } from "../../lib/scope.ts";

/** The guest loads a program of ours. */
const UP_TIMEOUT_MS = 15_000;
const STDERR_TAIL_CHARACTERS = 1_000;

/**
 * @param argv runs the relay in the guest.
 * @throws Error with what was said there, when it does not listen.
 */
export async function startRelay(
  argv: readonly [string, ...string[]],
  env: Readonly<Record<string, string>>,
  scope: Scope,
): Promise<void> {
  const [command, ...args] = argv;
  const child = coverInherited(
    ["pipe", "pipe", "pipe"] as const,
    (stdio): ChildProcess => spawn(command, args, { cwd: "/", env: { ...env }, stdio, detached: true }),
  );
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  stdin.on("error", () => {});
  let tail = "";
  stderr.on("data", (chunk: Buffer) => {
    tail = (tail + chunk.toString("utf8")).slice(-STDERR_TAIL_CHARACTERS);
  });
  scope.defer("the guest's relay", async () => {
    child.kill("SIGKILL");
    await exited(child);
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${UP_TIMEOUT_MS} ms`)), UP_TIMEOUT_MS);
  });
  const failed = new Promise<never>((_resolve, reject) => child.once("error", reject));
  try {
    await Promise.race([readGreetingLine(stdout), late, failed]);
  } catch (cause) {
    throw new Error(`the guest cannot be led to its bundle: ${printable(tail.trim()) || messageOf(cause)}`, {
      cause,
    });
  } finally {
    clearTimeout(timer);
  }
  stdout.resume();
}
