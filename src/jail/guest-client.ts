/**
 * The keeper's side of a guest's init: one stream a purpose, each opened by the keeper. Every answer is a hostile
 * guest's: bounded in size and time, parsed, and good only for the exec it belongs to; what it says is escaped before
 * anybody sees it. Of an exec that fails no connection is left open.
 */
import { randomBytes } from "node:crypto";
import { connect } from "node:net";
import { constants } from "node:os";
import { type Duplex, PassThrough, type Readable } from "node:stream";
import type { ExecOptions, Execution, ExitStatus, ProbeResult, ProbeTarget } from "../contract/backend.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { readFirstLine } from "../lib/first-line.ts";
import { writeJsonLine } from "../lib/json-lines.ts";
import { printable } from "../lib/printable.ts";
import { answerSchema, MAX_ANSWER_BYTES } from "./guest-answers.ts";
import type { Answer, Command, ExecHeader, Header } from "./guest-protocol.ts";

/** The init answers in a millisecond; a guest that is out of processes or memory may need some seconds. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Between the polite end of an aborted exec, the other one, and no longer waiting for a word of either. */
const KILL_GRACE_MS = 2_000;

export interface GuestClient {
  /** Resolves once the init answers; `gone` when it no longer lives. @throws UserError when it does not answer. */
  watch(): Promise<{ readonly gone: Promise<void> }>;
  exec(
    argv: readonly [string, ...string[]],
    options: Omit<ExecOptions, "user"> &
      Pick<ExecHeader, "user" | "processes"> & {
        readonly env: Readonly<Record<string, string>>;
        readonly cwd: string;
      },
  ): Promise<Execution>;
  dial(port: number): Promise<Duplex>;
  probe(targets: readonly ProbeTarget[], timeoutMs: number): Promise<readonly ProbeResult[]>;
  /** Resolves once everything that the guest has written is on its disk. */
  flush(): Promise<void>;
}

export interface GuestClientOptions {
  /** Milliseconds for a first answer. */
  readonly answerTimeoutMs?: number;
  readonly killGraceMs?: number;
  /**
   * Makes a terminal for an exec by other means than the guest's own, and has a seat sit at it that calls itself by
   * the token. Its one stream is returned; whoever destroys that gives the terminal up.
   */
  readonly openTerminal?: (token: string) => Promise<Duplex>;
}

/** Opens a stream to the guest's init. One that cannot be opened is destroyed. */
export type ConnectGuest = (options: { readonly allowHalfOpen: boolean }) => Duplex;

/** Of this process, or of the whole host: it says nothing of the guest. */
const NONE_LEFT: readonly (string | undefined)[] = ["EMFILE", "ENFILE"];

/** To an init that accepts on a Unix socket. */
export function guestSocket(path: string): ConnectGuest {
  return ({ allowHalfOpen }) => connect({ path, allowHalfOpen });
}

