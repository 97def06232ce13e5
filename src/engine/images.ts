/**
 * An engine's images: what it has, and what is put into it. What goes in is a stream that the engine reads as it comes;
 * what it says meanwhile is told line by line, and only its end is kept.
 */
import { spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as z from "zod";
import { codeOf, UserError } from "../lib/errors.ts";
import { readLines } from "../lib/json-lines.ts";
import { printable } from "../lib/printable.ts";
import type { RunResult } from "../lib/processes.ts";
import { ask, complaint, type Engine, inspected, isPodman, jsonOf, linesOf, must } from "./call.ts";
import * as commands from "./commands.ts";

/** Some gigabytes, out of the engine or into it. */
const TRANSFER_MS = 15 * 60_000;
/** A base over a slow line. */
const PULL_MS = 60 * 60_000;
/** A tool that was told to end has this long to tell its engine. */
const END_MS = 10_000;
/** A program that draws its progress on one line ends that line late. */
const MAX_SAID_LINE_BYTES = 1024 * 1024;
/** For whoever has to find out why: the end of what was said. */
const KEPT_LINES = 20;

const imageSchema = z.object({
  Id: z.string(),
  Size: z.number().optional(),
  Architecture: z.string().optional(),
  RepoTags: z.array(z.string()).nullish(),
  RootFS: z.object({ Layers: z.array(z.string()).nullish() }).optional(),
  Config: z
    .object({
      Env: z.array(z.string()).nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
});

export interface EngineImage {
  /** Its content's id, by which it is the same one wherever it is. */
  readonly id: string;
  readonly tags: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** The environment that its programs expect. */
  readonly env: Readonly<Record<string, string>>;
  /** Places that it wants written to, and kept, by whatever runs of it. */
  readonly volumes: readonly string[];
  /** As the OCI calls it; empty when it does not say. */
  readonly architecture: string;
  /** Digests of its layers' content, the lowest first. */
  readonly layers: readonly string[];
  /** With what it shares with others. */
  readonly bytes: number;
}

function described(said: z.output<typeof imageSchema>): EngineImage {
  const env = said.Config?.Env ?? [];
  return {
    id: said.Id,
    tags: said.RepoTags ?? [],
    labels: said.Config?.Labels ?? {},
    env: Object.fromEntries(env.map((line) => [line.split("=", 1)[0], line.slice(line.indexOf("=") + 1)])),
    volumes: Object.keys(said.Config?.Volumes ?? {}),
    architecture: said.Architecture ?? "",
    layers: said.RootFS?.Layers ?? [],
    bytes: said.Size ?? 0,
  };
}

/** Undefined when the engine has no such image. */
export async function findImage(engine: Engine, name: string): Promise<EngineImage | undefined> {
  const result = await ask(engine, commands.inspect("image", name));
  return result.code === 0 ? described(imageSchema.parse(inspected(result.stdout))) : undefined;
}

/** Those that bear the label, `key` or `key=value`. @throws UserError */
export async function listImages(engine: Engine, label: string): Promise<readonly EngineImage[]> {
  const { stdout } = await must(engine, commands.listImages(label));
  const ids = [...new Set(linesOf(stdout))];
  if (ids.length === 0) return [];
  // One that is removed meanwhile is complained of, beside what is known of the others.
  const result = await ask(engine, commands.inspectImages(ids));
  const parsed = z.array(imageSchema).safeParse(jsonOf(result.stdout));
  if (!parsed.success) throw complaint(engine, ["image", "inspect"], result);
  return parsed.data.map(described);
}

/** Asked of a shell in it. */
export async function imageHasProgram(engine: Engine, image: string, program: string): Promise<boolean> {
  const { code } = await ask(engine, commands.lookFor(image, program));
  return code === 0;
}

/** Writes it as one archive to `path`. @throws UserError */
export async function saveImage(engine: Engine, name: string, path: string): Promise<void> {
  await must(engine, commands.saveImage(name, path), TRANSFER_MS);
}

/** What kept it from going, if anything: containers, or other images that stand on it. */
export async function removeImage(engine: Engine, name: string): Promise<string | undefined> {
  const result = await ask(engine, commands.removeImage(name));
  return result.code === 0 ? undefined : printable(result.stderr.trim());
}

/** @returns what the engine said when it could not be had. */
export async function pullImage(engine: Engine, name: string): Promise<string | undefined> {
  const result = await ask(engine, commands.pullImage(name), PULL_MS);
  return result.code === 0 ? undefined : printable(result.stderr.trim());
}

export interface Feeding {
  readonly input: Readable;
  /** Each line that is said, on either of its streams. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/** What a name of ours has to be in an archive to be that name in the engine: podman would take it for docker.io's. */
export function nameInArchive(engine: Engine, name: string): string {
  return isPodman(engine) ? `localhost/${name}` : name;
}

/** Puts in what an archive has. @throws UserError with the engine's words; the signal's reason. */
export async function loadImages(engine: Engine, feeding: Feeding): Promise<void> {
  const words = commands.loadImages();
  const result = await feed(engine, words, TRANSFER_MS, feeding);
  if (result.code !== 0) throw complaint(engine, words, result);
}

/** @returns what happened, whatever it was. @throws the signal's reason; what reading the context throws. */
export function buildImage(
  engine: Engine,
  spec: commands.BuildSpec,
  timeoutMs: number,
  feeding: Feeding,
): Promise<RunResult> {
  return feed(engine, commands.buildImage(spec), timeoutMs, feeding);
}

/** Its `stderr` is the end of all that was said. */
async function feed(
  engine: Engine,
  words: readonly string[],
  timeoutMs: number,
  { input, onLine = () => {}, signal }: Feeding,
): Promise<RunResult> {
  signal?.throwIfAborted();
  const child = spawn(engine.program, words, { env: { ...engine.env }, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<Pick<RunResult, "code" | "signal">>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, by) => resolve({ code, signal: by }));
  });
  let failure: unknown;
  let lastResort: NodeJS.Timeout | undefined;
  const stop = (why: unknown): void => {
    failure ??= why;
    child.kill("SIGTERM");
    lastResort ??= setTimeout(() => child.kill("SIGKILL"), END_MS);
  };
  const late = setTimeout(
    () =>
      stop(new UserError(`${engine.program} ${words[0]} did not end within ${timeoutMs / 60_000} minutes`)),
    timeoutMs,
  );
  const onAbort = (): void => stop(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const said: string[] = [];
  const hear = async (stream: Readable): Promise<void> => {
    for await (const line of readLines(stream, { maxLineBytes: MAX_SAID_LINE_BYTES })) {
      said.push(line);
      if (said.length > KEPT_LINES) said.shift();
      onLine(line);
    }
  };
  try {
    const heard = Promise.all([child.stdout, child.stderr].map((stream) => hear(stream).catch(stop)));
    const given = give(input, child.stdin).catch(stop);
    const end = await ended;
    await Promise.all([heard, given]);
    if (failure !== undefined) throw failure;
    return { ...end, stdout: Buffer.alloc(0), stderr: said.join("\n") };
  } finally {
    input.destroy();
    clearTimeout(late);
    clearTimeout(lastResort);
    signal?.removeEventListener("abort", onAbort);
  }
}

/** What a tool that stops reading leaves its writer with: it says why itself. */
const STOPPED_READING: readonly (string | undefined)[] = [
  "EPIPE",
  "ECONNRESET",
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_STREAM_DESTROYED",
];

async function give(input: Readable, stdin: Writable): Promise<void> {
  try {
    await pipeline(input, stdin);
  } catch (error) {
    if (!STOPPED_READING.includes(codeOf(error))) throw error;
  }
}
