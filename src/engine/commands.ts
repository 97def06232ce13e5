/**
 * What is said to a docker-compatible engine, as argument vectors: plain data in, words out, nothing run. No value
 * here may be secret: an argv can be read by every user of the host, and `inspect` shows it again (I2).
 */

/** Where a container is attached. `none`: a loopback and nothing else. */
export type ContainerNetwork =
  | { readonly kind: "none" }
  | { readonly kind: "named"; readonly name: string; readonly address: string };

export interface PublishedPort {
  /** Host address; the host's port is the engine's choice. */
  readonly on: string;
  readonly port: number;
}

export type ContainerMount =
  | { readonly type: "bind"; readonly from: string; readonly to: string; readonly writable: boolean }
  | { readonly type: "volume"; readonly name: string; readonly to: string; readonly writable: boolean }
  | { readonly type: "tmpfs"; readonly to: string; readonly bytes: number };

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly network: ContainerNetwork;
  readonly publish?: readonly PublishedPort[];
  readonly mounts?: readonly ContainerMount[];
  /** Not secret. */
  readonly env?: Readonly<Record<string, string>>;
  /** `uid:gid`. */
  readonly user: string;
  /** How `user` is to stand in its passwd, where the engine would write that itself. */
  readonly passwdLine?: string;
  /** Those that its first process has; none when absent. */
  readonly capabilities?: readonly string[];
  readonly hostname?: string;
  /** Lines of its hosts file: addresses by name. */
  readonly hosts?: Readonly<Record<string, string>>;
  readonly runtime?: string;
  /** With the rules for its system calls; the engine's own when absent. */
  readonly filterFile?: string;
  /** Bytes of /dev/shm. */
  readonly shmBytes?: number;
  readonly pids: number;
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** The image's own program when absent. */
  readonly argv?: readonly [string, ...string[]];
}

export interface NetworkSpec {
  readonly name: string;
  readonly subnet: string;
  readonly gateway: string;
  readonly labels: Readonly<Record<string, string>>;
}

/**
 * Makes it, to be started in the foreground with its stdin: when whoever holds that is gone, the engine closes it. With a process 1 that
 * buries orphans. Without a log of the
 * engine's own, a capability that is not named, a way to gain one, or a root that can be written to.
 */
export function createContainer(spec: ContainerSpec, podman = false): readonly string[] {
  const { network } = spec;
  return [
    ...["create", "--rm", "--init", "--interactive", "--name", spec.name],
    ...labelWords(spec.labels),
    ...(network.kind === "none"
      ? ["--network", "none"]
      : ["--network", network.name, "--ip", network.address]),
    ...(spec.publish ?? []).flatMap(({ on, port }) => ["--publish", `${on}::${port}`]),
    ...(spec.hostname === undefined ? [] : ["--hostname", spec.hostname]),
    ...Object.entries(spec.hosts ?? {}).flatMap(([name, address]) => ["--add-host", `${name}:${address}`]),
    ...(spec.runtime === undefined ? [] : ["--runtime", spec.runtime]),
    ...["--user", spec.user, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
    ...(spec.filterFile === undefined ? [] : ["--security-opt", `seccomp=${spec.filterFile}`]),
    ...(spec.capabilities ?? []).flatMap((name) => ["--cap-add", name]),
    ...["--pids-limit", String(spec.pids)],
    // Docker's own default, and not podman's: what listens on 443 in there need not be root.
    ...["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"],
    ...(spec.shmBytes === undefined ? [] : ["--shm-size", String(spec.shmBytes)]),
    // The same for both: else the rest goes to the host's swap.
    ...(spec.memoryBytes === undefined
      ? []
      : ["--memory", String(spec.memoryBytes), "--memory-swap", String(spec.memoryBytes)]),
    ...(spec.cpus === undefined ? [] : ["--cpus", String(spec.cpus)]),
    ...["--log-driver", "none", "--pull", "never"],
    // What an image wants run now and then would run beside what its bottle wants.
    "--no-healthcheck",
    // Podman writes a line for whom the image does not know, without a name.
    ...(podman && spec.passwdLine !== undefined ? ["--passwd-entry", spec.passwdLine] : []),
    ...(spec.mounts ?? []).flatMap((mount) => ["--mount", mountWord(mount)]),
    ...Object.entries(spec.env ?? {}).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
    ...(spec.argv === undefined ? [] : ["--entrypoint", spec.argv[0]]),
    ...[spec.image, ...(spec.argv?.slice(1) ?? [])],
  ];
}

function mountWord(mount: ContainerMount): string {
  switch (mount.type) {
    case "tmpfs":
      return fields("type=tmpfs", `target=${mount.to}`, `tmpfs-size=${mount.bytes}`, "tmpfs-mode=1777");
    case "volume":
      return fields("type=volume", `source=${mount.name}`, `target=${mount.to}`, ...readOnly(mount));
    case "bind":
      return fields("type=bind", `source=${mount.from}`, `target=${mount.to}`, ...readOnly(mount));
  }
}

function readOnly({ writable }: { readonly writable: boolean }): readonly string[] {
  // podman knows no `readonly` for a volume.
  return writable ? [] : ["ro"];
}

/** A mount is one line of CSV (RFC 4180): a comma in a path must not become an option. */
function fields(...values: readonly string[]): string {
  return values.map((value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value)).join(",");
}

function labelWords(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).flatMap(([name, value]) => ["--label", `${name}=${value}`]);
}

