/** Groups of processes, which every namespace shares: of a host or an engine of a test's own, below one name. */
import { existsSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { basename, join } from "node:path";

const ROOT = "/sys/fs/cgroup";

/** Each by its hierarchy and its place below the name; without the folders of that name themselves. */
export function cgroupsBelow(name: string): readonly string[] {
  return tops(name).flatMap(([hierarchy, top]) =>
    below(top).map((path) => `${hierarchy}${path.slice(top.length)}`),
  );
}

/** Those that no process is in any more. */
export function removeCgroups(name: string): void {
  for (const [, top] of tops(name)) for (const path of [...below(top).toReversed(), top]) rmdirSync(path);
}

/** Of those below the name the named ones, which no process may be in. */
export function removeCgroupsBelow(name: string, names: ReadonlySet<string>): void {
  const paths = tops(name).flatMap(([, top]) => below(top).toReversed());
  for (const path of paths) if (names.has(basename(path))) rmdirSync(path);
}

export interface KernelLimits {
  /** Bytes. */
  readonly memory: number;
  readonly processes: number;
  readonly cpus: number;
}

/** What the kernel lets the groups have that the process is in; NaN for what it does not bound. */
export function limitsOf(pid: number): KernelLimits {
  const groups = readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n");
  const setting = (controller: string, v1: string, v2: string): string => {
    const own = groups.find((line) => line.split(":")[1]?.split(",").includes(controller));
    const [, names = "", path = ""] = (own ?? groups.find((line) => line.startsWith("0::")) ?? "").split(":");
    return readFileSync(join(ROOT, names, path, own === undefined ? v2 : v1), "utf8").trim();
  };
  const [quota = "", period] = setting("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ");
  return {
    memory: Number(setting("memory", "memory.limit_in_bytes", "memory.max")),
    processes: Number(setting("pids", "pids.max", "pids.max")),
    cpus: Number(quota) / Number(period ?? setting("cpu", "cpu.cfs_period_us", "cpu.max")),
  };
}

function tops(name: string): readonly (readonly [string, string])[] {
  if (!existsSync(ROOT)) return [];
  return ["", ...readdirSync(ROOT)]
    .map((hierarchy) => [hierarchy, join(ROOT, hierarchy, name)] as const)
    .filter(([, top]) => existsSync(top));
}

/** Folders before what is in them. */
function below(folder: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(folder, entry.name))
    .flatMap((path) => [path, ...below(path)]);
}
