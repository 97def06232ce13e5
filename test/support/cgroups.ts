/** Groups of processes, which every namespace shares: of a host or an engine of a test's own, below one name. */
import { existsSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";

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
