/** Private hosts on which bottles of one backend can be started, each with an operator. */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { basename } from "node:path";
import type { BackendName } from "../../src/contract/isolation.ts";
import { runOk } from "../../src/lib/processes.ts";
import {
  type BottleCli,
  type BottleCliOptions,
  createBottleCli,
  eventually,
  isRoot,
  killIfThere,
  type ManifestParts,
} from "./bottle-cli.ts";
import { cgroupsBelow, removeCgroups, removeCgroupsBelow } from "./cgroups.ts";
import { engineLack, startEngine } from "./docker-engine.ts";
import type { Fault } from "./faults.ts";
import { startPrivateHost } from "./private-host.ts";
import { installSmolvm, realSmolvm } from "./smolvm.ts";
import { VM_CACHE, vmLack } from "./vm-host.ts";

export interface BackendHost {
  readonly backend: BackendName;
  readonly cli: BottleCli;
  /** All that there is on it but the operator's files: one line for each thing. */
  look(): Promise<readonly string[]>;
  /** Who is to be killed. */
  victims(fault: Fault): readonly number[];
  /** Its guests have disks that can be copied. */
  readonly forks: boolean;
  /** Whether a thing is the disk of a bottle that is kept. */
  isKeptDisk(line: string, id: string): boolean;
  /** Starts one anew that was killed. What it has forgotten meanwhile is not looked at. */
  reviveEngine?(): Promise<void>;
  /** Ends what a killed engine has forgotten; from then on everything is looked at again. */
  endForgotten?(): Promise<void>;
  close(): Promise<void>;
}

/** A backend that can be tried here, or why not. */
export interface TriedBackend {
  readonly backend: BackendName;
  /** What is special, where a backend is tried in several ways. */
  readonly variant?: string;
  readonly lack: string | undefined;
  /** @param program the `bottle` to use, instead of the one that was built from this tree. */
  start(program?: string): Promise<BackendHost>;
  readonly faults: readonly Fault[];
  /** How many steps meet a fault, and how long a day is, where it has to be short. */
  readonly strikes: number;
  readonly daySteps: number;
}

const NO_HOST = isRoot ? undefined : "a host of the test's own is made by root";
const WITHOUT_ENGINE: readonly Fault[] = ["fail", "keeper", "command", "sidecar", "guest"];
/** Its guests have a filtered network in a namespace: it has most to leave behind. */
const SMOLVM = "0.8.0";

export const HOSTS: readonly TriedBackend[] = [
  {
    ...{ backend: "namespace", lack: NO_HOST, start: namespaceHost },
    ...{ faults: WITHOUT_ENGINE, strikes: 4, daySteps: 10 },
  },
  {
    ...{ backend: "docker", lack: NO_HOST ?? engineLack(), start: dockerHost },
    ...{ faults: [...WITHOUT_ENGINE, "engine"], strikes: 2, daySteps: 6 },
  },
  {
    ...{ backend: "qemu", lack: NO_HOST ?? (await vmLack()), start: qemuHost },
    ...{ faults: WITHOUT_ENGINE, strikes: 1, daySteps: 4 },
  },
  {
    backend: "smolmachines",
    lack: NO_HOST ?? (existsSync("/dev/kvm") ? undefined : "there is no /dev/kvm"),
    start: smolmachinesHost,
    ...{ faults: WITHOUT_ENGINE, strikes: 1, daySteps: 4 },
  },
];

/** With the sidecars in a container: what it leaves behind is an engine's and smolvm's. Long, because of both. */
export const CONTAINED: TriedBackend = {
  ...{ backend: "smolmachines", variant: "with its bundle in a container", start: containedHost },
  lack: NO_HOST ?? engineLack() ?? (existsSync("/dev/kvm") ? undefined : "there is no /dev/kvm"),
  ...{ faults: [...WITHOUT_ENGINE, "engine"], strikes: 2, daySteps: 6 },
};

/** By their arguments, on whatever backend. */
const COMMON: Partial<Record<Fault, RegExp>> = {
  keeper: /bottle\.js keeper$/,
  command: /bottle\.js (?:start|stop|resume) /,
  sidecar: /bottle\.js sidecar /,
};

function namespaceHost(program?: string): Promise<BackendHost> {
  return plainHost("namespace", { guest: /guest-init\.mjs|^cat$/, forks: false, program });
}

function qemuHost(program?: string): Promise<BackendHost> {
  const env = { BOT_BOTTLE_CACHE: VM_CACHE };
  return plainHost("qemu", { guest: MACHINE, forks: true, program, env });
}

/** With the stand-in, unless there is a real one. */
async function smolmachinesHost(program?: string): Promise<BackendHost> {
  return withSmolvm(SMOLVM, (env) =>
    plainHost("smolmachines", { guest: STAND_IN, forks: false, program, env }),
  );
}

/** One without a network: the container is led to by sockets. */
function containedHost(program?: string): Promise<BackendHost> {
  return withSmolvm("1.9.3", (env) =>
    engineHost("smolmachines", { guest: STAND_IN, program, env, bottle: { bundle: "container" } }),
  );
}

