/**
 * A docker-compatible engine (docker, podman) by its command-line tool. Its answers are parsed; what it complains of is
 * told in its own words, made printable. What should go and is not there has gone: a teardown may be repeated.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import * as z from "zod";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { run } from "../lib/processes.ts";
import { programOnPath } from "../lib/program-on-path.ts";
import {
  ANSWER_MS,
  ask,
  complaint,
  type Engine,
  inspected,
  isPodman,
  jsonOf,
  linesOf,
  must,
} from "./call.ts";
import * as commands from "./commands.ts";

export { type Engine, isPodman } from "./call.ts";

export interface EngineInfo {
  readonly version: string;
  /** OCI runtimes by name: `runc`, `runsc`. */
  readonly runtimes: readonly string[];
  /** System calls of its containers go through a filter, unless one says otherwise. */
  readonly filtersCalls: boolean;
  /** The file with the rules of that, where there is one on this host: podman's. */
  readonly filterFile?: string;
  /** What of its containers its host lets it limit. */
  readonly limits: { readonly memory: boolean; readonly processes: boolean };
}

/** The operator's choice in `BOT_BOTTLE_ENGINE`, else docker, else podman; undefined when there is none. */
export function findEngine(env: Engine["env"] = process.env): Engine | undefined {
  const wanted = env["BOT_BOTTLE_ENGINE"];
  for (const name of wanted === undefined || wanted === "" ? ["docker", "podman"] : [wanted]) {
    const program = name.includes("/") ? name : programOnPath(name, env["PATH"] ?? "");
    if (program !== undefined) return { program, env };
  }
  return undefined;
}

const infoSchema = z.object({
  ServerVersion: z.string().optional(),
  ServerErrors: z.array(z.string()).optional(),
  Runtimes: z.record(z.string(), z.unknown()).optional(),
  SecurityOptions: z.array(z.string()).nullish(),
  MemoryLimit: z.boolean().optional(),
  PidsLimit: z.boolean().optional(),
  // podman's
  version: z.object({ Version: z.string() }).optional(),
  host: z
    .object({
      ociRuntime: z.object({ name: z.string() }),
      serviceIsRemote: z.boolean().optional(),
      security: z
        .object({ seccompEnabled: z.boolean().optional(), seccompProfilePath: z.string().optional() })
        .optional(),
      cgroupControllers: z.array(z.string()).nullish(),
    })
    .optional(),
});

/** @throws UserError when no engine answers, with its own words; the signal's reason. */
export async function engineInfo(engine: Engine, signal?: AbortSignal): Promise<EngineInfo> {
  const result = await ask(engine, commands.engineInfo(), undefined, signal);
  const parsed = infoSchema.safeParse(jsonOf(result.stdout));
  const info = parsed.success ? parsed.data : {};
  const version = info.ServerVersion ?? info.version?.Version;
  if (result.code !== 0 || version === undefined || version === "") {
    const words = info.ServerErrors?.[0] ?? (result.stderr.trim() || "it does not say why");
    throw new UserError(`no container engine answers ${engine.program}: ${printable(words)}`, {
      hint: "start it (Docker Desktop, OrbStack, or: systemctl start docker), or set DOCKER_HOST",
    });
  }
  const runtimes =
    info.Runtimes === undefined ? [info.host?.ociRuntime.name ?? ""] : Object.keys(info.Runtimes);
  const { host, SecurityOptions, MemoryLimit, PidsLimit } = info;
  const controls = (name: string): boolean => host?.cgroupControllers?.includes(name) === true;
  const { seccompEnabled, seccompProfilePath: filterFile = "" } = host?.security ?? {};
  const isHere = filterFile !== "" && seccompEnabled === true && host?.serviceIsRemote === false;
  return {
    version,
    runtimes,
    filtersCalls:
      seccompEnabled ??
      (SecurityOptions ?? []).some((each) => /^(?:name=)?seccomp\b(?!.*unconfined)/.test(each)),
    ...(isHere && { filterFile }),
    limits: {
      memory: MemoryLimit ?? controls("memory"),
      processes: PidsLimit ?? controls("pids"),
    },
  };
}

