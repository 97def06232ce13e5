/**
 * A real docker engine for one test file: started by it, with its own state, leaving none of its own behind and nobody
 * else's touched. Its base image is made of Debian's packages and this very node, because none can be pulled.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { accessSync, constants, existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Engine, engineInfo } from "../../src/engine/engine.ts";
import { exited, run, runOk } from "../../src/lib/processes.ts";
import { removeTree } from "../../src/lib/remove-tree.ts";

/** What a bottle's programs and its sidecars need. */
const PACKAGES = ["git", "openssh-client", "ca-certificates", "procps", "curl"];
const UP_MS = 30_000;
const CLEAR_MS = 15_000;

export interface TestEngine extends Engine {
  /** Of the base image. */
  readonly base: string;
  /** Its processes, without those of containers. */
  processes(): readonly number[];
  /** Starts it again where it was killed. */
  revive(): Promise<void>;
  close(): Promise<void>;
}

/** Whether this machine can run one: root, with dockerd and mmdebstrap. Why not, when it cannot. */
export function engineLack(): string | undefined {
  if (process.getuid?.() !== 0) return "an engine of the tests' own is started by root";
  for (const program of ["dockerd", "mmdebstrap"]) {
    if (!hasProgram(program)) return `${program} is not installed`;
  }
  return undefined;
}

export function hasProgram(
  name: string,
  folders: readonly string[] = (process.env["PATH"] ?? "").split(":"),
): boolean {
  return folders.some((folder) => canRun(join(folder, name)));
}

function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Why it cannot run guests on gVisor. */
export function gvisorLack(): string | undefined {
  return engineLack() ?? (hasProgram("runsc") ? undefined : "runsc is not installed");
}

/** How an operator registers it: its own network is of no use here, and sockets in a volume are the link. */
const RUNSC = { path: "runsc", runtimeArgs: ["--network=none", "--platform=systrap", "--host-uds=open"] };

/**
 * @param options.gvisor with runsc registered, which guests then run on.
 * @param options.words what comes before its command line, to have it run elsewhere.
 * @param options.cgroups below which name its containers' groups are.
 * @param options.ownRules with the rules that it makes by default, for its own bridge: of a host of the test's own.
 */
