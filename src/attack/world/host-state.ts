/**
 * What there is on the host of certain bottles: who they are is known by a folder of the operator's that exists for them
 * alone, and by their ids, which stand in the arguments, environments, mounts or groups of whatever belongs to them.
 */
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";

const NAMESPACES = ["net", "mnt", "pid", "user", "ipc", "uts"] as const;
/** Hierarchies of groups are not deeper where groups of ours are. */
const GROUP_DEPTH = 5;

/** Each a list of lines, each line a thing. */
export interface HostState {
  readonly processes: readonly string[];
  /** That processes of theirs are in. */
  readonly namespaces: readonly string[];
  /** That anybody's process is in: one of theirs may have been lost to somebody else's. */
  readonly inhabited: readonly string[];
  readonly mounts: readonly string[];
  readonly sockets: readonly string[];
  /** That processes of theirs hold. */
  readonly listeners: readonly string[];
  /** Anybody's: other programs of the host begin to listen while an attack is under way. */
  readonly listening: readonly string[];
  readonly files: readonly string[];
  readonly groups: readonly string[];
  readonly interfaces: readonly string[];
}

export function hostState(root: string, ids: readonly string[]): HostState {
  const pids = alive();
  const isOurs = belongsTo(root, ids);
  const ours = processesOf(pids, isOurs);
  const held = new Set(ours.flatMap(socketsOf));
  const listening = listeningHere();
  const namespacesOf = (pid: string): readonly string[] =>
    NAMESPACES.flatMap((kind) => {
      try {
        return [readlinkSync(`/proc/${pid}/ns/${kind}`)];
      } catch {
        // Gone, or somebody else's.
        return [];
      }
    });
  return {
    processes: ours.map(
      (pid) =>
        `${pid} ${birthOf(pid)} ${contentOf(`/proc/${pid}/cmdline`).replaceAll("\0", " ").slice(0, 100)}`,
    ),
    namespaces: unique(ours.flatMap(namespacesOf)),
    inhabited: unique(pids.flatMap(namespacesOf)),
    mounts: unique(
      ours.flatMap((pid) =>
        contentOf(`/proc/${pid}/mountinfo`)
          .split("\n")
          .filter(isOurs)
          .map((line) => line.split(" ").slice(3, 5).join(" ")),
      ),
    ),
    sockets: unique(
      contentOf("/proc/net/unix")
        .split("\n")
        .filter(isOurs)
        .map((line) => line.split(" ").at(-1) ?? ""),
    ),
    listeners: listening.filter(({ inode }) => held.has(inode)).map(({ place }) => place),
    listening: listening.map(({ place }) => place),
    files: walk(root),
    groups: groupsBelow("/sys/fs/cgroup", GROUP_DEPTH).filter((path) => ids.some((id) => path.includes(id))),
    interfaces: unique(
      ours.flatMap((pid) => {
        const names = contentOf(`/proc/${pid}/net/dev`).match(/^ *([^\s:|]+):/gm) ?? [];
        const network = namespacesOf(pid)[0] ?? "";
        return names.map((name) => `${network} ${name.trim()}`);
      }),
    ),
  };
}

interface Listening {
  readonly place: string;
  readonly inode: string;
}

/** In the network of whoever asks (proc(5), `/proc/net/tcp`). */
function listeningHere(): readonly Listening[] {
  return ["tcp", "tcp6"].flatMap((name) =>
    contentOf(`/proc/net/${name}`)
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[3] === "0A")
      .map((fields) => ({ place: `${name} ${fields[1]}`, inode: fields[9] ?? "" })),
  );
}

/** By inode. */
function socketsOf(pid: string): readonly string[] {
  return entriesOf(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? [];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

/**
 * Holds the namespaces that processes of theirs are in until the answer is called: the kernel gives the number of one that
 * is gone to the next that anybody makes, who would be taken for one that was left behind.
 */
export function pinNamespaces(root: string, ids: readonly string[]): () => void {
  const held = processesOf(alive(), belongsTo(root, ids)).flatMap((pid) =>
    NAMESPACES.flatMap((kind) => {
      try {
        return [openSync(`/proc/${pid}/ns/${kind}`, "r")];
      } catch {
        // Gone, or somebody else's.
        return [];
      }
    }),
  );
  return () => {
    for (const fd of held.splice(0)) closeSync(fd);
  };
}

function alive(): readonly string[] {
  return entriesOf("/proc").filter((name) => /^\d+$/.test(name) && stateOf(name) !== "Z");
}

function belongsTo(root: string, ids: readonly string[]): (text: string) => boolean {
  return (text) => [root, ...ids].some((needle) => text.includes(needle));
}

function processesOf(pids: readonly string[], isOurs: (text: string) => boolean): readonly string[] {
  return pids.filter((pid) =>
    ["cmdline", "environ", "mountinfo", "cgroup"].some((file) => isOurs(contentOf(`/proc/${pid}/${file}`))),
  );
}

function unique(list: readonly string[]): readonly string[] {
  return [...new Set(list)].sort();
}

function walk(folder: string): readonly string[] {
  return listOf(folder).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...walk(path)] : [path];
  });
}

function groupsBelow(folder: string, depth: number): readonly string[] {
  if (depth === 0) return [];
  return listOf(folder)
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return [path, ...groupsBelow(path, depth - 1)];
    });
}

function listOf(folder: string): readonly import("node:fs").Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function entriesOf(folder: string): readonly string[] {
  return listOf(folder).map(({ name }) => name);
}

function statFields(pid: string): readonly string[] {
  const text = contentOf(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

function stateOf(pid: string): string | undefined {
  return statFields(pid)[0];
}

/** In ticks since the machine's start: with it a pid is one process's alone. */
function birthOf(pid: string): string {
  return statFields(pid)[19] ?? "";
}

function contentOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
