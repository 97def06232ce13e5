/**
 * A real agent product outside of any bottle: what its provider puts into a guest goes into a temporary
 * home, what it mounts is linked there, and an unprivileged user runs it with nothing else in its
 * environment. (As root Claude Code refuses to run without permission prompts.)
 */
import { chown, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { spawn as spawnPty } from "@lydell/node-pty";
import { GUEST } from "../../src/contract/backend.ts";
import type { PlannedFile } from "../../src/contract/plan.ts";
import type { Provider, ProviderSetup } from "../../src/contract/provider.ts";
import { cacheOf } from "../../src/lib/paths.ts";
import { type RunResult, run, runOk } from "../../src/lib/processes.ts";
import { caEnvironment } from "../../src/provision/ca-environment.ts";

/** "nobody" wherever there is one; any uid but root's would do. */
const UNPRIVILEGED = 65_534;

export interface AgentGuestOptions {
  readonly provider: Provider;
  readonly setup: ProviderSetup;
  readonly placeholder: Readonly<Record<string, string>>;
  readonly proxy: string;
  readonly caFile: string;
  /** Leaves out some of the provider's files. */
  readonly keep?: (file: PlannedFile) => boolean;
  /** Files of the workspace, by relative path. */
  readonly workspace?: Readonly<Record<string, string>>;
}

export interface AgentGuest {
  readonly workspace: string;
  /** Runs guest argv to its end, without a terminal. */
  run(argv: readonly string[]): Promise<RunResult>;
  /** Runs guest argv on a terminal. */
  open(argv: readonly string[]): Terminal;
  remove(): Promise<void>;
}

export interface Terminal {
  /** Resolves once everything shown so far contains `text`, blanks aside; throws when the program ended first. */
  shows(text: string): Promise<void>;
  /** Everything shown so far, without control sequences and blanks. */
  shown(): string;
  /** Types a task and enters it; resolves once `answer` is shown. */
  ask(task: string, answer: string): Promise<void>;
  close(): Promise<void>;
}

/** Programs take what comes at once for pasted, an Enter just behind it too: it begins a line, and the next one enters. */
const ENTER_AGAIN_MS = 3_000;

export async function makeAgentGuest(options: AgentGuestOptions): Promise<AgentGuest> {
  const [mount] = await options.provider.install(cacheOf(), (text) => process.stderr.write(`${text}\n`));
  if (mount === undefined) throw new Error(`${options.provider.name} mounts nothing`);
  const root = await mkdtemp(join(tmpdir(), "agent-guest-"));
  const home = join(root, "home");
  const workspace = join(home, "workspace");
  const mounted = join(root, "mounted");
  const here = (text: string): string =>
    text.replaceAll(GUEST.home, home).replaceAll(`${mount.to}/`, `${mounted}/`);

  await linkOrCopy(mount.from, mounted);
  await put(join(workspace, ".keep"), "", 0o644);
  for (const [path, content] of Object.entries(options.workspace ?? {})) {
    await put(join(workspace, path), content, 0o644);
  }
  for (const file of options.setup.files.filter(options.keep ?? (() => true))) {
    await put(here(file.path), here(file.content), file.mode);
  }
  const user = await unprivileged(root);
  const env = {
    HOME: home,
    PATH: "/usr/local/bin:/usr/bin:/bin",
    SHELL: "/bin/sh",
    LANG: "C.UTF-8",
    TERM: "xterm-256color",
    // Else it leaves a folder in /tmp behind.
    CLAUDE_CODE_TMPDIR: home,
    HTTPS_PROXY: options.proxy,
    HTTP_PROXY: options.proxy,
    ...caEnvironment({ ca: options.caFile, bundle: options.caFile }),
    ...options.setup.env,
    ...options.placeholder,
  };
  const commandLine = (argv: readonly string[]) => [...user, ...argv.map(here)] as [string, ...string[]];
  return {
    workspace,
    run: (argv) => run(commandLine(argv), { cwd: workspace, env }),
    open: (argv) => openTerminal(commandLine(argv), workspace, env),
    remove: () => rm(root, { recursive: true, force: true }),
  };
}

async function put(path: string, content: string, mode: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content, { mode });
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  await runOk(["cp", "-alT", from, to]).catch(() => runOk(["cp", "-aT", from, to]));
}

/** Gives everything below `root` to the unprivileged user, and says what to put before an argv. */
async function unprivileged(root: string): Promise<readonly string[]> {
  if (process.getuid?.() !== 0) return [];
  const owner = `${UNPRIVILEGED}:${UNPRIVILEGED}`;
  await chown(root, UNPRIVILEGED, UNPRIVILEGED);
  // Never follows a link, and never touches the linked binary, which the cache shares.
  const given = await run(["chown", "-R", "-P", "--no-dereference", owner, join(root, "home")]);
  if (given.code !== 0) throw new Error(given.stderr);
  return ["setpriv", `--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, "--clear-groups"];
}

function openTerminal(
  [file, ...args]: readonly [string, ...string[]],
  cwd: string,
  env: Record<string, string>,
): Terminal {
  const pty = spawnPty(file, args, { cols: 120, rows: 40, cwd, env });
  let shown = "";
  let ended = false;
  const listeners = new Set<() => void>();
  const notify = (): void => {
    for (const listener of listeners) listener();
  };
  pty.onData((data) => {
    shown += data;
    notify();
  });
  const exit = new Promise<void>((resolve) => {
    pty.onExit(() => {
      ended = true;
      notify();
      resolve();
    });
  });
  const shows = (text: string): Promise<void> => {
    const wanted = text.replace(/\s/g, "");
    return new Promise((resolve, reject) => {
      const check = (): void => {
        const found = withoutControls(shown).includes(wanted);
        if (!found && !ended) return;
        listeners.delete(check);
        if (found) resolve();
        else reject(new Error(`ended without showing "${text}": ${withoutControls(shown)}`));
      };
      listeners.add(check);
      check();
    });
  };
  return {
    shown: () => withoutControls(shown),
    shows,
    async ask(task, answer) {
      pty.write(task);
      await shows(task);
      const enter = (): void => pty.write("\r");
      enter();
      const again = setInterval(enter, ENTER_AGAIN_MS);
      await shows(answer).finally(() => clearInterval(again));
    },
    async close() {
      if (!ended) pty.kill("SIGKILL");
      await exit;
    },
  };
}

/** Programs move the cursor where others print a blank, so blanks say nothing. */
function withoutControls(text: string): string {
  return text
    .replace(/\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)/g, "")
    .replace(/\x1b[P_^][^\x1b]*\x1b\\/g, "")
    .replace(/\x1b\[[0-9;:?<>=!]*[ -/]*[@-~]/g, "")
    .replace(/\x1b[ -/]*[0-~]/g, "")
    .replace(/[\s\x00-\x1f]/g, "");
}
