/**
 * Real bottles, started and asked through the built `bottle` command alone, by an operator who exists for one
 * file of tests: a home, manifests, a repository, and an authority whose upstreams their bottles trust.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../demo/upstreams/certificate-authority.ts";
import { packagePath } from "../../src/lib/package-root.ts";
import { cacheOf } from "../../src/lib/paths.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";
import { realPid } from "./pid-of.ts";

/** A command of ours that takes longer hangs. */
const COMMAND_TIMEOUT_MS = 150_000;

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  /** Default: what a command of ours may take. */
  readonly timeoutMs?: number;
  /** What comes before the command line: `setpriv` and its like. */
  readonly wrapper?: readonly string[];
  /** Ctrl-C once its stderr has this: to it and all that it started, as a terminal sends it. */
  readonly interruptAt?: string;
}

/** A line of a bottle's log. */
export interface LogLine {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface RealBottle {
  readonly id: string;
  /** Host pids. */
  readonly keeper: number;
  egress(): Promise<number>;
  /** Of any sidecar. */
  sidecar(name: string): Promise<number>;
  /** Runs a command beside the agent. */
  exec(...argv: readonly string[]): Promise<Run>;
  /** Output of a shell text in the bottle; throws when it fails. */
  sh(text: string): Promise<string>;
  log(): readonly LogLine[];
  /** Polls the log until an event satisfies `wanted`. */
  logged(wanted: (line: LogLine) => boolean): Promise<LogLine>;
  stop(): Promise<Run>;
}

export interface RealOperator {
  readonly root: string;
  readonly home: string;
  readonly runtime: string;
  /** A repository with one commit, and the default folder of commands. */
  readonly repository: string;
  readonly env: Readonly<Record<string, string>>;
  readonly authority: CertificateAuthority;
  /** PEM for `upstream_ca`. */
  readonly caFile: string;
  path(...parts: readonly string[]): string;
  /** Writes an agent and its bottle, both called `name`. */
  agent(name: string, bottle: Readonly<Record<string, unknown>>, prompt?: string): void;
  /** Runs `bottle` to its end. */
  bottle(args: readonly string[], options?: RunOptions): Promise<Run>;
  /** Starts an agent in the background. @throws Error with the command's words. */
  start(agent: string, args?: readonly string[], options?: RunOptions): Promise<RealBottle>;
  /** A bottle that runs already. */
  adopt(id: string): Promise<RealBottle>;
  log(id: string): readonly LogLine[];
  git(...args: readonly string[]): Promise<string>;
  /** Stops and removes every bottle, then the operator. */
  remove(): Promise<void>;
}

export const BOTTLE = packagePath("dist/bottle.js");
export const isRoot = process.getuid?.() === 0;

/** An agent that does nothing for as long as it may. */
export const IDLE = { template: "command", command: ["sleep", "infinity"] } as const;

/** An agent that runs a shell text. */
export function shell(text: string): Readonly<Record<string, unknown>> {
  return { template: "command", command: ["sh", "-c", text] };
}

export async function createRealOperator(
  files: Readonly<Record<string, string | Buffer>> = { "README.md": "# A project\n" },
): Promise<RealOperator> {
  // Short: sockets lie below it.
  const root = realpathSync(mkdtempSync(join(tmpdir(), "bbr-")));
  const path = (...parts: readonly string[]): string => join(root, ...parts);
  const [home, runtime, repository] = [path("home"), path("run"), path("project")];
  for (const folder of [home, join(home, "agents"), join(home, "bottles"), runtime, path("user"), repository])
    mkdirSync(folder, { mode: 0o700 });
  const env = {
    PATH: process.env["PATH"] ?? "",
    HOME: path("user"),
    LANG: "C.UTF-8",
    BOT_BOTTLE_HOME: home,
    XDG_RUNTIME_DIR: runtime,
    BOT_BOTTLE_CACHE: cacheOf(),
    GIT_CONFIG_NOSYSTEM: "1",
  };
  const authority = await makeCertificateAuthority("bot-bottle tests");
  const caFile = path("upstream-ca.pem");
  writeFileSync(caFile, authority.certificate);
  const git = async (...args: readonly string[]): Promise<string> => {
    const result = await runProgram(["git", "-C", repository, ...args], { env });
    if (result.code !== 0) throw new Error(`git ${args.join(" ")}: ${result.stderr}`);
    return result.stdout.trim();
  };
  writeFileSync(
    path("user", ".gitconfig"),
    "[user]\n\tname = Operator\n\temail = operator@example.com\n[init]\n\tdefaultBranch = main\n",
  );
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(repository, name)), { recursive: true });
    writeFileSync(join(repository, name), content);
  }
  await git("init", "--quiet");
  await git("add", "--all");
  await git("commit", "--quiet", "--message=first");

  const bottle = (args: readonly string[], options: RunOptions = {}): Promise<Run> =>
    runProgram([...(options.wrapper ?? []), process.execPath, BOTTLE, ...args], {
      cwd: repository,
      ...options,
      env: { ...env, ...options.env },
    });
  const log = (id: string): readonly LogLine[] =>
    readFileSync(join(home, "audit", `${id}.jsonl`), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as LogLine);
  const status = (id: string): Promise<Status> =>
    askKeeper(join(runtime, "bot-bottle", id, "control.sock"), join(home, "state", id, "token"));

  const adopt = async (id: string): Promise<RealBottle> => {
    const exec = (...argv: readonly string[]): Promise<Run> => bottle(["exec", "-T", id, "--", ...argv]);
    const sidecar = async (name: string): Promise<number> =>
      realPid((await status(id)).sidecars.find((each) => each.name === name)?.pid);
    return {
      id,
      keeper: (await status(id)).keeperPid,
      egress: () => sidecar("egress"),
      sidecar,
      exec,
      async sh(text) {
        const result = await exec("sh", "-c", text);
        if (result.code !== 0) throw new Error(`${text}: exit ${result.code}: ${result.stderr}`);
        return result.stdout.trimEnd();
      },
      log: () => log(id),
      async logged(wanted) {
        for (let i = 0; i < 100; i++) {
          const line = log(id).find(wanted);
          if (line !== undefined) return line;
          await pause(50);
        }
        throw new Error(`not on the log: ${JSON.stringify(log(id), null, 1)}`);
      },
      stop: () => bottle(["stop", id]),
    };
  };

  return {
    root,
    home,
    runtime,
    repository,
    env,
    authority,
    caFile,
    path,
    bottle,
    adopt,
    log,
    git,
    agent(name, keys, prompt = "") {
      const frontMatter = Object.entries(keys).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
      writeFileSync(join(home, "bottles", `${name}.md`), `---\n${frontMatter.join("")}---\n`, {
        mode: 0o600,
      });
      writeFileSync(join(home, "agents", `${name}.md`), `---\nbottle: ${name}\n---\n${prompt}\n`, {
        mode: 0o600,
      });
    },
    async start(agent, args = [], options = {}) {
      const run = await bottle(["start", agent, "--detach", "--yes", "--json", ...args], options);
      if (run.code !== 0) throw new Error(`bottle start ${agent}: exit ${run.code}: ${run.stderr}`);
      return adopt((JSON.parse(run.stdout) as { id: string }).id);
    },
    async remove() {
      const { stdout } = await bottle(["list", "--json"]);
      const ids = (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id);
      if (ids.length > 0) await bottle(["rm", "--force", ...ids]);
      await removeTree(root);
    },
  };
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Runs a program to its end, its input closed. */
export function runProgram(
  [command = "", ...args]: readonly string[],
  options: Omit<RunOptions, "wrapper"> & { readonly env: Readonly<Record<string, string>> },
): Promise<Run> {
  const child = spawn(command, args, {
    env: { ...options.env },
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    stdio: ["pipe", "pipe", "pipe"],
    timeout: options.timeoutMs ?? COMMAND_TIMEOUT_MS,
    killSignal: "SIGKILL",
    detached: options.interruptAt !== undefined,
  });
  child.stdin.on("error", () => {});
  child.stdin.end(options.stdin);
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (chunk: string) => {
      const shown = (): boolean =>
        options.interruptAt !== undefined && text.stderr.includes(options.interruptAt);
      const before = shown();
      text[name] += chunk;
      if (!before && shown() && child.pid !== undefined) process.kill(-child.pid, "SIGINT");
    });
  }
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (signal === null) resolve({ code, ...text });
      else reject(new Error(`${command} ${args.join(" ")} was ended by ${signal}: ${text.stderr}`));
    });
  });
}

export function hasProgram(name: string): boolean {
  return ["/usr/bin", "/bin", "/usr/sbin", "/sbin"].some((folder) => existsSync(join(folder, name)));
}

interface Status {
  readonly keeperPid: number;
  readonly sidecars: readonly { readonly name: string; readonly pid: number }[];
}

/** What no command prints: the pids of a bottle's processes. */
function askKeeper(socketPath: string, tokenPath: string): Promise<Status> {
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  return new Promise((resolve, reject) => {
    let answer = "";
    socket.once("error", reject);
    socket.setEncoding("utf8").on("data", (chunk: string) => {
      answer += chunk;
    });
    socket.on("end", () => {
      socket.destroy();
      resolve((JSON.parse(answer) as { status: Status }).status);
    });
    socket.write(`${JSON.stringify({ op: "status", token: readFileSync(tokenPath, "utf8") })}\n`);
  });
}
