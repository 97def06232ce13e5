/**
 * Running git, and what else the gate runs: by argv, in an environment made anew, in a process group of its own,
 * bounded in time. Nothing outlives the gate: where the system can do it, a program is killed with its parent (I9).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Duplex, Readable, Writable } from "node:stream";
import { tethered } from "../../../lib/tethered.ts";
import { LIMITS } from "../limits.ts";
import { gitEnvironment, type Home, servingSettings } from "./settings.ts";

/** A repository, and the quarantine whose objects are to be seen too. */
export interface Place {
  readonly gitDir: string;
  readonly quarantine?: string | undefined;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly timeoutMs: number;
  /** Opens file descriptor 3 in both directions. */
  readonly channel?: boolean;
  /** Opens file descriptor 3 as a second stdout. Not beside a channel. */
  readonly more?: boolean;
  readonly signal?: AbortSignal | undefined;
  /** It ends by itself when its stdin does. */
  readonly endsWithStdin?: boolean;
  /** No pipe breaks for it when its starter is gone: it waits for others. Nothing is written to its stdin. */
  readonly waits?: boolean;
}

export interface Ended {
  /** 128 and more when it did not end by itself. */
  readonly code: number;
  /** The end of what it said. As it came: not for anybody's eyes. */
  readonly stderr: string;
  readonly timedOut: boolean;
}

export interface Running {
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly channel: Duplex | undefined;
  readonly more: Readable | undefined;
  /** When the program has ended and its output has been read. Never rejects. */
  readonly ended: Promise<Ended>;
  /** Ends it and all that it started. */
  kill(): void;
}

const STDERR_BYTES = 64 * 1024;
const COULD_NOT_START = 127;
const WAS_KILLED = 137;

export type Git = ReturnType<typeof createGit>;

/** Everything that runs git for one gate. */
export function createGit(home: Home) {
  const base = gitEnvironment(home);

  function start(place: Place | undefined, args: readonly string[], options: StartOptions): Running {
    const env = { ...base, ...placeEnvironment(place), ...options.env };
    const cwd = options.cwd ?? place?.gitDir ?? home.stateDir;
    return startProgram(["git", ...args], { ...options, cwd, env });
  }

  /**
   * Starts several gits that are joined by pipes, as a text of shell with `args` for its `$@`: starting a program from
   * here takes as long as this process is large, and starting one from a shell next to nothing.
   */
  function startJoined(place: Place, text: string, args: readonly string[], options: StartOptions): Running {
    const env = { ...base, ...placeEnvironment(place), ...options.env };
    return startProgram(["sh", "-c", text, "git-gate", ...args], { ...options, cwd: place.gitDir, env });
  }

  /** Runs it to the end; its answer is read whole. */
  async function run(
    place: Place | undefined,
    args: readonly string[],
    options: Partial<StartOptions> & { readonly stdin?: string | Buffer; readonly credential?: string } = {},
  ): Promise<Ended & { readonly stdout: Buffer }> {
    const { stdin, credential, ...rest } = options;
    const running = start(place, args, {
      timeoutMs: LIMITS.listMs,
      ...rest,
      ...(credential !== undefined && { channel: true }),
    });
    running.stdin.end(stdin);
    running.channel?.end(credential);
    const stdout = await readWhole(running);
    return { ...(await running.ended), stdout };
  }

  /** Like run, for what can only fail by a bug or a broken disk. @throws Error with git's own words. */
  async function must(
    place: Place | undefined,
    args: readonly string[],
    options: Partial<StartOptions> & { readonly stdin?: string | Buffer } = {},
  ): Promise<string> {
    const { code, stdout, stderr } = await run(place, args, options);
    if (code !== 0) throw new Error(`git ${args[0]} exited ${code}: ${stderr.slice(-500)}`);
    return stdout.toString("utf8");
  }

  return { start, startJoined, run, must, serving: servingSettings(home) };
}

