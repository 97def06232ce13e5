/**
 * The agent's own process, its output, and whoever watches. Output goes to `agent.log` and to each watcher; a
 * watcher that does not read slows the agent down, as a terminal would, and nobody slows down a detached one.
 */
import { createWriteStream, type WriteStream } from "node:fs";
import type { Writable } from "node:stream";
import type { Execution, ExitStatus, TerminalSize } from "../contract/backend.ts";
import { createTerminalFilter } from "./terminal-filter.ts";

/** A log that fills the host's disk would be an attack on it; what comes later is counted and not kept. */
const MAX_LOG_BYTES = 256 * 1024 * 1024;
/** What a terminal gets to see of the past when it attaches: some screens. */
const REPLAY_BYTES = 64 * 1024;
/** What the guest's processes may still say after the agent's exit, when one of them keeps its output open. */
const DRAIN_MS = 1_000;
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
  /** Resolves when the output is complete in the log, and with the watchers' streams. */
  readonly finished: Promise<void>;
}

/** Whoever joins before this turn of the event loop ends misses nothing. */
export function createAgentSession(execution: Execution, tty: boolean, logPath: string): AgentSession {
  const log = openLog(logPath);
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
      log.append(raw);
      const chunk = tty ? Buffer.from(filter.write(raw)) : raw;
      if (tty) remember(chunk);
      const taken = Promise.all([...watchers].map((watcher) => writeFully(pick(watcher), chunk)));
      // An agent that has ended can be slowed down no more, and its bottle's end waits for nobody.
      await Promise.race([taken, execution.exit]);
    }
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
      if (size !== undefined) redraw(execution, size);
    },
    resize: (size) => execution.resize(size),
    kill(signal) {
      interrupted = signal;
      execution.kill(signal);
    },
  };
}

/** A full-screen program draws itself anew when its size changes, and not when it stays. */
function redraw(execution: Execution, size: TerminalSize): void {
  execution.resize({ cols: size.cols, rows: Math.max(1, size.rows - 1) });
  setTimeout(() => execution.resize(size), 20).unref();
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

function openLog(path: string): { append(chunk: Buffer): void; close(): Promise<void> } {
  const file: WriteStream = createWriteStream(path, { flags: "a", mode: 0o600 });
  let written = 0;
  let dropped = 0;
  // A full disk costs the log of what the agent said, not the agent.
  file.on("error", () => {
    written = MAX_LOG_BYTES;
  });
  return {
    append(chunk) {
      if (written + chunk.length > MAX_LOG_BYTES) {
        dropped += chunk.length;
        return;
      }
      written += chunk.length;
      file.write(chunk);
    },
    close: () =>
      new Promise((resolve) => {
        if (dropped > 0) file.write(`\n[${dropped} more bytes were not kept]\n`);
        if (file.destroyed) resolve();
        else file.end(() => resolve());
      }),
  };
}