export async function startEngine(
  options: {
    readonly gvisor?: boolean;
    readonly words?: readonly string[];
    readonly cgroups?: string;
    readonly ownRules?: boolean;
  } = {},
): Promise<TestEngine> {
  const there = (...argv: readonly [string, ...string[]]): [string, ...string[]] => {
    const [program = "", ...args] = [...(options.words ?? []), ...argv];
    return [program, ...args];
  };
  // Not in /tmp: whoever looks through that for what a bottle left there would read whole images.
  const folder = await mkdtemp("/var/lib/bbd-");
  const socket = join(folder, "sock");
  const config = join(folder, "daemon.json");
  await writeFile(config, JSON.stringify(options.gvisor === true ? { runtimes: { runsc: RUNSC } } : {}));
  const bridge = `bb${randomBytes(4).toString("hex")}`;
  await runOk(there("ip", "link", "add", "name", bridge, "type", "bridge"));
  await runOk(there("ip", "address", "add", `172.29.${randomInt(256)}.1/24`, "dev", bridge));
  const words = [
    ...["--data-root", join(folder, "data"), "--exec-root", join(folder, "exec")],
    ...["--config-file", config],
    ...["--pidfile", join(folder, "pid"), "--host", `unix://${socket}`],
    ...(options.cgroups === undefined ? [] : ["--cgroup-parent", `/${options.cgroups}`]),
    // Nothing of the host's own network is changed: ports are published by the engine's own proxy. Without a bridge of
    // its own it would take the one that another engine made, or away from it.
    ...["--bridge", bridge],
    ...(options.ownRules === true ? [] : ["--iptables=false", "--ip-masq=false", "--ip-forward=false"]),
  ];
  const env = { ...process.env, DOCKER_HOST: `unix://${socket}` };
  const engine: Engine = { program: "docker", env };
  const processes = (): readonly number[] => processesNaming(folder, /^(?:dockerd|containerd)$/);
  const launch = async (): Promise<ChildProcess> => {
    const [program, ...args] = there("dockerd", ...words);
    const started = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"], detached: true });
    let said = "";
    started.stderr.on("data", (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-4_000);
    });
    const deadline = Date.now() + UP_MS;
    while (!existsSync(socket) || !(await answers(engine))) {
      if (started.exitCode !== null || Date.now() > deadline)
        throw new Error(`dockerd does not come up: ${said}`);
      await pause(100);
    }
    return started;
  };
  let daemon: ChildProcess | undefined;
  /** What a failed test left: a network's bridge would outlive the engine. One that does not answer cannot be asked. */
  const clear = async (): Promise<void> => {
    const ask = (...argv: readonly string[]) =>
      run(["docker", ...argv], { env, timeoutMs: CLEAR_MS }).catch(() => undefined);
    const left = (await ask("ps", "--all", "--quiet"))?.stdout.toString().split("\n") ?? [];
    for (const id of left) if (id !== "") await ask("rm", "--force", id);
    await ask("network", "prune", "--force");
  };
  const close = async (): Promise<void> => {
    if (daemon !== undefined && daemon.exitCode === null) await clear();
    // Whatever it was started by does not pass a signal on.
    for (const pid of processesNaming(folder, /^dockerd$/)) process.kill(pid, "SIGTERM");
    if (daemon !== undefined) await exited(daemon);
    await runOk(there("ip", "link", "delete", bridge));
    await unmountBelow(folder);
    await removeTree(folder);
  };
  try {
    daemon = await launch();
    const base = "test-base:latest";
    await runOk(
      ["docker", "import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", await baseArchive(), base],
      {
        env,
      },
    );
    return {
      ...{ ...engine, env: { ...env, BOT_BOTTLE_IMAGE_BASE: base }, base, close, processes },
      async revive() {
        if (daemon !== undefined) await exited(daemon);
        daemon = await launch();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** What of its environment says which engine it is; the rest is whoever started it's. */
export function engineVariables({ env }: Pick<TestEngine, "env">): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      value !== undefined && /^(?:DOCKER_HOST$|CONTAINERS_|BOT_BOTTLE_(?:ENGINE|IMAGE_BASE)$)/.test(name)
        ? [[name, value]]
        : [],
    ),
  );
}

async function answers(engine: Engine): Promise<boolean> {
  return engineInfo(engine).then(
    () => true,
    () => false,
  );
}

/** Programs of this name that have the folder among their arguments. */
function processesNaming(folder: string, program: RegExp): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const [name = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
        return program.test(basename(name)) && args.some((each) => each.startsWith(`${folder}/`));
      } catch {
        return false;
      }
    });
}

/** What an engine that was killed has left mounted. */
export async function unmountBelow(folder: string): Promise<void> {
  const mounted = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${folder}/`));
  for (const path of mounted.reverse()) await runOk(["umount", "-l", path]).catch(() => {});
}

/** Made once for all test files of a day; half a minute. */
export async function baseArchive(): Promise<string> {
  const key = createHash("sha256")
    .update(`${PACKAGES.join()} ${process.version} ${process.arch}`)
    .digest("hex");
  const folder = join(tmpdir(), "bot-bottle-test-images");
  const archive = join(folder, `${key.slice(0, 16)}.tar`);
  if (existsSync(archive)) return archive;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const draft = join(folder, `${process.pid}.tar`);
  try {
    const exclude = ["man", "doc", "locale"].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`);
    await runOk(
      [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        `--include=${PACKAGES.join()}`,
        ...exclude,
        codename(),
        draft,
      ],
      { timeoutMs: 300_000 },
    );
    await runOk([
      ...(["tar", "--owner=0", "--group=0", "--transform", "s,.*,usr/local/bin/node,"] as const),
      ...["-P", "-rf", draft, process.execPath],
    ]);
    await rename(draft, archive);
    return archive;
  } finally {
    await rm(draft, { force: true });
  }
}

function codename(): string {
  return /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "stable";
}
