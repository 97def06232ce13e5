/**
 * git on the host. Contract: it runs no program but git's own, asks nobody, talks to no network, and takes no
 * setting from the environment. In our own bare repositories it reads no configuration but the one we wrote;
 * in the operator's repositories it reads theirs, with everything that would run a program switched off.
 */
import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { codeOf, UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";

/** A hostile pack that needs longer than this is refused; an honest one of 2 GB needs a fraction. */
const MAX_RUN_MS = 10 * 60_000;

/** For answers read whole: lists of refs, ids, a summary. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;
const MAX_STDERR_BYTES = 16 * 1024;
const SHOWN_STDERR_CHARACTERS = 600;

/** The largest single allocation git may make: an object that unpacks to more is refused, not unpacked. */
const MAX_ALLOCATION = "1g";

/** Both kinds of repository: nothing that a setting names is run, nothing is fetched, nothing is tidied up. */
const SWITCHED_OFF = [
  ["core.hooksPath", "/dev/null"],
  ["core.fsmonitor", "false"],
  ["core.pager", "cat"],
  ["protocol.allow", "never"],
  // A shell command, for what borrows objects of another repository.
  ["core.alternateRefsCommand", ":"],
  ["gc.auto", "0"],
  ["maintenance.auto", "false"],
  ["submodule.recurse", "false"],
  ["log.showSignature", "false"],
] as const;

const COMMON_ENV = {
  LC_ALL: "C",
  LANGUAGE: "C",
  GIT_TERMINAL_PROMPT: "0",
  GIT_OPTIONAL_LOCKS: "0",
  // What a repository says should stand in an object's place would change what we look at.
  GIT_NO_REPLACE_OBJECTS: "1",
  GIT_NO_LAZY_FETCH: "1",
  // A folder's own `protocol.ext.allow` goes before our `protocol.allow`; before this goes nothing.
  GIT_ALLOW_PROTOCOL: "",
} as const;

/** What git needs to find the operator's own settings. The rest of their environment may hold secrets. */
const OPERATOR_ENV = ["PATH", "HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME", "TMPDIR"] as const;

/** Where git runs, with whose settings. */
export type GitPlace =
  /** A bare repository that we made. Its objects may be a stranger's. */
  | { readonly kind: "ours"; readonly gitDir: string }
  /** A folder of the operator's. */
  | { readonly kind: "operators"; readonly folder: string };

export interface GitOptions {
  readonly stdin?: Readable | Buffer | string;
  /** Settings for this run alone. */
  readonly config?: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export interface GitResult {
  readonly code: number;
  readonly stdout: Buffer;
  /** Escaped already. */
  readonly stderr: string;
}

/** Runs git to its end. @throws UserError when git is missing, takes too long or says too much. */
export async function git(
  place: GitPlace,
  args: readonly string[],
  options: GitOptions = {},
): Promise<GitResult> {
  const running = streamGit(place, args, options);
  const reading = readAll(running.stdout, args);
  const { code, stderr } = await Promise.all([running.ended, reading]).then(([ended]) => ended);
  return { code, stdout: await reading, stderr };
}

async function readAll(stdout: Readable, args: readonly string[]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of stdout) {
      size += (chunk as Buffer).length;
      if (size > MAX_ANSWER_BYTES)
        throw new UserError(`git ${args[0] ?? ""} wrote more than ${MAX_ANSWER_BYTES} bytes`);
      chunks.push(chunk as Buffer);
    }
  } catch (error) {
    // A stream that was cut off belongs to a process whose end says why.
    if (codeOf(error) !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  }
  return Buffer.concat(chunks);
}

/** Like {@link git}; any exit code but 0 throws a UserError with git's own words. */
export async function gitOk(
  place: GitPlace,
  args: readonly string[],
  options: GitOptions = {},
): Promise<Buffer> {
  const result = await git(place, args, options);
  if (result.code !== 0) throw gitError(args, result);
  return result.stdout;
}

/** The trimmed text of an answer of one line. */
export async function gitLine(
  place: GitPlace,
  args: readonly string[],
  options: GitOptions = {},
): Promise<string> {
  return (await gitOk(place, args, options)).toString("utf8").replace(/\n$/, "");
}

export function gitError(args: readonly string[], result: { code: number; stderr: string }): UserError {
  return new UserError(
    `git ${args[0] ?? ""} exited ${result.code}${result.stderr === "" ? "" : `: ${result.stderr}`}`,
  );
}

export interface RunningGit {
  /** Destroying it ends git. Errors of git itself are told by `ended` alone. */
  readonly stdout: Readable;
  readonly ended: Promise<{ readonly code: number; readonly stderr: string }>;
}

/** Starts git and hands out its output as it comes. */
export function streamGit(place: GitPlace, args: readonly string[], options: GitOptions = {}): RunningGit {
  const child = spawn("git", [...placeArgs(place), ...configArgs(options.config ?? {}), ...args], {
    cwd: place.kind === "ours" ? place.gitDir : place.folder,
    env: { ...placeEnv(place), ...COMMON_ENV, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
    killSignal: "SIGKILL",
    ...(options.signal !== undefined && { signal: options.signal }),
  });
  child.stdin.on("error", () => {});
  // Not spawn's own: of a program that could not be started, that one keeps this process alive to its end.
  const timer = setTimeout(() => child.kill("SIGKILL"), MAX_RUN_MS);
  let tail = Buffer.alloc(0);
  child.stderr.on("error", () => {});
  child.stderr.on("data", (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk]).subarray(-MAX_STDERR_BYTES);
  });
  const ended = new Promise<{ code: number; stderr: string }>((resolve, reject) => {
    let sourceError: unknown;
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(startError(place, error));
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      if (sourceError !== undefined) reject(sourceError);
      const complaint = printable(
        tail.toString("utf8").trim().slice(-SHOWN_STDERR_CHARACTERS),
        SHOWN_STDERR_CHARACTERS,
      );
      resolve({
        code: code ?? 128,
        stderr: signal === null ? complaint : `ended by ${signal} ${complaint}`.trim(),
      });
    });
    if (options.stdin instanceof Readable) {
      options.stdin.on("error", (error) => {
        sourceError = error;
        child.kill("SIGKILL");
      });
      options.stdin.pipe(child.stdin);
    } else {
      child.stdin.end(options.stdin);
    }
  });
  ended.catch(() => child.stdout.destroy());
  // A reader that stops early wants git to stop.
  child.stdout.on("close", () => {
    if (!child.stdout.readableEnded) child.kill("SIGKILL");
  });
  return { stdout: child.stdout, ended };
}

