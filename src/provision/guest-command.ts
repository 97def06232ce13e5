/**
 * Running a program in the guest and judging it from the host. Everything in the guest may be hostile: it may
 * write without end, not at all, or not end. So output is bounded, silence is bounded, the whole is bounded,
 * and what it wrote is only ever shown escaped.
 */
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ExecOptions, Execution, ExitStatus, Guest } from "../contract/backend.ts";
import { messageOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";

export type GuestExec = Guest["exec"];

/** A program that neither reads nor writes for so long has stopped; git is silent while it hashes a large tree. */
const MAX_SILENCE_MS = 120_000;

/** Bounds the whole, for a guest that sends a byte a minute. Large workspaces take minutes. */
const MAX_TOTAL_MS = 30 * 60_000;

/** From asking a program to end to no longer waiting for it. */
const KILL_GRACE_MS = 5_000;

/** Enough of a complaint to act on. */
const MAX_STDERR_BYTES = 16 * 1024;
const SHOWN_STDERR_CHARACTERS = 600;

/** For answers that are read whole: names, ids, a list of files. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

export interface GuestCommandOptions extends Omit<ExecOptions, "tty"> {
  readonly stdin?: Readable | Buffer | string;
  readonly maxSilenceMs?: number;
  /** What errors call the program; its first two words unless told. */
  readonly name?: string;
}

export interface GuestResult<T> {
  readonly code: number;
  readonly stdout: T;
  /** Escaped already. */
  readonly stderr: string;
}

type Argv = readonly [string, ...string[]];

