/**
 * The built `bottle` command at the hands of an operator who exists for one file of tests: a home, a runtime
 * folder and a cache of their own, with paths short enough for sockets. What a bottle leaves on the host is
 * looked for by the operator's folder, which the processes of their bottles have in their environment, their
 * arguments or their mounts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { dirname, join, relative } from "node:path";
import type { BottleStatus } from "../../src/keeper/control-protocol.ts";
import { packagePath } from "../../src/lib/package-root.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { realPid } from "./pid-of.ts";
import { openTerminal, type Terminal } from "./real-terminal.ts";

export const BOTTLE = packagePath("dist/bottle.js");
export const isRoot = process.getuid?.() === 0;

/** A command of ours that takes longer hangs. */
const COMMAND_TIMEOUT_MS = 150_000;
/** What the host's kernel may take to bury the processes of a bottle that is gone (I9). */
const BURIAL_MS = 30_000;
/** All that a bottle which does not run may have in its state directory. */
const KEPT = new Set(["agent.log", "bottle.json", "findings-key", "home", "smolvm", "work.git"]);

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Text for its standard input, which is closed afterwards. */
  readonly stdin?: string;
  /** Its standard input stays open. */
  readonly openInput?: boolean;
  /** What comes before the command line: `unshare` and its like. */
  readonly wrapper?: readonly string[];
}

/** A command that has not ended yet. */
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Run>;
  stdout(): string;
  stderr(): string;
}

