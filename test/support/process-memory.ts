/** What a program and all that it started hold in memory, at its most. Linux only. */
import { readdirSync, readFileSync } from "node:fs";

export interface Memory {
  /** Bytes of their own, and their share of what they share; files of which they look at pages included. */
  readonly all: number;
  /** Without such files, which the system takes back when it needs the room. */
  readonly own: number;
}

export interface MemoryWatch {
  /** The most that was seen of each, so far. */
  peak(): Memory;
  stop(): void;
}

/** Looks every so often: what comes and goes in between is not seen. */
export function watchMemory(pid: number, everyMs = 100): MemoryWatch {
  let all = 0;
  let own = 0;
  const look = (): void => {
    const now = memoryOf(pid);
    all = Math.max(all, now.all);
    own = Math.max(own, now.own);
  };
  look();
  const timer = setInterval(look, everyMs);
  return {
    peak() {
      look();
      return { all, own };
    },
    stop: () => clearInterval(timer),
  };
}

/** Of one process and its descendants, now. */
export function memoryOf(pid: number): Memory {
  let all = 0;
  let own = 0;
  for (const each of family(pid)) {
    const text = read(`/proc/${each}/smaps_rollup`);
    all += kilobytes(text, "Pss") * 1024;
    own += kilobytes(text, "Pss_Anon") * 1024;
  }
  return { all, own };
}

function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}

function family(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // `pid (name) state parent …`, where the name may hold anything.
    const stat = read(`/proc/${name}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [root];
  for (const pid of found) found.push(...(children.get(pid) ?? []));
  return found;
}

/** Empty when it has ended meanwhile. */
function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}