export function saveImage(name: string, path: string): readonly string[] {
  return ["save", "--output", path, name];
}

/** Exits with 0 when a shell of the image finds the program. */
export function lookFor(image: string, program: string): readonly string[] {
  return [
    ...["run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--pull", "never"],
    ...["--entrypoint", "sh", image, "-c", 'command -v "$0"', program],
  ];
}

/** In the foreground: what it reads and writes is the container's. */
export function startContainer(name: string): readonly string[] {
  return ["start", "--attach", "--interactive", name];
}

/** Stops every process of it where it is, or lets them go on. */
export function pauseContainer(name: string, paused: boolean): readonly string[] {
  return [paused ? "pause" : "unpause", name];
}

/** Podman's alone: everything but its first program is there. */
export function readyContainer(name: string): readonly string[] {
  return ["init", name];
}

/** Unpacks a tar stream from stdin below `path`, each entry with its own owner. */
export function putArchive(container: string, path: string, podman = false): readonly string[] {
  // Podman would give everything to the container's user.
  return ["cp", ...(podman ? ["--archive=false"] : []), "-", `${container}:${path}`];
}

/** Writes a tar stream of what is at `path` to stdout. */
export function getArchive(container: string, path: string): readonly string[] {
  return ["cp", `${container}:${path}`, "-"];
}

export function createVolume(name: string, labels: Readonly<Record<string, string>>): readonly string[] {
  return ["volume", "create", ...labelWords(labels), name];
}

export function removeVolume(name: string): readonly string[] {
  return ["volume", "rm", name];
}

export function removeContainer(name: string): readonly string[] {
  return ["rm", "--force", "--volumes", name];
}

/** The engine's answer has a line `127.0.0.16:49153` for each address. */
export function publishedPort(container: string, port: number): readonly string[] {
  return ["port", container, `${port}/tcp`];
}

export function createNetwork(spec: NetworkSpec): readonly string[] {
  return [
    ...["network", "create", "--driver", "bridge", "--subnet", spec.subnet, "--gateway", spec.gateway],
    ...labelWords(spec.labels),
    spec.name,
  ];
}

export function removeNetwork(name: string): readonly string[] {
  return ["network", "rm", name];
}

/** One JSON value: what the engine knows of a thing. */
export function inspect(kind: "container" | "network" | "image" | "volume", name: string): readonly string[] {
  return [kind, "inspect", "--format", "{{json .}}", name];
}

export type ListedKind = "container" | "network" | "volume";

const NAME: Readonly<Record<ListedKind, string>> = {
  container: "{{.Names}}",
  network: "{{.Name}}",
  volume: "{{.Name}}",
};

/** Names, a line each, of those that bear the label, `key` or `key=value`. */
export function listNames(kind: ListedKind, label: string): readonly string[] {
  return list(kind, `label=${label}`, NAME[kind]);
}

/** A line each of those of whose name `part` is a part: the name, a space, and its labels as the engine writes them. */
export function listLabels(kind: ListedKind, part: string): readonly string[] {
  return list(kind, `name=${part}`, `${NAME[kind]} {{.Labels}}`);
}

function list(kind: ListedKind, filter: string, format: string): readonly string[] {
  const all = kind === "container" ? ["--all"] : [];
  return [kind, "ls", ...all, "--filter", filter, "--format", format];
}

export function listNetworks(): readonly string[] {
  return ["network", "ls", "--format", "{{.Name}}"];
}

/** A JSON object: version, runtimes, architecture. */
export function engineInfo(): readonly string[] {
  return ["info", "--format", "{{json .}}"];
}

export interface BuildSpec {
  /** In the context. */
  readonly file: string;
  readonly tag: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly args: Readonly<Record<string, string>>;
}

/** From a context on its stdin, a tar stream. Of a build that fails, no container is left. */
export function buildImage(spec: BuildSpec): readonly string[] {
  return [
    ...["build", "--force-rm", "--file", spec.file, "--tag", spec.tag],
    ...labelWords(spec.labels),
    ...Object.entries(spec.args).flatMap(([name, value]) => ["--build-arg", `${name}=${value}`]),
    "-",
  ];
}

/** From an archive on its stdin. */
export function loadImages(): readonly string[] {
  return ["load"];
}

export function pullImage(name: string): readonly string[] {
  return ["pull", name];
}

/** Only its name goes while others call it something else. */
export function removeImage(name: string): readonly string[] {
  return ["image", "rm", name];
}

/** Ids, a line each. */
export function listImages(label: string): readonly string[] {
  return ["image", "ls", "--no-trunc", "--quiet", "--filter", `label=${label}`];
}

/** A JSON list. */
export function inspectImages(ids: readonly string[]): readonly string[] {
  return ["image", "inspect", ...ids];
}
