/**
 * Memory, process and processor limits by cgroup, v1 or v2, wherever this process may make one. A host that
 * gives none (an ordinary login session, say) is reported by the probe; nothing pretends to limit.
 */
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { codeOf } from "../../lib/errors.ts";
import type { Scope } from "../../lib/scope.ts";

const CGROUP_ROOT = "/sys/fs/cgroup";
const CONTROLLERS = ["memory", "pids", "cpu"] as const;
type Controller = (typeof CONTROLLERS)[number];

/** Length of the period in which a share of the processors is granted, in microseconds (the kernel's default). */
const CPU_PERIOD_US = 100_000;

export interface Limits {
  readonly memoryBytes?: number;
  readonly cpus?: number;
  readonly pids: number;
}

interface Hierarchy {
  readonly version: 1 | 2;
  /** A directory in which a group may be made. */
  readonly parent: string;
  readonly controllers: readonly Controller[];
}

/** The directories in which this process may make groups, found by looking and not by trying. */
function hierarchies(): readonly Hierarchy[] {
  const found: Hierarchy[] = [];
  // Absent on other systems, and of a kernel without cgroups.
  const own = existsSync("/proc/self/cgroup") ? readFileSync("/proc/self/cgroup", "utf8").trim() : "";
  for (const line of own.split("\n").filter((text) => text !== "")) {
    const [, names = "", path = ""] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (names === "") {
      const mount = existsSync(join(CGROUP_ROOT, "cgroup.controllers"))
        ? CGROUP_ROOT
        : join(CGROUP_ROOT, "unified");
      const group = delegatedAncestor(mount, path);
      if (group !== undefined) {
        const enabled = readFileSync(join(group, "cgroup.subtree_control"), "utf8").trim().split(" ");
        found.push({
          version: 2,
          parent: group,
          controllers: CONTROLLERS.filter((name) => enabled.includes(name)),
        });
      }
      continue;
    }
    const controllers = CONTROLLERS.filter((name) => names.split(",").includes(name));
    const mount = join(CGROUP_ROOT, names);
    if (controllers.length > 0 && isWritable(mount)) found.push({ version: 1, parent: mount, controllers });
  }
  return found.filter(({ controllers }) => controllers.length > 0);
}

/** The nearest ancestor that hands controllers down and in which this user may make groups. */
function delegatedAncestor(mount: string, path: string): string | undefined {
  for (let at = join(mount, path); at.startsWith(mount); at = dirname(at)) {
    const control = join(at, "cgroup.subtree_control");
    if (existsSync(control) && readFileSync(control, "utf8").trim() !== "" && isWritable(at)) return at;
    if (at === mount) break;
  }
  return undefined;
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** Which of the three can be limited here. */
export function limitable(): readonly Controller[] {
  return [...new Set(hierarchies().flatMap(({ controllers }) => controllers))];
}

function settings(
  { version }: Hierarchy,
  limits: Limits,
): readonly (readonly [Controller, string, string])[] {
  const { memoryBytes, cpus, pids } = limits;
  const quota = cpus === undefined ? undefined : Math.round(cpus * CPU_PERIOD_US);
  const v2 = version === 2;
  const rows: readonly (readonly [Controller, string, string | undefined])[] = [
    ["memory", v2 ? "memory.max" : "memory.limit_in_bytes", memoryBytes?.toString()],
    // Else the rest goes to the host's swap. Not every kernel counts it.
    [
      "memory",
      v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes",
      memoryBytes === undefined || !v2 ? memoryBytes?.toString() : "0",
    ],
    ["pids", "pids.max", String(pids)],
    [
      "cpu",
      v2 ? "cpu.max" : "cpu.cfs_quota_us",
      v2 && quota ? `${quota} ${CPU_PERIOD_US}` : quota?.toString(),
    ],
  ];
  return rows.filter((row): row is readonly [Controller, string, string] => row[2] !== undefined);
}

/**
 * Makes the bottle's groups with their limits; they go when the scope does, so make them before what is put
 * into them.
 * @returns a function that puts a process, and whatever it starts from then on, under the limits.
 */
export async function makeLimits(
  name: string,
  limits: Limits,
  scope: Scope,
): Promise<(pid: number) => Promise<void>> {
  const groups: string[] = [];
  for (const hierarchy of hierarchies()) {
    const group = join(hierarchy.parent, name);
    await tolerant(async () => {
      await mkdir(group, { recursive: true });
      scope.defer(`cgroup ${group}`, () => removeGroup(group));
      for (const [controller, file, value] of settings(hierarchy, limits)) {
        const setting = join(group, file);
        if (hierarchy.controllers.includes(controller) && existsSync(setting)) writeFileSync(setting, value);
      }
      groups.push(group);
    });
  }
  return async (pid) => {
    for (const group of groups) await tolerant(() => writeFileSync(join(group, "cgroup.procs"), String(pid)));
  };
}

/** A login session may make a group and not move into it: `limitable` and the preflight say so. */
async function tolerant(step: () => Promise<void> | void): Promise<void> {
  try {
    await step();
  } catch (error) {
    if (!["EACCES", "EPERM", "EBUSY", "EROFS"].includes(codeOf(error) ?? "")) throw error;
  }
}

/** A group is busy until the kernel has buried the last of its processes. */
const REMOVE_ATTEMPTS = 50;
const REMOVE_PAUSE_MS = 20;

export async function removeGroup(group: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      rmdirSync(group);
      return;
    } catch (error) {
      if (codeOf(error) === "ENOENT") return;
      if (codeOf(error) !== "EBUSY" || attempt === REMOVE_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, REMOVE_PAUSE_MS));
    }
  }
}

/** Groups left behind under names that `owns` accepts. */
export function findGroups(owns: (name: string) => boolean): readonly string[] {
  return hierarchies().flatMap(({ parent }) =>
    readdirSync(parent)
      .filter(owns)
      .map((name) => join(parent, name)),
  );
}