export interface LogLine {
  readonly seq: number;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface ManifestParts {
  /** Keys of the bottle besides `agent_provider`. */
  readonly bottle?: Readonly<Record<string, unknown>>;
  /** Keys of the agent besides `bottle`. */
  readonly agent?: Readonly<Record<string, unknown>>;
  readonly prompt?: string;
}

export interface BottleCli {
  readonly root: string;
  readonly home: string;
  readonly runtime: string;
  /** Where commands run unless told otherwise. No repository. */
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  path(...parts: readonly string[]): string;
  write(path: string, content: string): string;
  /** Writes an agent that is `command`, in a bottle of its own name. */
  agent(name: string, command: readonly string[], parts?: ManifestParts): void;
  /** A repository with one commit. */
  repository(name: string, files?: Readonly<Record<string, string>>): Promise<string>;
  git(folder: string, ...args: readonly string[]): Promise<string>;
  run(args: readonly string[], options?: RunOptions): Promise<Run>;
  begin(args: readonly string[], options?: RunOptions): Running;
  terminal(args: readonly string[], options?: RunOptions): Terminal;
  /** Starts an agent in the background and returns the bottle's id. @throws Error with the command's words. */
  start(agent: string, ...flags: readonly string[]): Promise<string>;
  list(): Promise<readonly ListedBottle[]>;
  status(id: string): Promise<BottleStatus>;
  /** Where its keeper listens, and the word it wants. */
  control(id: string): { readonly socket: string; readonly token: string };
  log(id: string): readonly LogLine[];
  logged(id: string, event: string): Promise<LogLine>;
  /** Living processes of this operator's commands and bottles. */
  processes(): readonly number[];
  /** A process's command line, with blanks between. */
  commandOf(pid: number): string;
  parentOf(pid: number): number | undefined;
  /** Every path of the operator's, relative to {@link root}. */
  tree(): readonly string[];
  /** All that must not be there when no bottle runs, one line each: waits for it to go. */
  leftovers(): Promise<readonly string[]>;
  /** Ids with a state directory. */
  kept(): readonly string[];
  /**
   * The end of a test: no process, namespace, mount, socket, group or file of a bottle may be there, kept ones
   * aside. Makes room for the next test, whatever is found.
   * @throws Error with everything that is left.
   */
  expectNothingLeft(): Promise<void>;
  remove(): Promise<void>;
}

export interface ListedBottle {
  readonly id: string;
  readonly agent: string;
  readonly label: string | null;
  readonly backend: string | null;
  readonly state: string;
  readonly exit: string | null;
}

export interface BottleCliOptions {
  /** What comes before every command line, to have it run in `folder`: on a host of its own, say. */
  readonly words?: (folder: string) => readonly string[];
  /** In place of the `bottle` that was built from this tree. */
  readonly program?: string;
  /** Variables of every command besides. */
  readonly env?: Readonly<Record<string, string>>;
}

export function createBottleCli(given: BottleCliOptions = {}): BottleCli {
  const program = given.program ?? BOTTLE;
  const root = realpathSync(mkdtempSync("/tmp/bb-"));
  const path = (...parts: readonly string[]): string => join(root, ...parts);
  const [home, runtime, folder] = [path("h"), path("r"), path("w")];
  for (const made of [home, runtime, folder, path("u")]) mkdirSync(made, { mode: 0o700 });
  const env: Readonly<Record<string, string>> = {
    PATH: process.env["PATH"] ?? "",
    HOME: path("u"),
    LANG: "C.UTF-8",
    BOT_BOTTLE_HOME: home,
    BOT_BOTTLE_CACHE: path("c"),
    XDG_RUNTIME_DIR: runtime,
    GIT_CONFIG_NOSYSTEM: "1",
    ...given.env,
  };
  const write = (name: string, content: string): string => {
    mkdirSync(dirname(path(name)), { recursive: true, mode: 0o700 });
    writeFileSync(path(name), content, { mode: 0o600 });
    return path(name);
  };
  write("u/.gitconfig", "[user]\n\tname = Operator\n\temail = operator@example.com\n");

  const optionsFor = (options: RunOptions): { cwd: string; env: Record<string, string> } => ({
    cwd: options.cwd ?? folder,
    env: definedOf({ ...env, ...options.env }),
  });
  const before = (options: RunOptions): readonly string[] => [
    ...(given.words?.(options.cwd ?? folder) ?? []),
    ...(options.wrapper ?? []),
  ];
  const begin = (args: readonly string[], options: RunOptions = {}): Running =>
    beginProgram([...before(options), process.execPath, program, ...args], {
      ...optionsFor(options),
      ...(options.stdin !== undefined && { stdin: options.stdin }),
      ...(options.openInput !== undefined && { openInput: options.openInput }),
    });
  const run = (args: readonly string[], options: RunOptions = {}): Promise<Run> => {
    const running = begin(args, options);
    const timer = setTimeout(() => running.child.kill("SIGKILL"), COMMAND_TIMEOUT_MS);
    return running.ended.finally(() => clearTimeout(timer));
  };
  const git = async (where: string, ...args: readonly string[]): Promise<string> => {
    const done = await beginProgram(["git", "-C", where, ...args], { cwd: folder, env }).ended;
    if (done.code !== 0) throw new Error(`git ${args.join(" ")}: ${done.stderr}`);
    return done.stdout.trim();
  };
  const log = (id: string): readonly LogLine[] =>
    readFileSync(join(home, "audit", `${id}.jsonl`), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LogLine);
  const kept = (): readonly string[] => namesIn(join(home, "state"));
  const control = (id: string): { socket: string; token: string } => ({
    socket: join(runtime, "bot-bottle", id, "control.sock"),
    token: readFileSync(join(home, "state", id, "token"), "utf8"),
  });
  const processes = (): readonly number[] => processesAbout(root);

  const leftoversNow = (): readonly string[] => [
    ...processes().map((pid) => `process ${pid} ${argumentsOf(pid)}`),
    ...namesIn(join(runtime, "bot-bottle")).map((name) => `runtime folder ${name}`),
    ...groupsOf(knownIds(home)).map((group) => `cgroup ${group}`),
    ...kept().flatMap((id) =>
      namesIn(join(home, "state", id))
        .filter((name) => !KEPT.has(name))
        .map((name) => `state ${id}/${name}`),
    ),
    ...namesIn(join(home, "audit"))
      .filter((name) => !/^(?:host-key\.(?:pem|pub)|[a-z0-9-]+\.jsonl)$/.test(name))
      .map((name) => `beside the logs ${name}`),
    ...linesWith("/proc/self/mountinfo", root).map((line) => `mount ${line}`),
    ...linesWith("/proc/net/unix", root).map((line) => `socket ${line}`),
  ];

  const leftovers = async (): Promise<readonly string[]> => {
    const deadline = Date.now() + BURIAL_MS;
    let found = leftoversNow();
    while (found.length > 0 && Date.now() < deadline) {
      await pause(20);
      found = leftoversNow();
    }
    return found;
  };

  return {
    root,
    home,
    runtime,
    folder,
    env,
    path,
    write,
    git,
    run,
    begin,
    log,
    kept,
    processes,
    agent(name, command, { bottle = {}, agent = {}, prompt = "" } = {}) {
      write(
        `h/bottles/${name}.md`,
        frontMatter({ agent_provider: { template: "command", command }, ...bottle }, ""),
      );
      write(`h/agents/${name}.md`, frontMatter({ bottle: name, ...agent }, prompt));
    },
    async repository(name, files = { "a.txt": "one\n" }) {
      for (const [file, content] of Object.entries(files)) write(join(name, file), content);
      await git(path(name), "init", "--quiet", "--initial-branch=main");
      await git(path(name), "add", "--all");
      await git(path(name), "commit", "--quiet", "--message=first");
      return path(name);
    },
    terminal: (args, options = {}) =>
      openTerminal([...before(options), process.execPath, program, ...args], optionsFor(options)),
    async start(agent, ...flags) {
      const { code, stdout, stderr } = await run(["start", agent, "--detach", "--yes", ...flags]);
      if (code !== 0) throw new Error(`bottle start ${agent}: exit ${code}: ${stderr}`);
      return stdout.trim();
    },
    async list() {
      const { code, stdout, stderr } = await run(["list", "--json"]);
      if (code !== 0) throw new Error(`bottle list: exit ${code}: ${stderr}`);
      return JSON.parse(stdout) as readonly ListedBottle[];
    },
    control,
    async status(id) {
      const { socket, token } = control(id);
      const reply = JSON.parse(await askOnce(socket, `${JSON.stringify({ op: "status", token })}\n`)) as {
        readonly status?: BottleStatus;
      };
      if (reply.status === undefined) throw new Error(`no status of ${id}: ${JSON.stringify(reply)}`);
      return reply.status;
    },
    logged: (id, event) =>
      eventually(`${event} on the log of ${id}`, () => log(id).find((line) => line.event === event)),
    commandOf: argumentsOf,
    parentOf,
    tree: () =>
      walk(root)
        .map((found) => relative(root, found))
        .sort(),
    leftovers,
    async expectNothingLeft() {
      const found = await leftovers();
      if (found.length > 0) {
        for (const pid of processes()) killIfThere(pid);
        await run(["cleanup", "--yes"]);
      }
      for (const id of kept()) await removeTree(join(home, "state", id));
      if (found.length > 0) throw new Error(`left on the host:\n  ${found.join("\n  ")}`);
    },
    async remove() {
      for (const pid of processes()) killIfThere(pid);
      await removeTree(root);
    },
  };
}

export function frontMatter(keys: Readonly<Record<string, unknown>>, body: string): string {
  const lines = Object.entries(keys).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  return `---\n${lines.join("")}---\n${body}\n`;
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Polls until `look` gives something. @throws Error naming `what` when it never does. */
export async function eventually<T>(
  what: string,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await pause(20);
  }
}

/** True while the process is there and not only waits for its parent. */
export function isAlive(pid: number): boolean {
  const stat = contentOf(`/proc/${pid}/stat`);
  const state = stat.slice(stat.lastIndexOf(")") + 2)[0];
  return state !== undefined && state !== "Z" && state !== "X";
}

export function killIfThere(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(realPid(pid), signal);
  } catch {
    // It has ended in the meantime.
  }
}

