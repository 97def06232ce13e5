/** The whole host, searched for what must not be there: arguments and environments of processes, files, memory. */
import { closeSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";

/** Values by the name under which a find is told. A value is looked for as these bytes. */
export type Needles = Readonly<Record<string, string | Buffer>>;

/** A file larger than this is none of ours to have written in a test. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
const MEMORY_PIECE_BYTES = 8 * 1024 * 1024;

function bytesOf(needles: Needles): readonly (readonly [string, Buffer])[] {
  return Object.entries(needles).map(([name, value]) => [name, Buffer.from(value)]);
}

/** Finds as `name in cmdline of 123`. */
export function searchProcesses(
  needles: Needles,
  except: ReadonlySet<number> = new Set(),
): readonly string[] {
  const wanted = bytesOf(needles);
  return processes()
    .filter((pid) => !except.has(pid))
    .flatMap((pid) =>
      ["cmdline", "environ"].flatMap((file) => {
        const content = contentOf(`/proc/${pid}/${file}`);
        return wanted.flatMap(([name, value]) =>
          content.includes(value) ? [`${name} in ${file} of ${pid}`] : [],
        );
      }),
    );
}

/** Finds below `folders` as `name in /path`, in names and contents of what was changed since. */
export function searchFiles(needles: Needles, folders: readonly string[], since: number): readonly string[] {
  const wanted = bytesOf(needles);
  return folders.flatMap((folder) =>
    filesBelow(folder).flatMap((path) => {
      const stat = statOf(path);
      const isOurs = stat?.isFile() === true && stat.ctimeMs >= since && stat.size <= MAX_FILE_BYTES;
      const content = isOurs ? contentOf(path) : Buffer.alloc(0);
      return wanted.flatMap(([name, value]) =>
        content.includes(value) || path.includes(value.toString("latin1")) ? [`${name} in ${path}`] : [],
      );
    }),
  );
}

/** Which needles a process has in its memory. Needs to be root, or the kernel's leave. */
export function searchMemory(needles: Needles, pid: number): readonly string[] {
  const wanted = bytesOf(needles);
  const found = new Set<string>();
  forMemory(pid, (piece) => {
    for (const [name, value] of wanted) if (piece.includes(value)) found.add(name);
  });
  return [...found].sort();
}

/** Reads what a process really occupies, in pieces that overlap. */
export function forMemory(pid: number, look: (piece: Buffer) => void): void {
  const overlap = 4096;
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const buffer = Buffer.alloc(MEMORY_PIECE_BYTES);
  try {
    for (const [from, to] of residentRanges(pid)) {
      for (let at = from; at < to; at += MEMORY_PIECE_BYTES - overlap) {
        try {
          const length = readSync(memory, buffer, 0, Math.min(MEMORY_PIECE_BYTES, to - at), at);
          look(buffer.subarray(0, length));
        } catch {
          // Unmapped since, or not to be read by anybody.
        }
        if (to - at <= MEMORY_PIECE_BYTES) break;
      }
    }
  } finally {
    closeSync(memory);
  }
}

/** Writable ranges with pages in memory: program texts hold no secrets. */
function residentRanges(pid: number): readonly (readonly [number, number])[] {
  const ranges: [number, number][] = [];
  let current: [number, number] | undefined;
  for (const line of readFileSync(`/proc/${pid}/smaps`, "utf8").split("\n")) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
    if (from !== undefined && to !== undefined)
      current = [Number.parseInt(from, 16), Number.parseInt(to, 16)];
    else if (/^[0-9a-f]+-/.test(line)) current = undefined;
    else if (current !== undefined && /^Rss: +[1-9]/.test(line)) ranges.push(current);
  }
  return ranges;
}

/** All that descend from `root`, itself included. */
export function processTree(root: number): readonly number[] {
  const parents = new Map(processes().map((pid) => [pid, parentOf(pid)]));
  const isBelow = (pid: number | undefined): boolean =>
    pid !== undefined && pid > 0 && (pid === root || isBelow(parents.get(pid)));
  return [...parents.keys()].filter(isBelow);
}

export function processes(): readonly number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function parentOf(pid: number): number | undefined {
  const stat = contentOf(`/proc/${pid}/stat`).toString("latin1");
  const parent = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
  return parent === undefined ? undefined : Number(parent);
}

/** On the folder's own file system: what somebody mounted in it, a process table say, has files without an end. */
function filesBelow(folder: string, device = statOf(folder)?.dev): readonly string[] {
  let entries: readonly { name: string; isDirectory(): boolean }[];
  try {
    entries = readdirSync(folder, { withFileTypes: true });
  } catch {
    // Gone, or somebody else's.
    return [];
  }
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (!entry.isDirectory()) return [path];
    return statOf(path)?.dev === device ? [path, ...filesBelow(path, device)] : [];
  });
}

function statOf(path: string): ReturnType<typeof lstatSync> {
  return lstatSync(path, { throwIfNoEntry: false });
}

function contentOf(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
