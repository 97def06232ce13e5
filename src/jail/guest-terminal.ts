/** One process of a guest, started by its init, on a terminal whose other side is a socket. */
import { randomInt } from "node:crypto";
import { closeSync, constants as fileConstants, openSync, readFileSync, writeSync } from "node:fs";
import { access, stat } from "node:fs/promises";
import { constants } from "node:os";
import { resolve } from "node:path";
import type { Duplex } from "node:stream";
import type { TerminalSize } from "../contract/backend.ts";
import { writeJsonLine } from "../lib/json-lines.ts";
import { killGroup, obey } from "./guest-exec.ts";
import type { Answer, ExecHeader } from "./guest-protocol.ts";

/**
 * Starts what `header` says, tells `control` how it started and how it ended, and obeys what comes on it in between.
 * @throws the system's error when it cannot be started.
 */
export async function execOnTerminal(
  control: Duplex,
  header: ExecHeader,
  size: TerminalSize,
  stream: Duplex,
): Promise<void> {
  const { spawn } = await import("@lydell/node-pty");
  const [program, ...args] = header.argv as [string, ...string[]];
  await refuseUnstartable(program, header);
  const terminal = spawn(program, args, {
    cwd: header.cwd,
    env: { ...header.env },
    cols: size.cols,
    rows: size.rows,
    name: header.env["TERM"] ?? "xterm-256color",
    encoding: null,
  });
  // No await until all of these listen: what nobody listens for is dropped.
  let ended = false;
  const exit = new Promise<{ exitCode: number; signal?: number | undefined }>((resolve) => {
    terminal.onExit((status) => {
      ended = true;
      resolve(status);
    });
  });
  const device = holdOpen((terminal as unknown as { readonly ptsName: string }).ptsName);
  let mark: Buffer | undefined;
  /** The beginning of a mark, perhaps. */
  let held: Buffer = Buffer.alloc(0);
  const stopWatching = onChildEnd(() => {
    if (mark !== undefined || !hasEnded(terminal.pid)) return;
    // What a dead program's terminal still holds is little: it is taken now, however slow the keeper.
    mark = device.writeMark();
    terminal.resume();
  });
  // With `encoding: null` the library hands out Buffers under a type that says string.
  terminal.onData((data) => {
    const chunk = data as unknown as Buffer;
    if (mark === undefined) {
      if (stream.write(chunk)) return;
      terminal.pause();
      stream.once("drain", () => terminal.resume());
      return;
    }
    held = Buffer.concat([held, chunk]);
    const end = held.indexOf(mark);
    if (end >= 0) {
      held = Buffer.concat([held.subarray(0, end), held.subarray(end + mark.length)]);
      device.release();
    }
    const passed = Math.max(0, held.length - mark.length + 1);
    stream.write(held.subarray(0, passed));
    held = held.subarray(passed);
  });
  stream.on("data", (chunk: Buffer) => terminal.write(chunk as unknown as string));
  stream.resume();
  await writeJsonLine(control, { pid: terminal.pid });
  obey(control, (command) => {
    if (ended) return;
    if ("kill" in command) killGroup(terminal.pid, command.kill);
    else resizeTerminal(terminal, command.resize);
  }).then(
    () => ended || killGroup(terminal.pid, "SIGHUP"),
    () => control.destroy(),
  );
  const { exitCode, signal } = await exit;
  stopWatching();
  device.release();
  stream.end(held);
  const name = signal ? Object.entries(constants.signals).find(([, n]) => n === signal)?.[0] : undefined;
  const status = name === undefined ? { code: exitCode & 0xff, signal: null } : { code: null, signal: name };
  await writeJsonLine(control, { exit: status } satisfies Answer);
  control.end();
}

/** A terminal's child says only on the terminal that it cannot be started, and then as an exit code of its own. */
export async function refuseUnstartable(program: string, header: ExecHeader): Promise<void> {
  if (!(await stat(header.cwd)).isDirectory()) throw refusal("ENOTDIR");
  const folders = (header.env["PATH"] ?? "/usr/bin:/bin").split(":");
  const places = program.includes("/") ? [program] : folders.map((folder) => `${folder || "."}/${program}`);
  let code = "ENOENT";
  for (const place of places.map((path) => resolve(header.cwd, path))) {
    try {
      if (!(await stat(place)).isFile()) throw refusal("EACCES");
      await access(place, fileConstants.X_OK);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EACCES") code = "EACCES";
    }
  }
  throw refusal(code);
}

function refusal(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}

interface HeldDevice {
  /** Writes something unlikely behind everything that was written before, and returns it. */
  writeMark(): Buffer;
  release(): void;
}

/**
 * Keeps a terminal from hanging up before its last output was read. Programs close their streams on the way out (all
 * of coreutils do); our side would then close, and the hang-up kill what would have exited with 0. And after a hang-up
 * libuv reads once more, which of a terminal is 4 kB at most, and calls the rest the end. Nothing tells how much there
 * is to read, so a mark is written behind it; should that not be possible (output was stopped by Ctrl-S), the library
 * gives up 200 ms after the program's end.
 */
function holdOpen(path: string): HeldDevice {
  const { O_RDWR, O_NOCTTY, O_NONBLOCK } = fileConstants;
  let fd: number | undefined = openSync(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
  return {
    writeMark() {
      // Digits, which no terminal setting turns into something else.
      const mark = Buffer.from(Array.from({ length: 48 }, () => randomInt(10)).join(""));
      try {
        if (fd !== undefined) writeSync(fd, mark);
      } catch {
        // See above.
      }
      return mark;
    },
    release() {
      if (fd !== undefined) closeSync(fd);
      fd = undefined;
    },
  };
}

const childEnds = new Set<() => void>();
process.on("SIGCHLD", () => {
  for (const callback of childEnds) callback();
});

/** Calls `callback` whenever some child has ended; returns what stops that. */
function onChildEnd(callback: () => void): () => void {
  childEnds.add(callback);
  return () => childEnds.delete(callback);
}

/** Dead, buried or not. */
function hasEnded(pid: number): boolean {
  try {
    return /^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return true;
  }
}

/** gVisor's kernel, by the version that it claims to be in every release: it resizes terminals and tells nobody. */
const tellsNobody = /PST 2016|gVisor/.test(readFileSync("/proc/version", "utf8"));

function resizeTerminal(
  terminal: { readonly pid: number; resize(cols: number, rows: number): void },
  size: TerminalSize,
): void {
  try {
    terminal.resize(size.cols, size.rows);
    if (tellsNobody) killGroup(terminal.pid, "SIGWINCH");
  } catch {
    // Its program ended in this moment, which is told in a moment.
  }
}