function placeArgs(place: GitPlace): readonly string[] {
  const off = SWITCHED_OFF.flatMap(([key, value]) => ["-c", `${key}=${value}`]);
  return place.kind === "ours" ? ["--git-dir=.", ...off, ...OURS] : off;
}

/** Attributes come with the objects and would choose how they are shown. */
const OURS = [
  "-c",
  "core.attributesFile=/dev/null",
  "-c",
  "attr.tree=",
  "-c",
  "core.bigFileThreshold=32m",
] as const;

function configArgs(config: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(config).flatMap(([key, value]) => ["-c", `${key}=${value}`]);
}

function placeEnv(place: GitPlace): Readonly<Record<string, string | undefined>> {
  switch (place.kind) {
    case "ours":
      return {
        PATH: process.env["PATH"],
        HOME: "/nonexistent",
        GIT_CONFIG_NOSYSTEM: "1",
        GIT_CONFIG_GLOBAL: "/dev/null",
        GIT_ATTR_NOSYSTEM: "1",
        GIT_ALLOC_LIMIT: MAX_ALLOCATION,
      };
    case "operators":
      return Object.fromEntries(OPERATOR_ENV.map((name) => [name, process.env[name]]));
  }
}

function startError(place: GitPlace, error: Error): Error {
  if (codeOf(error) !== "ENOENT") return error;
  const where = place.kind === "ours" ? place.gitDir : place.folder;
  return new UserError(`cannot run git in ${where}: git is not installed, or the folder is gone`, {
    hint: "install git (Debian: apt-get install git)",
    cause: error,
  });
}

/** Text that ends at each `separator` byte, as it comes; a last one without it is yielded too. */
export async function* splitBytes(
  stream: AsyncIterable<unknown>,
  separator: number,
): AsyncGenerator<Buffer, void, void> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    rest = rest.length === 0 ? (chunk as Buffer) : Buffer.concat([rest, chunk as Buffer]);
    let start = 0;
    for (let end = rest.indexOf(separator); end >= 0; end = rest.indexOf(separator, start)) {
      yield rest.subarray(start, end);
      start = end + 1;
    }
    rest = rest.subarray(start);
  }
  if (rest.length > 0) yield rest;
}
