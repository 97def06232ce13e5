/**
 * Stops what runs in a jail, from outside: an agent may do to the programs inside what it likes, and must not be able
 * to go on by it. What was there before the agent stays awake, so that the operator can still look around.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

export interface Freezer {
  /** Resolves once nothing of it runs. @throws Error when it starts programs faster than they can be stopped. */
  freeze(): Promise<void>;
  /** Only what was stopped here goes on. */
  thaw(): Promise<void>;
}

/** A program can start another between two looks, and that one too; each round finds the children of the last. */
const ROUNDS = 200;
const PAUSE_MS = 5;

/** @param initPid host pid of the jail's process 1. Made before any hostile program runs in it. */
export function createFreezer(initPid: number): Freezer {
  const space = spaceOf(initPid);
  // A process that is no jail's would stand for the whole host.
  if (space === undefined || space === spaceOf(process.pid)) throw new Error("there is no jail to freeze");
  const ours = new Set(pidsIn(space));
  const stopped = new Set<number>();

  return {
    async freeze() {
      for (let round = 0; round < ROUNDS; round++) {
        const running = pidsIn(space).filter((pid) => !ours.has(pid) && runs(pid, stopped.has(pid)));
        if (running.length === 0) return;
        for (const pid of running) if (signal(pid, "SIGSTOP")) stopped.add(pid);
        await pause(PAUSE_MS);
      }
      throw new Error("the guest's programs could not all be stopped; bottle stop ends them");
    },
    async thaw() {
      const there = new Set(pidsIn(space));
      for (const pid of stopped) if (there.has(pid)) signal(pid, "SIGCONT");
      stopped.clear();
    },
  };
}

function pidsIn(space: string): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => spaceOf(pid) === space);
}

function spaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    // Gone, or not ours to look at, and then not of the jail.
    return undefined;
  }
}

/**
 * Neither stopped nor dead. One that was told to stop while it waits for a disk (D) comes back from that to stop: on a
 * busy host that is seconds later, and not one instruction of its own.
 */
function runs(pid: number, wasTold: boolean): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const state = stat.charAt(stat.lastIndexOf(")") + 2);
    return !"TtZX".includes(state) && !(wasTold && state === "D");
  } catch {
    return false;
  }
}

function signal(pid: number, name: "SIGSTOP" | "SIGCONT"): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}