export function createGuestClient(
  connectGuest: ConnectGuest,
  { answerTimeoutMs = ANSWER_TIMEOUT_MS, killGraceMs = KILL_GRACE_MS, openTerminal }: GuestClientOptions = {},
): GuestClient {
  /**
   * Opens a connection for each header, and has `use` take the first answer. Should the guest not take the
   * headers, not answer in time, or `use` throw: all are closed.
   */
  const open = async <T>(
    headers: readonly Header[],
    use: (sockets: readonly Duplex[]) => Promise<T>,
  ): Promise<T> => {
    const sockets = headers.map(({ kind }) => {
      // Both directions of a dialled connection end by themselves; a stream ends with its process.
      const socket = connectGuest({ allowHalfOpen: kind === "dial" });
      socket.on("error", () => {});
      return socket;
    });
    let reason = "the guest is gone";
    const closeAll = (): void => {
      for (const socket of sockets) socket.destroy(new Error(reason));
    };
    const timer = setTimeout(() => {
      reason = "the guest does not answer";
      closeAll();
    }, answerTimeoutMs);
    try {
      await Promise.all(sockets.map((socket, i) => greet(socket, headers[i])));
      return await use(sockets);
    } catch (error) {
      closeAll();
      if (error instanceof UserError) throw error;
      if (NONE_LEFT.includes(codeOf(error))) reason = "there is no file descriptor left to ask the guest by";
      throw new UserError(reason, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  };

  const ask = <T>(header: Header, use: (answer: Answer, socket: Duplex) => T): Promise<T> =>
    open([header], async ([socket]) => {
      if (socket === undefined) throw new Error("no connection was opened");
      return use(await answerOn(socket), socket);
    });

  return {
    watch: () =>
      ask({ kind: "watch" }, (answer, socket) => {
        if (!("connected" in answer)) throw new UserError("the guest does not say that it runs");
        socket.resume();
        return { gone: new Promise<void>((resolve) => socket.once("close", () => resolve())) };
      }),

    exec(argv, { cwd, env, tty, signal, user, processes }) {
      const token = randomBytes(16).toString("hex");
      const seated = tty !== undefined && openTerminal !== undefined;
      const numbers = tty === undefined ? [0, 1, 2] : seated ? [] : [0];
      const headers: readonly Header[] = [
        {
          kind: "exec",
          ...{ token, argv, env, cwd },
          ...(tty && { tty }),
          ...(seated && { seated }),
          ...(user !== undefined && { user }),
          ...(processes !== undefined && { processes }),
        },
        ...numbers.map((number): Header => ({ kind: "stream", token, number })),
      ];
      return open(headers, async ([control, first, output, errors]) => {
        const input = seated ? await openTerminal(token) : first;
        if (control === undefined || input === undefined) throw new Error("no connection was opened");
        const begun = await answerOn(control).catch((error: unknown) => {
          input.destroy();
          throw error;
        });
        if (!("pid" in begun)) {
          input.destroy();
          throw startFailure(argv[0], cwd, begun);
        }

        const send = (command: Command): void => void writeJsonLine(control, command);
        const exit = answerOn(control)
          .then(statusOf, (): ExitStatus => ({ kind: "lost", reason: "the guest is gone" }))
          .finally(() => {
            control.destroy();
            // Whom the process left in the background gets no more input: an unread pipe would stay for ever.
            if (output !== undefined) input.destroy();
          });
        endWithSignal(signal, exit, send, () => control.destroy(), killGraceMs);
        // Of a pipe's reading end only its closing can be heard, and only by listening.
        if (output !== undefined) input.resume();
        return {
          stdin: input,
          stdout: output ?? (input as Readable),
          stderr: errors ?? emptyStream(),
          exit,
          kill: (name) => send({ kill: name }),
          resize: (size) => send({ resize: { ...size } }),
        };
      });
    },

    dial: (port) =>
      ask({ kind: "dial", port }, (answer, socket) => {
        if ("connected" in answer) return socket;
        throw new UserError(`nothing in the guest listens on port ${port}`, {
          hint: "start the server in the bottle first; it must listen on 127.0.0.1 or on all addresses",
        });
      }),

    flush: () => ask({ kind: "flush" }, (_answer, socket) => void socket.destroy()),

    probe: (targets, timeoutMs) =>
      ask(
        { kind: "probe", timeoutMs, targets: targets.map((target) => ({ ...target })) },
        (answer, socket) => {
          socket.destroy();
          if (!("results" in answer)) throw new UserError("the guest could not probe");
          return answer.results;
        },
      ),
  };
}

async function greet(socket: Duplex, header: Header | undefined): Promise<void> {
  await writeJsonLine(socket, header);
  if (socket.destroyed) throw new Error("closed");
}

/** The next answer; what follows it on the socket is left there. */
async function answerOn(socket: Duplex): Promise<Answer> {
  const coming = readFirstLine(socket, MAX_ANSWER_BYTES);
  // An earlier answer left it paused.
  socket.resume();
  const line = await coming;
  try {
    return answerSchema.parse(JSON.parse(line));
  } catch (cause) {
    throw new UserError("the guest's answer is unusable", { cause });
  }
}

function statusOf(last: Answer): ExitStatus {
  if (!("exit" in last)) return { kind: "lost", reason: "the guest is gone" };
  const { code, signal } = last.exit;
  if (signal !== null && Object.hasOwn(constants.signals, signal)) {
    return { kind: "signalled", signal: signal as NodeJS.Signals };
  }
  return code === null ? { kind: "lost", reason: "the guest gave no exit code" } : { kind: "exited", code };
}

function startFailure(program: string, cwd: string, answer: Answer): UserError {
  if (!("error" in answer)) return new UserError("the guest's answer is unusable");
  switch (answer.error) {
    case "ENOENT":
      return new UserError(`there is no ${program} in the bottle, or no folder ${cwd}`, { exitCode: 127 });
    case "EACCES":
      return new UserError(`${program} may not be run in the bottle`, { exitCode: 126 });
    default:
      return new UserError(`the bottle could not start ${program}: ${printable(answer.error)}`);
  }
}

/** A guest that does not say how it ended is not waited for: `giveUp`. */
function endWithSignal(
  signal: AbortSignal | undefined,
  exit: Promise<ExitStatus>,
  send: (command: Command) => void,
  giveUp: () => void,
  graceMs: number,
): void {
  if (signal === undefined) return;
  const onAbort = (): void => {
    send({ kill: "SIGTERM" });
    const kill = setTimeout(() => send({ kill: "SIGKILL" }), graceMs);
    const leave = setTimeout(giveUp, 2 * graceMs);
    const settled = (): void => {
      clearTimeout(kill);
      clearTimeout(leave);
    };
    exit.then(settled, settled);
  };
  if (signal.aborted) onAbort();
  else {
    signal.addEventListener("abort", onAbort, { once: true });
    const settled = (): void => signal.removeEventListener("abort", onAbort);
    exit.then(settled, settled);
  }
}

function emptyStream(): Readable {
  const stream = new PassThrough();
  stream.end();
  return stream;
}
