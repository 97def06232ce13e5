/**
 * Running other programs: by argv, never by a shell string; bounded in time and output; and the result
 * says which command failed and what it last wrote.
 */
import {
  type ChildProcess,
  type ChildProcessWithoutNullStreams,
  type StdioOptions,
  spawn,
} from "node:child_process";

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly stdin?: string | Uint8Array;
  /** Milliseconds; the process is killed after it. Default one minute. */
  readonly timeoutMs?: number;
  /** Bytes kept of each of stdout and stderr; more kills the process. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  readonly signal?: AbortSignal;
  /** Starts it, given its three streams; where more than `spawn` is to be said. */
  readonly start?: <T>(stdio: readonly "pipe"[], spawning: (stdio: StdioOptions) => T) => T;
}

export interface RunResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
const STDERR_TAIL_CHARACTERS = 2_000;

export class RunError extends Error {
  override readonly name = "RunError";
  readonly result: RunResult;

  constructor(argv: readonly string[], result: RunResult) {
    const ended = result.signal === null ? `exited ${result.code}` : `was ended by ${result.signal}`;
    const tail = result.stderr.slice(-STDERR_TAIL_CHARACTERS).trim();
    super(`${argv[0]} ${argv[1] ?? ""} ${ended}${tail === "" ? "" : `: ${tail}`}`);
    this.result = result;
  }
}

/**
 * Runs to the end and returns what happened, whatever the exit code.
 * @throws Error when it cannot be started, times out or writes more than the bound.
 */
export function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const [command, ...args] = argv;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const limit = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  return new Promise((resolve, reject) => {
    const spawning = (stdio: StdioOptions): ChildProcessWithoutNullStreams =>
      // Its three streams are pipes, whatever else it is given.
      spawn(command, args, {
        cwd: options.cwd,
        env: options.env === undefined ? process.env : { ...options.env },
        stdio,
        signal: options.signal,
      }) as ChildProcessWithoutNullStreams;
    const pipes = ["pipe", "pipe", "pipe"] as const;
    const child = options.start === undefined ? spawning([...pipes]) : options.start(pipes, spawning);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    let size = 0;
    let failure: Error | undefined;
    const stop = (error: Error): void => {
      failure ??= error;
      child.kill("SIGKILL");
    };
    const timer = setTimeout(
      () => stop(new Error(`${command} did not end within ${timeoutMs} ms`)),
      timeoutMs,
    );
    const keep =
      (list: Buffer[]) =>
      (chunk: Buffer): void => {
        size += chunk.length;
        if (size > limit) stop(new Error(`${command} wrote more than ${limit} bytes`));
        else list.push(chunk);
      };
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.stdout.on("data", keep(out));
    child.stderr.on("data", keep(err));
    // A program that ends without reading its input is judged by its exit code, not by our EPIPE.
    child.stdin.on("error", () => {});
    child.stdin.end(options.stdin);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (failure !== undefined) reject(failure);
      else resolve({ code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString("utf8") });
    });
  });
}

/** Like {@link run}, but anything but exit code 0 throws {@link RunError}. */
export async function runOk(
  argv: readonly [string, ...string[]],
  options: RunOptions = {},
): Promise<RunResult> {
  const result = await run(argv, options);
  if (result.code !== 0) throw new RunError(argv, result);
  return result;
}

/** Resolves once the process is gone; at once when it already is. */
export function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.once("error", () => resolve());
  });
}
