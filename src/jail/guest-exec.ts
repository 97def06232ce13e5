/** One process of a guest, started by its init, on sockets that are its very streams. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { constants } from "node:os";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { type Answer, type Command, type ExecHeader, MAX_HEADER_BYTES } from "./guest-protocol.ts";

/**
 * Starts what `header` says, tells `control` how it started and how it ended, and obeys what comes on it in between.
 * Closes `streams`, whatever happens.
 * @throws the system's error when it cannot be started.
 */
export async function execPiped(
  control: Socket,
  header: ExecHeader,
  streams: readonly Socket[],
): Promise<void> {
  const [program, ...args] = header.argv as [string, ...string[]];
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      cwd: header.cwd,
      env: header.env,
      stdio: streams as unknown as StdioOptions,
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
  } finally {
    // The child has its own copies: with ours gone, the far end sees its end of file.
    for (const stream of streams) stream.destroy();
  }
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

/** Hands each command of the keeper's to `handle`, until it sends no more. */
export async function obey(control: Socket, handle: (command: Command) => void): Promise<void> {
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
