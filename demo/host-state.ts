/** What a bottle could leave on the host, listed before and after: any difference is a leak. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

export interface HostState {
  readonly processes: readonly string[];
  readonly namespaces: readonly string[];
  readonly mounts: readonly string[];
  readonly files: readonly string[];
}

/** Namespaces and mounts of the whole host; processes whose argv speaks of bot-bottle; files below `folders`. */
export function hostState(folders: readonly string[]): HostState {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  return {
    processes: pids.flatMap((pid) => {
      const argv = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
      return /guest-init|sidecar egress|bottle\.js keeper|netns-listen/.test(argv)
        ? [`${pid} ${argv.slice(0, 100)}`]
        : [];
    }),
    namespaces: [
      ...new Set(
        pids.flatMap((pid) =>
          ["net", "mnt", "pid", "user"].flatMap((kind) => readLink(`/proc/${pid}/ns/${kind}`)),
        ),
      ),
    ].sort(),
    mounts: read("/proc/self/mountinfo")
      .split("\n")
      .map((line) => line.split(" ")[4] ?? "")
      .sort(),
    files: folders.flatMap(walk).sort(),
  };
}

/** Everything that is in `after` and not in `before`. */
export function difference(before: HostState, after: HostState): readonly string[] {
  return (["processes", "namespaces", "mounts", "files"] as const).flatMap((kind) =>
    after[kind].filter((entry) => !before[kind].includes(entry)).map((entry) => `${kind}: ${entry}`),
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process ended while we looked.
    return "";
  }
}

function readLink(path: string): readonly string[] {
  try {
    return [readlinkSync(path)];
  } catch {
    return [];
  }
}

function walk(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}
