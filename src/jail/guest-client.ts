/**
 * The keeper's side of a guest's init: one connection a purpose, all to a socket in a folder of the keeper's
 * own. Every answer is a hostile guest's: bounded, parsed, and good only for the exec it belongs to.
 */
import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { constants } from "node:os";
import { PassThrough, type Readable } from "node:stream";
import type { ExecOptions, Execution, ExitStatus, ProbeResult, ProbeTarget } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { readFirstLine } from "../lib/first-line.ts";
import { readJsonLines, writeJsonLine } from "../lib/json-lines.ts";
import { answerSchema, MAX_ANSWER_BYTES } from "./guest-answers.ts";
import type { Answer, Command, Header } from "./guest-protocol.ts";

/** The init answers in a millisecond; a guest that is out of processes or memory may need some seconds. */
const ANSWER_TIMEOUT_MS = 20_000;
/** Between the polite end of an aborted exec and the other one. */
const KILL_GRACE_MS = 2_000;

export interface GuestClient {
  exec(
    argv: readonly [string, ...string[]],
    options: ExecOptions & { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
  ): Promise<Execution>;
  dial(port: number): Promise<Socket>;
  probe(targets: readonly ProbeTarget[], timeoutMs: number): Promise<readonly ProbeResult[]>;
}

export function createGuestClient(socketPath: string): GuestClient {
  const open = async (header: Header): Promise<Socket> => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    socket.on("error", () => {});
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", () => reject(new UserError("the guest is gone")));
    });
    await writeJsonLine(socket, header);
    return socket;
  };

  /** The one answer line of `dial` and `probe`; what follows on the socket is left on it. */
  const ask = async (header: Header): Promise<{ socket: Socket; answer: Answer }> => {
    const socket = await open(header);
    const timer = setTimeout(() => socket.destroy(new Error("the guest does not answer")), ANSWER_TIMEOUT_MS);
    try {
      const answer = answerSchema.parse(JSON.parse(await readFirstLine(socket, MAX_ANSWER_BYTES)));
      return { socket, answer };
    } catch (error) {
      socket.destroy();
      throw new UserError(`the guest's answer is unusable: ${messageOf(error)}`);
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    async exec(argv, options) {
      const token = randomBytes(16).toString("hex");
      const { tty } = options;
      const numbers = tty === undefined ? [0, 1, 2] : [0];
      const [control, ...streams] = await Promise.all([
        open({
          kind: "exec",
          token,
          argv: [...argv],
          env: { ...options.env },
          cwd: options.cwd,
          ...(tty && { tty }),
        }),
        ...numbers.map((number) => open({ kind: "stream", token, number })),
      ]);
      const [input, output, errors] = streams;
      if (control === undefined || input === undefined) throw new Error("no connection was opened");
      const answers = readAnswers(control);
      const first = await withTimeout(answers.next(), ANSWER_TIMEOUT_MS);
      if (first === undefined || !("pid" in first)) {
        for (const socket of [control, ...streams]) socket.destroy();
        throw startFailure(argv[0], options.cwd, first);
      }
      const send = (command: Command): void => void writeJsonLine(control, command);
      const exit = answers.next().then((last): ExitStatus => {
        control.destroy();
        if (last === undefined || !("exit" in last)) return { kind: "lost", reason: "the guest is gone" };
        const { code, signal } = last.exit;
        if (signal !== null && signal in constants.signals) {
          return { kind: "signalled", signal: signal as NodeJS.Signals };
        }
        return code === null
          ? { kind: "lost", reason: "the guest gave no exit code" }
          : { kind: "exited", code };
      });
      endWithSignal(options.signal, exit, send);
      return {
        stdin: input,
        stdout: output ?? (input as Readable),
        stderr: errors ?? emptyStream(),
        exit,
        kill: (signal) => send({ kill: signal }),
        resize: (size) => send({ resize: { ...size } }),
      };
    },

    async dial(port) {
      const { socket, answer } = await ask({ kind: "dial", port });
      if ("connected" in answer) return socket;
      socket.destroy();
      throw new UserError(`nothing in the guest listens on port ${port}`, {
        hint: "start the server in the bottle first; it must listen on 127.0.0.1 or on all addresses",
      });
    },

    async probe(targets, timeoutMs) {
      const { socket, answer } = await ask({
        kind: "probe",
        timeoutMs,
        targets: targets.map((target) => ({ ...target })),
      });
      socket.destroy();
      if (!("results" in answer)) throw new Error("the guest could not probe");
      return answer.results;
    },
  };
}

interface Answers {
  /** The next answer, or undefined when the guest closed, sent garbage, or too much. */
  next(): Promise<Answer | undefined>;
}

function readAnswers(control: Socket): Answers {
  const lines = readJsonLines(control, { maxLineBytes: MAX_ANSWER_BYTES });
  return {
    async next() {
      try {
        const line = await lines.next();
        return line.done ? undefined : answerSchema.parse(line.value);
      } catch {
        return undefined;
      }
    },
  };
}

function startFailure(program: string, cwd: string, answer: Answer | undefined): UserError {
  if (answer === undefined || !("error" in answer)) return new UserError("the guest is gone");
  switch (answer.error) {
    case "ENOENT":
      return new UserError(`there is no ${program} in the bottle, or no folder ${cwd}`, { exitCode: 127 });
    case "EACCES":
      return new UserError(`${program} may not be run in the bottle`, { exitCode: 126 });
    default:
      return new UserError(`the bottle could not start ${program}: ${answer.error.slice(0, 200)}`);
  }
}

function endWithSignal(
  signal: AbortSignal | undefined,
  exit: Promise<ExitStatus>,
  send: (command: Command) => void,
): void {
  if (signal === undefined) return;
  const onAbort = (): void => {
    send({ kill: "SIGTERM" });
    const timer = setTimeout(() => send({ kill: "SIGKILL" }), KILL_GRACE_MS);
    timer.unref();
    exit.finally(() => clearTimeout(timer)).catch(() => {});
  };
  if (signal.aborted) onAbort();
  else {
    signal.addEventListener("abort", onAbort, { once: true });
    exit.finally(() => signal.removeEventListener("abort", onAbort)).catch(() => {});
  }
}

function emptyStream(): Readable {
  const stream = new PassThrough();
  stream.end();
  return stream;
}

async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await Promise.race([
      promise,
      new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), milliseconds);
      }),
    ]);
  } finally {
    clearTimeout(timer);
  }
}