/** Runs `argv` and returns its output whole. @throws UserError when it is lost, silent or writes too much. */
export function runInGuest(
  exec: GuestExec,
  argv: Argv,
  options: GuestCommandOptions = {},
): Promise<GuestResult<Buffer>> {
  return streamFromGuest(exec, argv, options, async (stdout) => {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stdout) {
      size += (chunk as Buffer).length;
      if (size > MAX_ANSWER_BYTES)
        throw failed(options.name ?? nameOf(argv), `wrote more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks);
  });
}

/** Like {@link runInGuest}, but any exit code other than 0 throws a UserError with what it complained of. */
export async function runInGuestOk(
  exec: GuestExec,
  argv: Argv,
  options: GuestCommandOptions = {},
): Promise<Buffer> {
  const result = await runInGuest(exec, argv, options);
  if (result.code !== 0) throw failed(options.name ?? nameOf(argv), `exited ${result.code}`, result.stderr);
  return result.stdout;
}

/**
 * Runs `argv` while `consume` reads its output. What stdin or `consume` throws ends the program and is thrown
 * on; a program that ends without reading its input is judged by its exit code.
 */
export async function streamFromGuest<T>(
  exec: GuestExec,
  argv: Argv,
  options: GuestCommandOptions,
  consume: (stdout: Readable) => Promise<T>,
): Promise<GuestResult<T>> {
  const { stdin, maxSilenceMs = MAX_SILENCE_MS, signal, name = nameOf(argv), ...execOptions } = options;
  const stopper = new AbortController();
  const execution = await exec(argv, { ...execOptions, signal: stopper.signal });
  const watch = watchdog(maxSilenceMs);

  const fail = new Promise<never>((_resolve, reject) => {
    const stop = (error: unknown): void => {
      reject(error);
      stopper.abort();
      execution.stdout.destroy();
      execution.stdin.destroy();
    };
    watch.onTimeout((text) => stop(failed(name, text)));
    if (signal?.aborted === true) stop(signal.reason);
    signal?.addEventListener("abort", () => stop(signal.reason), { once: true, signal: stopper.signal });
    feed(execution, stdin, watch).catch(stop);
  });
  // Rejected also when nobody waits any more.
  fail.catch(() => {});

  const stderr = tailOf(execution.stderr);
  const counted = watch.counted();
  // A broken stream reaches the consumer as an error of `counted`.
  pipeline(execution.stdout, counted).catch(() => {});
  const work = async (): Promise<GuestResult<T>> => {
    let stdout: T;
    try {
      stdout = await consume(counted);
    } catch (error) {
      // Output that ends too soon is explained by the program's own complaint, if it has one.
      if (!execution.stdout.readableEnded) throw error;
      const code = codeOfExit(name, await execution.exit, await within(stderr));
      throw code === 0 ? error : failed(name, `exited ${code}`, await within(stderr));
    }
    const status = await execution.exit;
    const complaint = await within(stderr);
    return { code: codeOfExit(name, status, complaint), stdout, stderr: complaint };
  };
  try {
    return await Promise.race([fail, work()]);
  } catch (error) {
    stopper.abort();
    execution.stdout.destroy();
    await Promise.race([execution.exit, pause(KILL_GRACE_MS)]);
    throw error;
  } finally {
    watch.stop();
    // Also ends the listener on the caller's signal.
    stopper.abort();
  }
}

/** The same, of which no program goes on, or is listened to, once `signal` is aborted: its reason is thrown. */
export function execUntil(signal: AbortSignal, exec: GuestExec): GuestExec {
  return async (argv, options = {}) => {
    signal.throwIfAborted();
    const both = options.signal === undefined ? signal : AbortSignal.any([signal, options.signal]);
    const execution = await exec(argv, { ...options, signal: both });
    // A hostile guest goes on writing.
    const letGo = (): void => void execution.stdout.destroy(signal.reason);
    if (signal.aborted) letGo();
    signal.addEventListener("abort", letGo, { once: true, signal: endOf(execution) });
    return execution;
  };
}

function endOf({ stdout }: Execution): AbortSignal {
  const ended = new AbortController();
  stdout.once("close", () => ended.abort());
  return ended.signal;
}

/** A process left in the background may hold stderr open for ever. */
function within(stderr: Promise<string>): Promise<string> {
  return Promise.race([stderr, pause(KILL_GRACE_MS).then(() => "")]);
}

/** What a person is told when a program in the guest did not do its job. */
export function failed(name: string, what: string, stderr = ""): UserError {
  return new UserError(`in the guest, ${printable(name)} ${what}${stderr === "" ? "" : `: ${stderr}`}`);
}

function nameOf(argv: Argv): string {
  return argv.slice(0, 2).join(" ");
}

function codeOfExit(name: string, status: ExitStatus, stderr: string): number {
  switch (status.kind) {
    case "exited":
      return status.code;
    case "signalled":
      throw failed(name, `was ended by ${status.signal}`, stderr);
    case "lost":
      throw failed(name, `was lost: ${printable(status.reason)}`);
  }
}

async function feed(
  execution: Execution,
  stdin: Readable | Buffer | string | undefined,
  watch: Watchdog,
): Promise<void> {
  if (!(stdin instanceof Readable)) {
    execution.stdin.on("error", () => {});
    execution.stdin.end(stdin);
    return;
  }
  let sourceError: unknown;
  stdin.once("error", (error) => {
    sourceError = error;
  });
  try {
    await pipeline(stdin, watch.counted(), execution.stdin);
  } catch (error) {
    // The program's own closing of its input is told by its exit code.
    if (sourceError === error) throw error;
  }
}

async function tailOf(stream: Readable): Promise<string> {
  let tail = Buffer.alloc(0);
  try {
    for await (const chunk of stream) {
      tail = Buffer.concat([tail, chunk as Buffer]).subarray(-MAX_STDERR_BYTES);
    }
  } catch {
    // What was read of a broken stream is what there is.
  }
  return printable(tail.toString("utf8").trim().slice(-SHOWN_STDERR_CHARACTERS), SHOWN_STDERR_CHARACTERS);
}

interface Watchdog {
  /** A pass-through whose bytes count as a sign of life. */
  counted(): Transform;
  onTimeout(callback: (text: string) => void): void;
  stop(): void;
}

function watchdog(maxSilenceMs: number): Watchdog {
  let expire: (text: string) => void = () => {};
  const silence = setTimeout(() => expire(`was silent for ${maxSilenceMs / 1000} s`), maxSilenceMs);
  const total = setTimeout(() => expire(`did not end within ${MAX_TOTAL_MS / 60_000} minutes`), MAX_TOTAL_MS);
  return {
    counted: () =>
      new Transform({
        transform(chunk: Buffer, _encoding, done) {
          silence.refresh();
          done(null, chunk);
        },
      }),
    onTimeout(callback) {
      expire = callback;
    },
    stop() {
      clearTimeout(silence);
      clearTimeout(total);
    },
  };
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}

/** The error's text, safe to show, for what a stream or a parser said about the guest's bytes. */
export function shownError(error: unknown): string {
  return printable(messageOf(error), SHOWN_STDERR_CHARACTERS);
}
