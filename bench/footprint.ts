/** What a bottle takes of the host while it is there, by the processes that belong to it. */
import { readdirSync, readFileSync } from "node:fs";
import type { BackendName } from "../src/contract/isolation.ts";
import { pss } from "./bottle.ts";

/** Of the kernel's accounting: a second has 100 of them wherever this runs. */
const TICKS_PER_SECOND = 100;

/** Keepers whose home is `mark`, and whoever descends from them; of docker also what its engine runs, which is all the engine's. */
export function processesOf(mark: string, backend: BackendName): readonly number[] {
  const all = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const parents = new Map(all.map((pid) => [pid, Number(fieldsOf(pid)[1] ?? 0)]));
  const roots = new Set(
    all.filter(
      (pid) =>
        read(`/proc/${pid}/environ`).includes(mark) ||
        (backend === "docker" && read(`/proc/${pid}/cmdline`).includes("containerd-shim")),
    ),
  );
  const isOurs = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 1 && (roots.has(pid) || isOurs(parents.get(pid)));
  return all.filter(isOurs);
}

/** Seconds of processor time that they have had. */
export function processorSeconds(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const fields = fieldsOf(pid);
    return sum + (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
  }, 0);
}

/** MiB that they have beyond what they share with others. */
export function memoryOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    try {
      return sum + pss(pid);
    } catch {
      // It has ended.
      return sum;
    }
  }, 0);
}

function fieldsOf(pid: number): readonly string[] {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
