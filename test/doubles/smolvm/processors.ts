/**
 * The processors of a machine, which are threads of its VMM in the real one: while the VMM is stopped, so is everything
 * of its guest's. Arguments: pid of the VMM, and of a process whose children are in the guest.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const LOOK_EVERY_MS = 5;
const [vmm = 0, outer = 0] = process.argv.slice(2).map(Number);
const stopped = new Set<number>();

setInterval(() => {
  const state = stateOf(vmm);
  if (state === undefined) process.exit(0);
  const space = spaceBelow(outer);
  if (space === undefined) return;
  if (state === "T") {
    for (const pid of pidsIn(space)) {
      if (stateOf(pid) === "T") continue;
      signal(pid, "SIGSTOP");
      stopped.add(pid);
    }
  } else {
    for (const pid of stopped) signal(pid, "SIGCONT");
    stopped.clear();
  }
}, LOOK_EVERY_MS);

function stateOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const state = stat.slice(stat.lastIndexOf(")") + 2)[0];
    return state === "Z" || state === "X" ? undefined : state;
  } catch {
    return undefined;
  }
}

/** Which pid namespace the children of what runs below it are in, once it is not the host's. */
function spaceBelow(pid: number): string | undefined {
  try {
    const space = readlinkSync(`/proc/${pid}/ns/pid_for_children`);
    return space === readlinkSync("/proc/self/ns/pid") ? undefined : space;
  } catch {
    return undefined;
  }
}

function pidsIn(space: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/pid`) === space;
      } catch {
        return false;
      }
    })
    .map(Number);
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
