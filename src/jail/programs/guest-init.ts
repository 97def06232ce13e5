/**
 * Starts the processes of a guest on the keeper's word. It runs inside, without any privilege, so everything
 * it starts inherits the jail's restrictions by construction. The agent runs under the same uid and may do to
 * this program what it likes: it loses its own exec by it, and gains nothing.
 *
 * It accepts on the socket that is its file descriptor 4, and says "ready" on stdout.
 */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { constants } from "node:os";
import { readFirstLine } from "../../lib/first-line.ts";
import { readJsonLines, writeJsonLine } from "../../lib/json-lines.ts";
import {
  type Answer,
  type Command,
  type ExecHeader,
  type Header,
  MAX_HEADER_BYTES,
  type ProbeHeader,
} from "../guest-protocol.ts";

const LISTENER_FD = 4;
/** A stream that is announced and never comes must not hold its exec for ever. */
const STREAM_WAIT_MS = 10_000;

/** Sockets that came for an exec, by token and number; and execs that wait for theirs. */
const streams = new Map<string, Socket>();
const waiting = new Map<string, (socket: Socket) => void>();

function takeStream(token: string, number: number): Promise<Socket> {
  const key = `${token}/${number}`;
  const there = streams.get(key);
  if (there !== undefined) {
    streams.delete(key);
    return Promise.resolve(there);
  }
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      waiting.delete(key);
      reject(new Error(`stream ${number} did not come`));
    }, STREAM_WAIT_MS);
    waiting.set(key, (socket) => {
      clearTimeout(timer);
      resolve(socket);
    });
  });
}

function answer(socket: Socket, value: Answer): Promise<void> {
  return writeJsonLine(socket, value);
}

async function commands(control: Socket, handle: (command: Command) => void): Promise<void> {
  for await (const line of readJsonLines(control, { maxLineBytes: MAX_HEADER_BYTES })) {
    handle(line as Command);
  }
}

function signalNumber(name: string): number {
  return constants.signals[name as NodeJS.Signals] ?? constants.signals.SIGTERM;
}

async function execPiped(control: Socket, header: ExecHeader): Promise<void> {
  const sockets = await Promise.all([0, 1, 2].map((number) => takeStream(header.token, number)));
  const [program, ...args] = header.argv as [string, ...string[]];
  let child: ChildProcess;
  try {
    child = spawn(program, args, {
      cwd: header.cwd,
      env: header.env,
      stdio: sockets as unknown as StdioOptions,
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", reject);
    });
  } finally {
    // The child has its own copies: with ours gone, the far end sees its end of file.
    for (const socket of sockets) socket.destroy();
  }
  const exit = new Promise<Answer>((resolve) => {
    child.once("exit", (code, signal) => resolve({ exit: { code, signal } }));
  });
  await answer(control, { pid: child.pid ?? 1 });
  commands(control, (command) => {
    if ("kill" in command && child.pid !== undefined) killGroup(child.pid, command.kill);
  }).then(
    // The keeper let go of the exec: so does the process.
    () => child.exitCode === null && child.pid !== undefined && killGroup(child.pid, "SIGKILL"),
    () => control.destroy(),
  );
  await answer(control, await exit);
  control.end();
}

function killGroup(pid: number, signal: string): void {
  try {
    process.kill(-pid, signalNumber(signal));
  } catch {
    // It has ended already.
  }
}

async function execOnTerminal(
  control: Socket,
  header: ExecHeader,
  size: { cols: number; rows: number },
): Promise<void> {
  const { spawn: spawnTerminal } = await import("@lydell/node-pty");
  const stream = await takeStream(header.token, 0);
  const [program, ...args] = header.argv as [string, ...string[]];
  const terminal = spawnTerminal(program, args, {
    cwd: header.cwd,
    env: header.env,
    cols: size.cols,
    rows: size.rows,
    name: header.env["TERM"] ?? "xterm-256color",
    encoding: null,
  });
  await answer(control, { pid: terminal.pid });
  // With `encoding: null` the library hands out Buffers under a type that says string.
  terminal.onData((data) => {
    if (!stream.write(data as unknown as Buffer)) {
      terminal.pause();
      stream.once("drain", () => terminal.resume());
    }
  });
  stream.on("data", (chunk: Buffer) => terminal.write(chunk as unknown as string));
  stream.on("error", () => {});
  stream.resume();
  commands(control, (command) => {
    if ("kill" in command) killGroup(terminal.pid, command.kill);
    else terminal.resize(command.resize.cols, command.resize.rows);
  }).then(
    () => killGroup(terminal.pid, "SIGHUP"),
    () => control.destroy(),
  );
  const ended = await new Promise<{ exitCode: number; signal?: number }>((resolve) => {
    terminal.onExit((status) => resolve(status));
  });
  stream.end();
  const name = ended.signal
    ? Object.entries(constants.signals).find(([, n]) => n === ended.signal)?.[0]
    : undefined;
  await answer(control, {
    exit: name === undefined ? { code: ended.exitCode & 0xff, signal: null } : { code: null, signal: name },
  });
  control.end();
}

async function dial(socket: Socket, port: number): Promise<void> {
  const target = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  target.on("error", () => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    target.once("connect", resolve);
    target.once("error", reject);
  });
  await answer(socket, { connected: true });
  target.pipe(socket);
  socket.pipe(target);
}

async function probe(socket: Socket, header: ProbeHeader): Promise<void> {
  const results = await Promise.all(
    header.targets.map(async (target) => {
      const started = performance.now();
      const reach = target.transport === "tcp" ? reachTcp : reachUdp;
      const outcome = await reach(target.host, target.port, header.timeoutMs);
      return { ...target, outcome, milliseconds: performance.now() - started };
    }),
  );
  await answer(socket, { results });
  socket.end();
}

function reachTcp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: string): void => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    socket.once("connect", () => settle("answered"));
    socket.setTimeout(timeoutMs, () => settle("timeout"));
  });
}

/** A DNS question for the root's name servers: what a resolver would answer. */
const DNS_QUESTION = Buffer.from("b077010000010000000000000000020001", "hex");

function reachUdp(host: string, port: number, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const timer = setTimeout(() => settle("timeout"), timeoutMs);
    const settle = (outcome: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(outcome);
    };
    socket.on("error", (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
    socket.once("message", () => settle("answered"));
    // A connected socket hears the kernel's refusal; an unconnected one would wait for the time-out.
    socket.connect(port, host, (error?: Error) => {
      if (error) settle((error as NodeJS.ErrnoException).code ?? error.message);
      else socket.send(DNS_QUESTION);
    });
  });
}

async function serve(socket: Socket): Promise<void> {
  const header = JSON.parse(await readFirstLine(socket, MAX_HEADER_BYTES)) as Header;
  switch (header.kind) {
    case "exec":
      await (header.tty === undefined
        ? execPiped(socket, header)
        : execOnTerminal(socket, header, header.tty));
      return;
    case "stream": {
      const key = `${header.token}/${header.number}`;
      const taker = waiting.get(key);
      if (taker === undefined) streams.set(key, socket);
      else {
        waiting.delete(key);
        taker(socket);
      }
      return;
    }
    case "dial":
      await dial(socket, header.port);
      return;
    case "probe":
      await probe(socket, header);
      return;
  }
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  serve(socket).catch(async (error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code;
    await answer(socket, { error: code ?? String(error) });
    socket.destroy();
  });
});
server.on("error", (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
server.listen({ fd: LISTENER_FD }, () => {
  process.stdout.write("ready\n");
});
