/** One process of a guest, started by its init, on sockets that are its very streams. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { type Answer, type Command, type ExecHeader, MAX_HEADER_BYTES } from "./guest-protocol.ts";

/**
 * Starts what `header` says, tells `control` how it started and how it ended, and obeys what comes on it in between.
 * Closes `streams`, whatever happens.
 * @throws the system's error when it cannot be started.
 */
export async function execPiped(
  control: Duplex,
  header: ExecHeader,
  streams: readonly Duplex[],
): Promise<void> {
  const [program, ...args] = header.argv as [string, ...string[]];
  // A socket can be a program's very stream; what is no file descriptor is carried.
  const areSockets = streams.every((stream) => stream instanceof Socket);
  let child: ChildProcess;
  let started = false;
  try {
    child = spawn(program, args, {
      cwd: header.cwd,
      env: header.env,
      stdio: areSockets ? (streams as unknown as StdioOptions) : "pipe",
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
    started = true;
  } finally {
    // The child has its own copies: with ours gone, the far end sees its end of file.
    if (areSockets || !started) for (const stream of streams) stream.destroy();
  }
  if (!areSockets) carry(child, streams);
  const exit = new Promise<Answer>((resolve) => {
    child.once("exit", (code, signal) => resolve({ exit: { code, signal } }));
  });
  const { pid = 1 } = child;
  const runs = (): boolean => child.exitCode === null && child.signalCode === null;
  await writeJsonLine(control, { pid });
  obey(control, (command) => {
    if ("kill" in command && runs()) killGroup(pid, command.kill);
  }).then(
    // The keeper let go of the exec: so does the process.
    () => runs() && killGroup(pid, "SIGKILL"),
    () => control.destroy(),
  );
  await writeJsonLine(control, await exit);
  control.end();
}

/** Between a program's pipes and the keeper's streams, each to its end. */
function carry({ stdin, stdout, stderr }: ChildProcess, [input, output, errors]: readonly Duplex[]): void {
  if (stdin !== null && input !== undefined) {
    stdin.on("error", () => {});
    // A program that reads no more is seen to.
    stdin.on("close", () => input.destroy());
    input.on("close", () => stdin.end());
    input.pipe(stdin);
  }
  for (const [from, to] of [[stdout, output] as const, [stderr, errors] as const]) {
    if (from === null || to === undefined) continue;
    from.on("error", () => to.destroy());
    // Nobody reads any more: as from a closed pipe, the program is told when it writes.
    to.on("close", () => from.destroy());
    from.pipe(to);
    to.resume();
  }
}

/** Hands each command of the keeper's to `handle`, until it sends no more. */
export async function obey(control: Duplex, handle: (command: Command) => void): Promise<void> {
  for await (const line of readJsonLines(control, { maxLineBytes: MAX_HEADER_BYTES })) {
    handle(line as Command);
  }
}

export function killGroup(pid: number, signal: string): void {
  try {
    process.kill(-pid, constants.signals[signal as NodeJS.Signals] ?? constants.signals.SIGTERM);
  } catch {
    // It has ended already.
  }
}