/** What docker and podman say of a thing that is not there; not of an engine whose socket is not there. */
const NO_SUCH = /no such (?!file)|not found|no container with|unable to find network|does not exist/i;
const UNDER_WAY = /already in progress/i;
const REMOVAL_PAUSE_MS = 50;
/** Of a new network whose addresses are another's: docker's words, and podman's. */
const OVERLAPS = /overlaps with|already used/i;
/** Of a network that a container is attached to. */
const IN_USE = /active endpoints|in use|being used|associated containers/i;

/** Makes it; nothing of it runs. @throws UserError */
export async function createContainer(engine: Engine, spec: commands.ContainerSpec): Promise<void> {
  await must(engine, commands.createContainer(spec, isPodman(engine)));
  // Docker fills a container's new volumes when it is made, podman when it is readied to be started.
  if (isPodman(engine)) await must(engine, commands.readyContainer(spec.name));
}

/** Starts it in the foreground; the child is the tool, and what it reads and writes is the container's. */
export function startContainer(engine: Engine, name: string): ChildProcess {
  return spawn(engine.program, commands.startContainer(name), {
    env: { ...engine.env },
    stdio: ["pipe", "pipe", "pipe"],
    // A Ctrl-C at the operator's terminal is for the keeper to act on.
    detached: true,
  });
}

/** @throws UserError */
export async function pauseContainer(engine: Engine, name: string, paused: boolean): Promise<void> {
  await must(engine, commands.pauseContainer(name, paused));
}

/** Unpacks a tar archive below `path` in the container, as root of it. @throws UserError */
export async function putArchive(
  engine: Engine,
  container: string,
  path: string,
  archive: Buffer,
): Promise<void> {
  const words = commands.putArchive(container, path, isPodman(engine));
  const result = await run([engine.program, ...words], {
    env: engine.env,
    timeoutMs: ANSWER_MS,
    stdin: archive,
  });
  if (result.code !== 0) throw complaint(engine, words, result);
}

/** A tar archive of what is at `path`; undefined when there is nothing. */
export async function getArchive(
  engine: Engine,
  container: string,
  path: string,
): Promise<Buffer | undefined> {
  const result = await ask(engine, commands.getArchive(container, path));
  return result.code === 0 ? result.stdout : undefined;
}

/** Makes it, unless it is there. @throws UserError */
export async function ensureVolume(
  engine: Engine,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<void> {
  const words = commands.createVolume(name, labels);
  const result = await ask(engine, words);
  // Docker takes the one of that name; podman says that there is one.
  if (result.code !== 0 && !/already exists/.test(result.stderr)) throw complaint(engine, words, result);
}

/** One that is not there is gone already. @throws UserError */
export async function removeVolume(engine: Engine, name: string): Promise<void> {
  const words = commands.removeVolume(name);
  const result = await ask(engine, words);
  if (result.code !== 0 && !NO_SUCH.test(result.stderr)) throw complaint(engine, words, result);
}

/** Ends it, whatever it is doing. One that is not there is gone already. @throws UserError */
export async function removeContainer(engine: Engine, name: string): Promise<void> {
  const words = commands.removeContainer(name);
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const result = await ask(engine, words);
    if (result.code === 0 || NO_SUCH.test(result.stderr)) return;
    // One that ended by itself is being removed already: until it is gone, so are not its volumes.
    if (!UNDER_WAY.test(result.stderr) || performance.now() > deadline)
      throw complaint(engine, words, result);
    await pause(REMOVAL_PAUSE_MS);
  }
}

const stateSchema = z.object({ State: z.object({ Running: z.boolean() }) });

/** False also when there is no such container. */
export async function isRunning(engine: Engine, name: string): Promise<boolean> {
  const result = await ask(engine, commands.inspect("container", name));
  const parsed = stateSchema.safeParse(inspected(result.stdout));
  return parsed.success && parsed.data.State.Running;
}

/** The host's port behind which a container's was published on the address `on`. @throws UserError */
export async function publishedPort(
  engine: Engine,
  container: string,
  { on, port }: commands.PublishedPort,
): Promise<number> {
  const { stdout } = await must(engine, commands.publishedPort(container, port));
  for (const line of stdout.toString("utf8").split("\n")) {
    const [, host, bound] = /^(.*):(\d{1,5})$/.exec(line.trim()) ?? [];
    if (host === on && bound !== undefined) return Number(bound);
  }
  throw new UserError(`port ${port} of ${container} was not published on ${on}`);
}