function placeEnvironment(place: Place | undefined): Readonly<Record<string, string>> {
  if (place === undefined) return {};
  const { gitDir, quarantine } = place;
  if (quarantine === undefined) return { GIT_DIR: gitDir };
  // Without GIT_QUARANTINE_PATH, which would forbid a local upstream to update its refs.
  return {
    GIT_DIR: gitDir,
    GIT_OBJECT_DIRECTORY: quarantine,
    GIT_ALTERNATE_OBJECT_DIRECTORIES: cQuoted(join(gitDir, "objects")),
  };
}

/** A list in which a colon separates; git reads a quoted entry as C would. */
function cQuoted(path: string): string {
  return `"${path.replace(/[\\"]/g, "\\$&")}"`;
}

async function readWhole(running: Running): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of running.stdout) {
    size += (chunk as Buffer).length;
    if (size > LIMITS.answerBytes) {
      running.kill();
      throw new Error(`git said more than ${LIMITS.answerBytes} bytes`);
    }
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** Makes a program end with its parent. On other systems git ends when the pipes break that it reads and writes. */
const LEASH: readonly string[] =
  process.platform === "linux" && ["/usr/bin/setpriv", "/bin/setpriv"].some((path) => existsSync(path))
    ? ["setpriv", "--pdeathsig", "KILL", "--"]
    : [];

/** So that it ends with its starter. */
function bound(argv: readonly string[], waits: boolean): readonly string[] {
  if (LEASH.length > 0) return [...LEASH, ...argv];
  return waits ? tethered(argv) : argv;
}

/** Starts any program. `env` is all of its environment. */
export function startProgram(
  argv: readonly string[],
  options: StartOptions & { readonly env: Readonly<Record<string, string>>; readonly cwd: string },
): Running {
  const [command = "", ...args] = options.endsWithStdin === true ? argv : bound(argv, options.waits === true);
  const hasThird = options.channel === true || options.more === true;
  const child: ChildProcess = spawn(command, args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ["pipe", "pipe", "pipe", ...(hasThird ? (["pipe"] as const) : [])],
    detached: true,
  });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new Error("spawn gave no pipes");
  const third = hasThird ? (child.stdio[3] as Duplex) : undefined;
  const [channel, more] = options.more === true ? [undefined, third] : [third, undefined];
  // How it ended says more than a broken pipe does.
  for (const stream of [stdin, stdout, stderr, third]) stream?.on("error", () => {});
  // It is open in both directions, and would not close before both are done with.
  more?.end();
  let tail = Buffer.alloc(0);
  stderr.on("data", (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-STDERR_BYTES);
  });

  let timedOut = false;
  let over = false;
  let lastResort: NodeJS.Timeout | undefined;
  const signalGroup = (signal: NodeJS.Signals): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // It ended in this moment.
    }
  };
  const kill = (): void => {
    // What has ended has no group any more, and its number may be another's.
    if (over || lastResort !== undefined) return;
    // Asked first, git removes its temporary files.
    signalGroup("SIGTERM");
    lastResort = setTimeout(() => signalGroup("SIGKILL"), LIMITS.killMs);
  };
  const timer = setTimeout(() => {
    timedOut = true;
    kill();
  }, options.timeoutMs);
  options.signal?.addEventListener("abort", kill);
  if (options.signal?.aborted === true) kill();

  const ended = new Promise<Ended>((resolve) => {
    const settle = (code: number, words: string): void => {
      over = true;
      clearTimeout(timer);
      clearTimeout(lastResort);
      options.signal?.removeEventListener("abort", kill);
      resolve({ code, stderr: words, timedOut });
    };
    child.once("error", (error) => settle(COULD_NOT_START, error.message));
    child.once("exit", (code) => {
      // Our end of the descriptor would keep "close" from coming.
      channel?.destroy();
      // What it had started goes with it; git removes its temporary files then.
      if (code !== 0) signalGroup("SIGTERM");
    });
    child.once("close", (code, signal) =>
      settle(signal === null ? (code ?? WAS_KILLED) : WAS_KILLED, tail.toString("utf8")),
    );
  });
  return { stdin, stdout, channel, more, ended, kill };
}
