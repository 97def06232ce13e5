/**
 * The agent's own process, its output, and whoever watches. Output goes to `agent.log` and to each watcher; a
 * watcher that does not read slows the agent down, as a terminal would, and nobody slows down a detached one.
 */
import type { Writable } from "node:stream";
import type { Execution, ExitStatus, TerminalSize } from "../contract/backend.ts";
import { printable } from "../lib/printable.ts";
import { openAgentLog } from "./agent-log.ts";
import { createTerminalFilter } from "./terminal-filter.ts";

/** What a terminal gets to see of the past when it attaches: some screens. */
const REPLAY_BYTES = 64 * 1024;
/** What the guest's processes may still say after the agent's exit, when one of them keeps its output open. */
const DRAIN_MS = 1_000;
/** For a program to notice a size before it gets the next one. */
const REDRAW_MS = 100;
/** Kept for a watcher who has not read it when the agent ends; more comes only from what outlives the agent. */
const MAX_UNREAD_BYTES = 8 * 1024 * 1024;

export interface Watcher {
  /** Where a terminal's keys come from. */
  readonly stdin: NodeJS.ReadableStream & Writable;
  readonly stdout: Writable;
  readonly stderr: Writable;
}

export interface AgentSession {
  readonly tty: boolean;
  readonly exit: Promise<ExitStatus>;
  /** Joins a watcher; a terminal's input goes to the agent. */
  join(watcher: Watcher, size: TerminalSize | undefined): void;
  resize(size: TerminalSize): void;
  kill(signal: NodeJS.Signals): void;
  /** Says something of ours to whoever watches. */
  notice(text: string): void;
  /** There is room again: what waited for some goes on, and a terminal is drawn anew, without our words in it. */
  goOn(): void;
  /** Resolves when the output is complete in the log, and with the watchers' streams. */
  readonly finished: Promise<void>;
}

/** Whoever joins before this turn of the event loop ends misses nothing. */
export function createAgentSession(
  execution: Execution,
  tty: boolean,
  logPath: string,
  /** There is no room to keep what the agent says: it waits for {@link AgentSession.goOn}. */
  onLack: (error: unknown) => void = () => {},
): AgentSession {
  const log = openAgentLog(logPath, onLack);
  let shown: TerminalSize | undefined;
  const watchers = new Set<Watcher>();
  const filter = createTerminalFilter();
  const replay: Buffer[] = [];
  let replayed = 0;

  const remember = (chunk: Buffer): void => {
    replay.push(chunk);
    replayed += chunk.length;
    while (replayed - (replay[0]?.length ?? 0) > REPLAY_BYTES) replayed -= replay.shift()?.length ?? 0;
  };

  const relay = async (from: NodeJS.ReadableStream, pick: (watcher: Watcher) => Writable): Promise<void> => {
    for await (const piece of from) {
      const raw = piece as Buffer;
      const logged = log.append(raw);
      const chunk = tty ? Buffer.from(filter.write(raw)) : raw;
      if (tty) remember(chunk);
      const taken = Promise.all([
        logged,
        ...[...watchers].map((watcher) => writeFully(pick(watcher), chunk)),
      ]);
      // An agent that has ended can be slowed down no more, and its bottle's end waits for nobody.
      await Promise.race([taken, execution.exit]);
    }
  };
  /** A full-screen program draws itself anew when its size changes, and not when it stays. */
  const redraw = (): void => {
    if (shown === undefined) return;
    execution.resize({ cols: shown.cols, rows: Math.max(1, shown.rows - 1) });
    // By then the terminal may have another one.
    setTimeout(() => shown && execution.resize(shown), REDRAW_MS).unref();
  };

  const relays = [relay(execution.stdout, (watcher) => watcher.stdout)];
  if (!tty) relays.push(relay(execution.stderr, (watcher) => watcher.stderr));
  const drained = Promise.allSettled(relays);
  if (!tty) execution.stdin.end();

  let interrupted: NodeJS.Signals | undefined;
  // Some agents answer an interrupt with exit code 0; what was cut short is no success.
  const exit = execution.exit.then((status): ExitStatus => {
    const claimsSuccess = status.kind === "exited" && status.code === 0;
    return claimsSuccess && interrupted !== undefined ? { kind: "signalled", signal: interrupted } : status;
  });

  const finished = (async () => {
    await execution.exit;
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, DRAIN_MS))]);
    for (const { stdout, stderr } of watchers) {
      stdout.end();
      stderr.end();
    }
    await log.close();
  })();

  return {
    tty,
    exit,
    finished,
    join(watcher, size) {
      watchers.add(watcher);
      const leave = (): void => void watchers.delete(watcher);
      for (const stream of [watcher.stdin, watcher.stdout, watcher.stderr]) stream.on("close", leave);
      if (!tty) return;
      for (const chunk of replay) watcher.stdout.write(chunk);
      // Paused since its first line was read, and a listener alone does not change that.
      watcher.stdin.on("data", (chunk: Buffer) => execution.stdin.write(chunk)).resume();
      if (size === undefined) return;
      shown = size;
      redraw();
    },
    resize(size) {
      shown = size;
      execution.resize(size);
    },
    notice(text) {
      const line = `bottle: ${printable(text, 1_000)}`;
      for (const { stdout, stderr } of watchers) {
        if (tty) stdout.write(`\r\n${line}\r\n`);
        else stderr.write(`${line}\n`);
      }
    },
    goOn() {
      log.retry();
      redraw();
    },
    kill(signal) {
      interrupted = signal;
      execution.kill(signal);
    },
  };
}

function writeFully(stream: Writable, chunk: Buffer): Promise<void> {
  if (stream.destroyed || stream.writableEnded || stream.writableLength > MAX_UNREAD_BYTES)
    return Promise.resolve();
  if (stream.write(chunk)) return Promise.resolve();
  return new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
}
