/** What this host can do for the `namespace` backend, found out by doing it. */
import { existsSync, readFileSync } from "node:fs";
import type { Availability, Lack } from "../../contract/backend.ts";
import { hostUidOf, isRoot } from "../../jail/host-uid.ts";
import type { JailSpec } from "../../jail/jail.ts";
import { countsProcesses } from "../../jail/resource-limits.ts";
import { messageOf } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { run } from "../../lib/processes.ts";
import { programOnPath } from "../../lib/program-on-path.ts";
import { limitable } from "./limits.ts";

const PROBE_TIMEOUT_MS = 5_000;

const COMMANDS = [
  { command: "unshare", remedy: "apt-get install util-linux" },
  { command: "setpriv", remedy: "apt-get install util-linux" },
  { command: "prlimit", remedy: "apt-get install util-linux" },
  { command: "mount", remedy: "apt-get install mount" },
  { command: "pivot_root", remedy: "apt-get install util-linux" },
  { command: "nsenter", remedy: "apt-get install util-linux" },
  { command: "ip", remedy: "apt-get install iproute2" },
  { command: "git", remedy: "apt-get install git" },
  { command: "tar", remedy: "apt-get install tar" },
] as const;

/** Folders of the set-up's own PATH. */
const FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** What gives a guest its system-call filter: both loaders must lie where the guest has them too. */
export function findFilter(): JailSpec["seccomp"] {
  const { arch } = process;
  if (arch !== "x64" && arch !== "arm64") return undefined;
  const loaders = [
    { kind: "bubblewrap", path: programOnPath("bwrap", FOLDERS) },
    { kind: "perl", path: programOnPath("perl", FOLDERS) },
  ] as const;
  for (const { kind, path } of loaders) if (path !== undefined) return { loader: { kind, path }, arch };
  return undefined;
}

export async function probeNamespaces(): Promise<Availability> {
  if (process.platform !== "linux") {
    return { usable: false, lacks: [{ what: "Linux", remedy: "use a Linux host, or another backend" }] };
  }
  const missing = COMMANDS.filter(({ command }) => programOnPath(command, FOLDERS) === undefined);
  if (missing.length > 0) {
    return { usable: false, lacks: missing.map(({ command, remedy }) => ({ what: command, remedy })) };
  }
  const refusal = await tryNamespaces();
  if (refusal !== undefined) return { usable: false, lacks: [refusal] };

  const filter = findFilter();
  const limits = [...new Set([...limitable(), ...(countsProcesses() ? (["pids"] as const) : [])])];
  const unlimited = (["memory", "pids", "cpu"] as const).filter((name) => !limits.includes(name));
  const lacks: Lack[] = [];
  if (filter === undefined) {
    lacks.push({
      what: "seccomp filter (without it a guest can reach vsock and your kernel keyring)",
      remedy: "apt-get install bubblewrap",
    });
  }
  if (unlimited.length > 0) {
    lacks.push({
      what: `${unlimited.join(", ")} limits (no cgroup this user may use)`,
      remedy: "start it as: systemd-run --user --scope -p Delegate=yes bottle start …",
    });
  }
  return {
    usable: true,
    isolation: "namespace",
    strength: [
      "Linux namespaces on the host's kernel",
      filter === undefined ? "no seccomp filter" : `seccomp filter by ${filter.loader.kind}`,
      limits.length === 0 ? "no resource limits" : `limits on ${limits.join(", ")}`,
    ].join("; "),
    lacks,
  };
}

/** A jail's own steps, as far as hosts differ in what they allow and in what their util-linux knows. */
const INNER = [
  ...["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps", "--"],
  ...["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--"],
  ...["env", "--ignore-signal=CHLD", "true"],
];
/** Containers often forbid the mount of proc. */
const TRIAL = 'mount -n -t proc proc /proc && exec "$@"';

async function tryNamespaces(): Promise<Lack | undefined> {
  const make = [
    ...["unshare", "--user", "--map-root-user", "--mount", "--propagation", "private", "--net", "--pid"],
    ...["--ipc", "--uts", "--fork", "--kill-child=KILL", "--", "sh", "-c", TRIAL, "trial", ...INNER],
  ];
  try {
    const uid = String(hostUidOf("probe", "guest"));
    const drop = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--"];
    const asRoot = ["unshare", "--mount", "--propagation", "private", "--", ...drop, ...make];
    const [command = "", ...args] = isRoot() ? asRoot : make;
    const result = await run([command, ...args], { timeoutMs: PROBE_TIMEOUT_MS });
    return result.code === 0 ? undefined : refusedNamespaces(printable(result.stderr.trim()));
  } catch (error) {
    return refusedNamespaces(messageOf(error));
  }
}

function refusedNamespaces(why: string): Lack {
  if (/(unrecognized|invalid|unknown|illegal) option/i.test(why))
    return { what: `util-linux 2.38 or newer (${why})`, remedy: "apt-get install util-linux coreutils" };
  return { what: `user namespaces (${why})`, remedy: namespaceRemedy() };
}

/** The three switches by which distributions forbid user namespaces, in the order they are met. */
function namespaceRemedy(): string {
  const value = (path: string): string | undefined =>
    existsSync(path) ? readFileSync(path, "utf8").trim() : undefined;
  if (value("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") === "1") {
    return "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0";
  }
  if (value("/proc/sys/kernel/unprivileged_userns_clone") === "0")
    return "sudo sysctl kernel.unprivileged_userns_clone=1";
  if (value("/proc/sys/user/max_user_namespaces") === "0")
    return "sudo sysctl user.max_user_namespaces=15000";
  return "run it on a host (or in a container) whose kernel and security policy allow user namespaces";
}