/** Sends `text` to a Unix socket and returns what comes until its end. */
export function askOnce(path: string, text: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    let answer = "";
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.once("connect", () => socket.write(text));
    socket.once("error", reject);
    socket.once("end", () => socket.end());
    socket.once("close", () => resolve(answer));
  });
}

function beginProgram(
  [command = "", ...args]: readonly string[],
  options: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
    readonly stdin?: string;
    readonly openInput?: boolean;
  },
): Running {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  child.stdin.on("error", () => {});
  if (options.openInput !== true) child.stdin.end(options.stdin);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      text[name] += chunk;
    });
  }
  const ended = new Promise<Run>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      resolve({ code: signal === null ? code : null, ...text });
    });
  });
  return { child, ended, stdout: () => text.stdout, stderr: () => text.stderr };
}

function definedOf(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  );
}

function processesAbout(text: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter(
      (pid) =>
        pid !== process.pid &&
        isAlive(pid) &&
        ["environ", "cmdline", "mountinfo"].some((file) => contentOf(`/proc/${pid}/${file}`).includes(text)),
    );
}

function parentOf(pid: number): number | undefined {
  const [, parent] = /^\d+ \(.*\) \S (\d+)/s.exec(contentOf(`/proc/${pid}/stat`)) ?? [];
  return parent === undefined ? undefined : Number(parent);
}

function argumentsOf(pid: number): string {
  return contentOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim().slice(0, 200);
}

/** Whose logs there are: a bottle has one from its first step on. */
function knownIds(home: string): ReadonlySet<string> {
  const logs = namesIn(join(home, "audit")).filter((name) => name.endsWith(".jsonl"));
  return new Set([...logs.map((name) => name.slice(0, -".jsonl".length)), ...namesIn(join(home, "state"))]);
}

function groupsOf(ids: ReadonlySet<string>): readonly string[] {
  return walk("/sys/fs/cgroup", 4).filter((found) => {
    const [, id] = /\/bot-bottle-([^/]+)$/.exec(found) ?? [];
    return id !== undefined && ids.has(id);
  });
}

function linesWith(file: string, text: string): readonly string[] {
  return contentOf(file)
    .split("\n")
    .filter((line) => line.includes(text));
}

function walk(folder: string, depth = Number.POSITIVE_INFINITY): readonly string[] {
  if (depth === 0) return [];
  return namesIn(folder).flatMap((name) => {
    const found = join(folder, name);
    const isFolder = lstatSync(found, { throwIfNoEntry: false })?.isDirectory() === true;
    return isFolder ? [found, ...walk(found, depth - 1)] : [found];
  });
}

function namesIn(folder: string): readonly string[] {
  try {
    return existsSync(folder) ? readdirSync(folder) : [];
  } catch {
    return [];
  }
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
