/**
 * What a bottle could leave on the host. Its processes and namespaces are noted while it runs (everything that
 * descends from this process); afterwards none of them may be there. Other people's are nobody's business.
 */
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

const KINDS = ["net", "mnt", "pid", "user", "ipc", "uts"] as const;
/** Nothing of a bottle lives shorter than some samples. */
const SAMPLE_MS = 50;

export interface Watch {
  /** How many were seen: a watch that saw nothing proves nothing. */
  readonly processes: () => number;
  readonly namespaces: () => number;
  /** Looks a last time, and tells everything that is still there. */
  leftovers(root: string): readonly string[];
  stop(): void;
}

export function watchHost(): Watch {
  const processes = new Map<string, string>();
  /** Held open, so that no other namespace can get the number of one that is gone. */
  const namespaces = new Map<number, { readonly kind: string; readonly fd: number }>();
  const own = new Set(namespacesOf("self").map(({ inode }) => inode));
  const sample = (): void => {
    for (const pid of descendants(process.pid)) {
      const birth = birthOf(pid);
      if (birth !== undefined)
        processes.set(`${pid} ${birth}`, argvOf(pid) || (processes.get(`${pid} ${birth}`) ?? ""));
      for (const { kind, inode, path } of namespacesOf(pid)) {
        if (own.has(inode) || namespaces.has(inode)) continue;
        const fd = openNamespace(path, inode);
        if (fd !== undefined) namespaces.set(inode, { kind, fd });
      }
    }
  };
  const timer = setInterval(sample, SAMPLE_MS);
  timer.unref();
  return {
    processes: () => processes.size,
    namespaces: () => namespaces.size,
    stop() {
      clearInterval(timer);
      for (const { fd } of namespaces.values()) closeSync(fd);
      namespaces.clear();
    },
    leftovers(root) {
      clearInterval(timer);
      const alive = [...processes].filter(([key]) => birthOf(key.split(" ")[0] ?? "") === key.split(" ")[1]);
      const inhabited = new Set(allPids().flatMap((pid) => namespacesOf(pid).map(({ inode }) => inode)));
      return [
        ...alive.map(([key, argv]) => `process ${key.split(" ")[0]} ${argv}`),
        ...[...namespaces]
          .filter(([inode]) => inhabited.has(inode))
          .map(([inode, { kind }]) => `namespace ${kind} ${inode}`),
        ...linesWith("/proc/self/mountinfo", root).map((line) => `mount ${line.split(" ")[4]}`),
        ...linesWith("/proc/net/unix", root).map((line) => `socket ${line.split(" ").at(-1)}`),
        ...walk(root).map((path) => `file ${path}`),
      ];
    },
  };
}

/** A process that has ended and waits to be buried by the host's init is none any more. */
function allPids(): readonly string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name) && statOf(name)?.[0] !== "Z");
}

function descendants(root: number): readonly string[] {
  const parents = new Map(allPids().map((pid) => [pid, statOf(pid)?.[1]]));
  const isBelow = (pid: string | undefined): boolean => {
    const parent = pid === undefined ? undefined : parents.get(pid);
    return parent !== undefined && (parent === String(root) || isBelow(parent));
  };
  return [...parents.keys()].filter(isBelow);
}

function birthOf(pid: string): string | undefined {
  const stat = statOf(pid);
  return stat?.[0] === "Z" ? undefined : stat?.[19];
}

/** The fields of proc(5) stat from the state on: 0 state, 1 parent, 19 start time. */
function statOf(pid: string): readonly string[] | undefined {
  const text = read(`/proc/${pid}/stat`);
  return text === "" ? undefined : text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function argvOf(pid: string): string {
  return read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim().slice(0, 80);
}

interface Namespace {
  readonly kind: string;
  readonly inode: number;
  readonly path: string;
}

function namespacesOf(pid: string): readonly Namespace[] {
  return KINDS.flatMap((kind) => {
    const path = `/proc/${pid}/ns/${kind}`;
    try {
      return [{ kind, path, inode: statSync(path).ino }];
    } catch {
      // It ended while we looked, or is not ours to look at.
      return [];
    }
  });
}

function openNamespace(path: string, inode: number): number | undefined {
  try {
    const fd = openSync(path, "r");
    if (fstatSync(fd).ino === inode) return fd;
    closeSync(fd);
  } catch {
    // It ended while we looked.
  }
  return undefined;
}

function linesWith(path: string, text: string): readonly string[] {
  return read(path)
    .split("\n")
    .filter((line) => line.includes(text));
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function walk(folder: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? walk(path) : [path];
  });
}
