/** Joins a client's sockets to a process in the guest. */
import type { Duplex, Readable, Writable } from "node:stream";
import type { Execution, ExitStatus } from "../contract/backend.ts";
import { untilEnded } from "../lib/streams.ts";
import type { AgentSession } from "./agent-session.ts";
import type { Settlement } from "./control-protocol.ts";
import type { SessionEnds } from "./control-server.ts";
import { filterTerminal } from "./terminal-filter.ts";

/** What a process that stays behind may still write after the one that was asked for has ended. */
const QUIET_MS = 500;

/** Runs streams, commands and exit of one exec between client and guest, to its end. */
export async function bindExecution(
  execution: Execution,
  ends: SessionEnds,
  tty: boolean,
): Promise<ExitStatus> {
  await ends.reply({ started: true, tty });
  ends.stdin.pipe(execution.stdin);
  const outputs = tty
    ? [{ from: execution.stdout, to: ends.stdin }]
    : [
        { from: execution.stdout, to: ends.stdout },
        { from: execution.stderr, to: ends.stderr },
      ];
  for (const { from, to } of outputs) {
    if (tty) from.pipe(filterTerminal()).pipe(to);
    else from.pipe(to);
  }
  const delivered = Promise.all(outputs.map(({ from, to }) => endOfOutput(execution.exit, from, to)));
  ends.listen(
    (command) => {
      if ("kill" in command) execution.kill(command.kill as NodeJS.Signals);
      else execution.resize(command.resize);
    },
    // The client went away: what it started ends with it, as it would over ssh.
    () => execution.kill("SIGHUP"),
  );
  const exit = await execution.exit;
  await delivered;
  await ends.reply({ exit });
  return exit;
}

/**
 * Resolves when `from` has ended, or `to` is gone; or after the exit, when nothing came for a while although the
 * client had read all there was: somebody in the guest keeps it open and says nothing. A slow reader loses nothing.
 */
function endOfOutput(exit: Promise<ExitStatus>, from: Readable, to: Writable): Promise<void> {
  return new Promise((resolve) => {
    let timer: NodeJS.Timeout | undefined;
    let quiet = false;
    const settle = (): void => {
      clearInterval(timer);
      resolve();
    };
    untilEnded(from).then(settle, settle);
    to.once("close", settle);
    from.on("data", () => {
      quiet = false;
    });
    exit.then(
      () => {
        timer = setInterval(() => {
          if (quiet && !to.writableNeedDrain) settle();
          quiet = true;
        }, QUIET_MS);
      },
      () => {},
    );
  });
}

/** One who joined the agent: told how it ends, and then how the bottle did. What they say goes to the agent. */
export async function followSession(
  session: AgentSession,
  ends: SessionEnds,
  settled: Promise<Settlement>,
): Promise<void> {
  await ends.reply({ started: true, tty: session.tty });
  ends.listen(
    (command) => {
      if ("kill" in command) session.kill(command.kill as NodeJS.Signals);
      else session.resize(command.resize);
    },
    () => {},
  );
  const exit = await session.exit;
  await session.finished;
  await ends.reply({ exit });
  await ends.reply({ settled: await settled });
}

/** Two connections as one; either's end or death is passed on. */
export function connectStreams(a: Duplex, b: Duplex): void {
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const) {
    from.on("error", () => to.destroy());
    from.on("close", () => (from.readableEnded ? destroySoon(to) : to.destroy()));
    from.pipe(to);
  }
}

/** What was written to it before still arrives. */
function destroySoon(stream: Duplex): void {
  if (stream.writableFinished) stream.destroy();
  else stream.end(() => stream.destroy());
}
