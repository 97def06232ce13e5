/** A guest of any backend with nothing around it: no keeper, no sidecar; its directories are temporary. */
import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type {
  Backend,
  ExecOptions,
  Execution,
  ExitStatus,
  Guest,
  Link,
  ServiceName,
} from "../../src/contract/backend.ts";
import type { BottlePlan, PlannedMount } from "../../src/contract/plan.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { createScope, type Scope } from "../../src/lib/scope.ts";

export interface BottleOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly mounts?: readonly PlannedMount[];
  readonly tools?: readonly PlannedMount[];
  readonly resources?: BottlePlan["resources"];
  readonly services?: readonly ServiceName[];
  /** What its plan says besides. */
  readonly plan?: Partial<BottlePlan>;
  /** Use this instead of a new temporary directory; it is then not removed. */
  readonly folder?: string;
  /** Its disk outlives it, for a later life of the same id and directory. */
  readonly keepDisk?: boolean;
  /** Of an earlier life in that directory. */
  readonly id?: string;
}

export interface TestBottle {
  readonly id: string;
  readonly guest: Guest;
  readonly link: Link;
  /** Holds `state/` and `run/`. */
  readonly folder: string;
  readonly stateDir: string;
  readonly runtimeDir: string;
  /** What is acquired at launch; closing it is teardown. */
  readonly scope: Scope;
  /** Teardown, and removal of the temporary directory. */
  close(): Promise<void>;
}

export function planFor(backend: Backend, options: BottleOptions = {}): BottlePlan {
  return {
    agent: { name: "tester", source: "built-in", prompt: "" },
    bottle: { name: "test", files: [] },
    provider: { name: "command", argv: ["true"], env: {}, files: [] },
    env: [],
    skills: [],
    credentials: [],
    routes: [],
    rules: [],
    upstreamCa: [],
    git: {},
    mounts: options.mounts ?? [],
    resources: options.resources ?? { pids: 512 },
    backend: backend.name,
    ...options.plan,
  };
}

/** Short, because socket paths are. Everybody may walk to it, as to a state directory's parents. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bbt-"));
  await chmod(folder, 0o755);
  return folder;
}

export async function startBottle(backend: Backend, options: BottleOptions = {}): Promise<TestBottle> {
  const folder = options.folder ?? (await temporaryFolder());
  const id = options.id ?? `t-${randomBytes(3).toString("hex")}`;
  const plan = planFor(backend, options);
  const stateDir = join(folder, "state");
  const runtimeDir = join(folder, "run");
  const scope = createScope();
  const close = async (): Promise<void> => {
    await scope.close();
    if (options.folder === undefined) await removeTree(folder);
  };
  try {
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    await mkdir(runtimeDir, { recursive: true, mode: 0o700 });
    const prepared = await backend.prepare({ plan, tools: options.tools ?? [] }, () => {});
    const services = options.services ?? [];
    const request = { id, plan, stateDir, runtimeDir, services, keepsDisk: () => options.keepDisk === true };
    const link = await backend.reserve(prepared, request, scope);
    const guest = await backend.boot(prepared, link, { plan, env: options.env ?? {} }, scope);
    return { id, guest, link, folder, stateDir, runtimeDir, scope, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export interface Finished {
  readonly status: ExitStatus;
  /** Shorthand: the exit code, or -1 for any other end. */
  readonly code: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export async function bytesOf(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Feeds `stdin`, reads everything, waits for the end. */
export async function finish(execution: Execution, stdin: string | Buffer = ""): Promise<Finished> {
  execution.stdin.on("error", () => {});
  execution.stdin.end(stdin);
  const [stdout, stderr, status] = await Promise.all([
    bytesOf(execution.stdout),
    bytesOf(execution.stderr),
    execution.exit,
  ]);
  return { status, code: status.kind === "exited" ? status.code : -1, stdout, stderr };
}

export async function runIn(
  guest: Guest,
  argv: readonly [string, ...string[]],
  options: ExecOptions & { readonly stdin?: string | Buffer } = {},
): Promise<Finished> {
  const { stdin, ...execOptions } = options;
  return finish(await guest.exec(argv, execOptions), stdin);
}

/** Output of a shell text in the guest, without its last newline. Its stderr is part of what a failure shows. */
export async function sh(guest: Guest, text: string, options: ExecOptions = {}): Promise<string> {
  const { code, status, stdout, stderr } = await runIn(guest, ["sh", "-c", text], options);
  if (code !== 0) throw new Error(`${text}: ${JSON.stringify(status)}: ${stderr.toString()}`);
  return stdout.toString().replace(/\n$/, "");
}
