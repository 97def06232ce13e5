/** A gate in this process, upstreams of every kind, and git clients as an agent has them. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import {
  DEFAULT_GIT_LIMITS,
  defaultRefRules,
  type GitGateConfig,
  type GitGatePolicy,
  type GitRepoPolicy,
  type GitUpstream,
} from "../../src/contract/git-gate.ts";
import type { FromSidecar } from "../../src/contract/sidecar.ts";
import { type Gate, startGate } from "../../src/sidecars/git-gate/gate.ts";

export const BOTTLE = "coder-ab1cd";
/** The only branches that a bottle may push by default begin so. */
export const OWN = `refs/heads/bottle/${BOTTLE}`;

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, in an environment without anybody's configuration. */
export function run(
  argv: readonly string[],
  options: { cwd?: string; env?: Record<string, string>; input?: string | Buffer } = {},
): Promise<Ran> {
  const [command = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: { ...CLEAN, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("latin1").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? -1, stdout, stderr }));
  });
}

const CLEAN = {
  PATH: process.env["PATH"] ?? "",
  HOME: "/nonexistent",
  LC_ALL: "C",
  GIT_CONFIG_NOSYSTEM: "1",
  GIT_CONFIG_GLOBAL: "/dev/null",
  GIT_TERMINAL_PROMPT: "0",
  GIT_AUTHOR_NAME: "Agent",
  GIT_AUTHOR_EMAIL: "agent@bottle.example",
  GIT_COMMITTER_NAME: "Agent",
  GIT_COMMITTER_EMAIL: "agent@bottle.example",
};

export async function must(
  argv: readonly string[],
  options: Parameters<typeof run>[1] = {},
): Promise<string> {
  const { code, stdout, stderr } = await run(argv, options);
  if (code !== 0) throw new Error(`${argv.join(" ")} exited ${code}: ${stderr}`);
  return stdout.trim();
}

/** A working copy, and what an agent does in it. */
export interface WorkingCopy {
  readonly folder: string;
  git(...args: string[]): Promise<string>;
  /** Like git, but how it ended is the caller's business. */
  try(...args: string[]): Promise<Ran>;
  write(path: string, content: string | Buffer): void;
  /** Writes files, commits all there is, and says which commit it is. */
  commit(files: Record<string, string | Buffer>, message?: string): Promise<string>;
  /** Pushes HEAD to a branch of the bottle's own. */
  push(branch?: string, ...options: string[]): Promise<Ran>;
}

export function workingCopy(folder: string): WorkingCopy {
  const git = (...args: string[]): Promise<string> => must(["git", ...args], { cwd: folder });
  const write = (path: string, content: string | Buffer): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  };
  return {
    folder,
    git,
    write,
    try: (...args) => run(["git", ...args], { cwd: folder }),
    async commit(files, message = "work") {
      for (const [path, content] of Object.entries(files)) write(path, content);
      await git("add", "-A", "-f");
      await git("commit", "-q", "--allow-empty", "-m", message);
      return await git("rev-parse", "HEAD");
    },
    push: (branch = "work", ...options) =>
      run(["git", "push", ...options, "origin", `HEAD:${OWN}/${branch}`], { cwd: folder }),
  };
}

export interface GateSite {
  readonly folder: string;
  readonly gate: Gate;
  readonly url: string;
  readonly config: GitGateConfig;
  readonly messages: FromSidecar[];
  events(name: string): Record<string, unknown>[];
  clone(options?: string[], repo?: string): Promise<WorkingCopy>;
  reload(change: Partial<GitGatePolicy>, repo?: Partial<GitRepoPolicy>): Promise<void>;
  close(): Promise<void>;
}

export interface SiteOptions {
  readonly upstream: GitUpstream;
  readonly repo?: Partial<GitRepoPolicy>;
  readonly policy?: Partial<GitGatePolicy>;
  readonly config?: Partial<GitGateConfig>;
  /** The keeper's writing of what is recorded before it happens. */
  readonly recording?: (event: string) => Promise<void>;
  /** Reused, when a gate is started again. */
  readonly folder?: string;
}

export function repoPolicy(change: Partial<GitRepoPolicy> = {}): GitRepoPolicy {
  return {
    refs: defaultRefRules(BOTTLE),
    paths: { only: [], lift: [] },
    limits: DEFAULT_GIT_LIMITS,
    review: false,
    ...change,
  };
}

export function siteConfig(folder: string, options: SiteOptions): GitGateConfig {
  return {
    bottle: BOTTLE,
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    stateDir: join(folder, "state"),
    runtimeDir: join(folder, "run"),
    repos: [{ name: "app", spellings: [], upstream: options.upstream }],
    policy: {
      repos: { app: repoPolicy(options.repo) },
      exceptions: [],
      known: [],
      rules: [],
      ...options.policy,
    },
    fingerprintKey: Buffer.alloc(32, 9).toString("base64"),
    ...options.config,
  };
}

const folders: string[] = [];
process.once("exit", () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** It goes with the process. */
export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "gg-"));
  folders.push(folder);
  return folder;
}

export async function startSite(options: SiteOptions): Promise<GateSite> {
  const folder = options.folder ?? newFolder();
  const messages: FromSidecar[] = [];
  const config = siteConfig(folder, options);
  const gate = await startGate(config, {
    emit: (message) => messages.push(message),
    async record(event, data) {
      await options.recording?.(event);
      messages.push({ type: "event", event, data: { ...data } });
    },
    onLost: (text) => messages.push({ type: "log", level: "error", text }),
  });
  const url = `http://${gate.listening[0]}`;
  let copies = 0;
  return {
    folder,
    gate,
    url,
    config,
    messages,
    events: (name) =>
      messages.flatMap((message) =>
        message.type === "event" && message.event === name ? [message.data] : [],
      ),
    async clone(args = [], repo = "app") {
      copies += 1;
      const target = join(folder, `copy-${copies}`);
      await must(["git", "clone", "-q", ...args, `${url}/${repo}.git`, target]);
      return workingCopy(target);
    },
    reload: (change, repo = {}) =>
      gate.reload({ ...config.policy, repos: { app: { ...repoPolicy(options.repo), ...repo } }, ...change }),
    async close() {
      gate.stop();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** A bare repository with one commit on `main`. */
export async function bareUpstream(folder = newFolder()): Promise<string> {
  const bare = join(folder, "upstream.git");
  await must(["git", "init", "-q", "--bare", "-b", "main", bare]);
  const seed = join(folder, "seed");
  await must(["git", "init", "-q", "-b", "main", seed]);
  const copy = workingCopy(seed);
  await copy.commit({ "README.md": "# app\n", "src/main.ts": "export {};\n" }, "begin");
  await copy.git("push", "-q", bare, "main");
  return bare;
}

/** Everything a repository holds: all refs, and all objects, reachable or not. */
export async function snapshot(bare: string): Promise<string> {
  const refs = await must(["git", "--git-dir", bare, "for-each-ref"]);
  const head = await must(["git", "--git-dir", bare, "symbolic-ref", "HEAD"]);
  const objects = await must(["git", "--git-dir", bare, "cat-file", "--batch-all-objects", "--batch-check"]);
  return [head, refs, objects.split("\n").sort().join("\n")].join("\n--\n");
}

/** A forge's token of the kind that people paste. */
export const TOKEN = ["ghp_", "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"].join("");
