/** Joins a client's sockets to a process in the guest. */
import type { Duplex } from "node:stream";
import type { Execution, ExitStatus } from "../contract/backend.ts";
import { untilEnded } from "../lib/streams.ts";
import type { SessionEnds } from "./control-server.ts";
import { filterTerminal } from "./terminal-filter.ts";

/** What a process that stays behind may still write after the one that was asked for has ended. */
const DRAIN_MS = 500;

/** Runs streams, commands and exit of one exec between client and guest, to its end. */
export async function bindExecution(
  execution: Execution,
  ends: SessionEnds,
  tty: boolean,
): Promise<ExitStatus> {
  await ends.reply({ started: true, tty });
  ends.stdin.pipe(execution.stdin);
  const output = tty ? execution.stdout.pipe(filterTerminal()) : execution.stdout;
  output.pipe(tty ? ends.stdin : ends.stdout, { end: true });
  if (!tty) execution.stderr.pipe(ends.stderr);
  ends.listen(
    (command) => {
      if ("kill" in command) execution.kill(command.kill as NodeJS.Signals);
      else execution.resize(command.resize);
    },
    // The client went away: what it started ends with it, as it would over ssh.
    () => execution.kill("SIGHUP"),
  );
  const drained = Promise.all(
    (tty ? [execution.stdout] : [execution.stdout, execution.stderr]).map(untilEnded),
  );
  const exit = await execution.exit;
  await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, DRAIN_MS))]);
  await ends.reply({ exit });
  return exit;
}

/** Two connections as one; either's end or death is passed on. */
export function connectStreams(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
    from.pipe(to);
  }
}