async function withSmolvm(
  version: string,
  start: (env: Readonly<Record<string, string>>) => Promise<BackendHost>,
): Promise<BackendHost> {
  const folder = mkdtempSync("/var/tmp/bbv-");
  const PATH =
    realSmolvm() === undefined
      ? `${installSmolvm(folder, version)}:${process.env["PATH"]}`
      : process.env["PATH"];
  const host = await start({ PATH: PATH ?? "" });
  return {
    ...host,
    async close() {
      await host.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** Where everything of a bottle's is the operator's or the kernel's. */
async function plainHost(
  backend: BackendName,
  options: {
    readonly guest: RegExp;
    readonly forks: boolean;
    readonly program: string | undefined;
    readonly env?: Readonly<Record<string, string>>;
  },
): Promise<BackendHost> {
  const { guest, forks, program, env } = options;
  const host = await startPrivateHost();
  const cli = createOperator(backend, {
    words: host.words,
    ...(program !== undefined && { program }),
    ...(env !== undefined && { env }),
  });
  return {
    backend,
    forks,
    cli,
    look: host.look,
    victims: (fault) => matching(cli, host.processes(), { ...COMMON, guest }[fault]),
    isKeptDisk: () => false,
    async close() {
      await host.close();
      await cli.remove();
    },
  };
}

function dockerHost(program?: string): Promise<BackendHost> {
  return engineHost("docker", { guest: /guest-channel\.mjs/, program });
}

/** The emulator itself: it runs on when a shell is killed that only waits for its end. */
const MACHINE = /^\S*qemu-system-/;
/** Not what stands for the threads of the stand-in's machine. */
const STAND_IN = /^(?!.*processors\.pl).*_boot-vm/;

/**
 * The engine's own process beside each container, and where it listens. Only an engine that is killed while it removes
 * a container may forget them, and nobody could make good for it: they are its own.
 */
const SHIM = /\bcontainerd-shim-runc-v2 -namespace moby |\/run\/containerd\/s\/[0-9a-f]{64}$/;

/** The group that an engine makes for a container: one that is killed between the two never knew of it. */
const CONTAINER_GROUP = /\/[0-9a-f]{64}$/;

/** With an engine of its own. */
async function engineHost(
  backend: BackendName,
  options: {
    readonly guest: RegExp;
    readonly program: string | undefined;
    readonly env?: Readonly<Record<string, string>>;
    readonly bottle?: ManifestParts["bottle"];
  },
): Promise<BackendHost> {
  const { guest, program, bottle } = options;
  // An engine knows its own way to the machine's groups.
  const cgroups = `bbd-${randomBytes(4).toString("hex")}`;
  const host = await startPrivateHost({ sharesCgroups: true });
  const engine = await startEngine({ words: host.words("/"), cgroups });
  const env = {
    ...{ DOCKER_HOST: engine.env["DOCKER_HOST"] ?? "", BOT_BOTTLE_IMAGE_BASE: engine.base },
    ...options.env,
  };
  const given = { words: host.words, env, ...(program !== undefined && { program }) };
  const cli = createOperator(backend, given, bottle);
  const names = async (kind: string, ...words: readonly string[]): Promise<readonly string[]> =>
    (await runOk(["docker", kind, "ls", ...words], { env: engine.env })).stdout
      .toString()
      .split("\n")
      .filter((name) => name !== "")
      .map((name) => `${kind} ${name}`);
  let mayHaveForgotten = false;
  return {
    backend,
    forks: false,
    cli,
    look: async () => [
      // The engine's own, which has another name each time it starts.
      ...cgroupsBelow(cgroups)
        .filter((name) => !mayHaveForgotten || !CONTAINER_GROUP.test(name))
        .map((name) => `cgroup ${name}`),
      ...(await host.look())
        .filter((line) => !mayHaveForgotten || !SHIM.test(line))
        .map((line) => line.replace(/(?<=\/libnetwork\/)[0-9a-f]+(?=\.sock$)/, "*")),
      ...(await names("container", "--all", "--format", "{{.Names}}")),
      ...(await names("network", "--format", "{{.Name}}")),
      ...(await names("volume", "--format", "{{.Name}}")),
      ...(await names("image", "--all", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}")),
    ],
    victims: (fault) =>
      fault === "engine" ? engine.processes() : matching(cli, host.processes(), { ...COMMON, guest }[fault]),
    isKeptDisk: (line, id) => line === `+ volume bot-bottle-${id}-home`,
    async reviveEngine() {
      mayHaveForgotten = true;
      await engine.revive();
    },
    async endForgotten() {
      const shims = (): readonly number[] => matching(cli, host.processes(), SHIM);
      for (const pid of shims()) killIfThere(pid);
      await eventually("the end of what the engine forgot", () => (shims().length === 0 ? true : undefined));
      const known = await names("container", "--all", "--quiet", "--no-trunc");
      const forgotten = cgroupsBelow(cgroups)
        .map((name) => basename(name))
        .filter((id) => CONTAINER_GROUP.test(`/${id}`) && !known.includes(`container ${id}`));
      removeCgroupsBelow(cgroups, new Set(forgotten));
      mayHaveForgotten = false;
    },
    async close() {
      await cli.run(["rm", "--force", ...cli.kept()]);
      await engine.close();
      await host.close();
      removeCgroups(cgroups);
      await cli.remove();
    },
  };
}

function matching(
  cli: BottleCli,
  processes: readonly number[],
  pattern: RegExp | undefined,
): readonly number[] {
  return pattern === undefined ? [] : processes.filter((pid) => pattern.test(cli.commandOf(pid)));
}

/** With an agent that has every service, and waits. */
function createOperator(
  backend: BackendName,
  options: BottleCliOptions,
  bottle: ManifestParts["bottle"] = {},
): BottleCli {
  const cli = createBottleCli(options);
  const key = cli.path("u/key");
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", key]);
  cli.agent("day", ["sh", "-c"], { bottle: { backend, ...bottle } });
  cli.agent("struck", ["sleep", "600"], {
    bottle: {
      ...{ backend, ...bottle },
      supervise: true,
      "git-gate": {
        repos: {
          app: {
            url: "ssh://git@127.0.0.1:2/app.git",
            key,
            // Nobody is there to have it.
            host_key: readFileSync(`${key}.pub`, "utf8").split(" ").slice(0, 2).join(" "),
          },
        },
      },
    },
  });
  return cli;
}