const networkSchema = z.object({
  Labels: z.record(z.string(), z.string()).nullish(),
  IPAM: z.object({ Config: z.array(z.object({ Subnet: z.string().optional() })).nullish() }).optional(),
  // podman's
  labels: z.record(z.string(), z.string()).nullish(),
  subnets: z.array(z.object({ subnet: z.string() })).optional(),
});

interface KnownNetwork {
  readonly labels: Readonly<Record<string, string>>;
  readonly subnets: readonly string[];
}

async function knownNetwork(engine: Engine, name: string): Promise<KnownNetwork | undefined> {
  const result = await ask(engine, commands.inspect("network", name));
  const parsed = networkSchema.safeParse(inspected(result.stdout));
  if (result.code !== 0 || !parsed.success) return undefined;
  const { Labels, labels, IPAM, subnets } = parsed.data;
  return {
    labels: Labels ?? labels ?? {},
    subnets: [
      ...(IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet ?? []),
      ...(subnets ?? []).map(({ subnet }) => subnet),
    ],
  };
}

/** Subnets of every network there is, but the one called `but`. */
export async function usedSubnets(engine: Engine, but?: string): Promise<readonly string[]> {
  const { stdout } = await must(engine, commands.listNetworks());
  const names = linesOf(stdout).filter((name) => name !== but);
  const known = await Promise.all(names.map((name) => knownNetwork(engine, name)));
  return known.flatMap((network) => network?.subnets ?? []);
}

/**
 * Makes the network, or takes the one of that name when it is ours already: labelled so, and of that subnet. Somebody
 * else's of the same name is no network of ours.
 * @returns false when another network has the subnet. @throws UserError
 */
export async function ensureNetwork(engine: Engine, spec: commands.NetworkSpec): Promise<boolean> {
  const words = commands.createNetwork(spec);
  const result = await ask(engine, words);
  if (result.code === 0) return true;
  const there = await knownNetwork(engine, spec.name);
  if (there === undefined) {
    if (OVERLAPS.test(result.stderr)) return false;
    throw complaint(engine, words, result);
  }
  const isOurs = Object.entries(spec.labels).every(([name, value]) => there.labels[name] === value);
  if (isOurs && there.subnets.includes(spec.subnet)) return true;
  throw new UserError(
    `there is a network ${spec.name} that is not ours: ${isOurs ? `its subnet is ${there.subnets.join(", ")}` : "it lacks our label"}`,
    { hint: `see what it is: ${engine.program} network inspect ${spec.name}` },
  );
}

/** One that is not there is gone already. @returns a warning when it must stay, because a container is attached. */
export async function removeNetwork(engine: Engine, name: string): Promise<string | undefined> {
  const words = commands.removeNetwork(name);
  const result = await ask(engine, words);
  if (result.code === 0) return undefined;
  if (IN_USE.test(result.stderr)) return `network ${name} stays: ${printable(result.stderr.trim())}`;
  if (NO_SUCH.test(result.stderr)) return undefined;
  throw complaint(engine, words, result);
}

/** Names of those that bear the label, `key` or `key=value`. @throws UserError */
export async function listNames(
  engine: Engine,
  kind: commands.ListedKind,
  label: string,
): Promise<readonly string[]> {
  const { stdout } = await must(engine, commands.listNames(kind, label));
  return linesOf(stdout);
}

export interface Labelled {
  readonly name: string;
  /** As the engine writes them: `a=b,c=d`, or `map[a:b c:d]`. */
  readonly labels: string;
}

/** Those of whose name `part` is a part. @throws UserError; the signal's reason. */
export async function listLabels(
  engine: Engine,
  kind: commands.ListedKind,
  part: string,
  signal?: AbortSignal,
): Promise<readonly Labelled[]> {
  const { stdout } = await must(engine, commands.listLabels(kind, part), undefined, signal);
  return linesOf(stdout).map((line) => {
    const [, name = "", labels = ""] = /^(\S*) ?(.*)$/.exec(line) ?? [];
    return { name, labels };
  });
}
