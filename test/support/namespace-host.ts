/** What the host sees of a `namespace` guest. */
import { readdirSync, readFileSync } from "node:fs";
import type { TestBottle } from "./bottle-guest.ts";

/**
 * Every process of the host that has one of the bottle's mounts, and so also those that the guest hides from its own
 * /proc: found by the folders that are mounted in it. Includes the set-up's parents.
 */
export function processesOf(bottle: TestBottle): readonly number[] {
  return processesOfFolder(bottle.stateDir);
}

export function processesOfFolder(folder: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && mountsOf(pid).includes(folder));
}

function mountsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, "utf8");
  } catch {
    return "";
  }
}
