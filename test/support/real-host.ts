/** The whole host, searched for what must not be there: arguments and environments of processes, files, memory. */
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** Values by the name under which a find is told. A value is looked for as these bytes. */
export type Needles = Readonly<Record<string, string | Buffer>>;

/** A file that takes more room than this is none of ours to have written in a test: a machine's disk takes less. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;
/** Of which most are holes; they are read too. */
const MAX_SPARSE_BYTES = 4 * 1024 ** 3;
/** Paths of what a busy host writes meanwhile. */
const MAX_LIST_BYTES = 256 * 1024 * 1024;
const PIECE_BYTES = 4 * 1024 * 1024;
const PIECE = Buffer.alloc(PIECE_BYTES);
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

/** Below which anybody who is not confined can write, each on its own file system. */
const WRITABLE: readonly string[] = ["/tmp", "/var", "/run", "/home", "/root", "/dev/shm"];

/**
 * Finds on the whole host, in all that somebody can see and that was changed since.
 * @param more folders on other file systems, or of which it is to be certain that they are searched.
 * @throws Error when it is in vain: a value that is planted beforehand, in a file below each folder, in the name of one, in
 *   where a link leads, in an argument and in an environment, is not found in each.
 */
export function searchHost(
  needles: Needles,
  since: number,
  { more = [], except }: { readonly more?: readonly string[]; readonly except?: ReadonlySet<number> } = {},
): readonly string[] {
  const roots = [...WRITABLE, ...more].filter((folder) => existsSync(folder));
  const value = `planted-${randomBytes(12).toString("hex")}`;
  const folders = roots.map((folder) => mkdtempSync(join(folder, "bb-planted-")));
  const child = spawn("sleep", ["60"], { env: { PLANTED: value }, argv0: `sleep-${value}` });
  child.on("error", () => {});
  try {
    const planted = folders.flatMap((folder) => {
      const [file, link, name] = [join(folder, "file"), join(folder, "link"), join(folder, value)];
      // Where one piece that is read ends and the next begins.
      writeFileSync(file, Buffer.concat([Buffer.alloc(PIECE_BYTES - 3, "x"), Buffer.from(`${value}y`)]));
      symlinkSync(`/nowhere/${value}`, link);
      writeFileSync(name, "");
      return [file, link, name];
    });
    const all = { ...needles, planted: value };
    const found = [...searchProcesses(all, except), ...searchFiles(all, roots, since)];
    const expected = [...planted, `cmdline of ${child.pid}`, `environ of ${child.pid}`];
    const missed = expected.filter((place) => !found.includes(`planted in ${place}`));
    if (missed.length > 0) throw new Error(`not found, although it is there: ${missed.join(", ")}`);
    return found.filter((place) => !place.startsWith("planted in "));
  } finally {
    child.kill();
    for (const folder of folders) rmSync(folder, { recursive: true });
  }
}

/** Finds below `folders` as `name in /path`, in names and contents of what was changed since, and in where links lead. */
export function searchFiles(needles: Needles, folders: readonly string[], since: number): readonly string[] {
  const wanted = bytesOf(needles);
  return changedBelow(folders, since).flatMap((path) => {
    const held = new Set(heldBy(path, wanted));
    return wanted.flatMap(([name, value]) =>
      path.includes(value.toString("latin1")) || held.has(name) ? [`${name} in ${path}`] : [],
    );
  });
}

/** On each folder's own file system: what somebody mounted in it, a process table say, has files without an end. */
function changedBelow(folders: readonly string[], since: number): readonly string[] {
  const there = folders.filter((folder) => existsSync(folder));
  const words = ["-xdev", "-newerct", `@${Math.floor(since) / 1000}`, "-print0"];
  // It complains of what went meanwhile.
  const { stdout, error } = spawnSync("find", [...there, ...words], { maxBuffer: MAX_LIST_BYTES });
  if (error !== undefined) throw error;
  return [...new Set(stdout.toString("latin1").split("\0"))].filter((path) => path !== "");
}

/** Names of what is in a file, or where a link leads. */
function heldBy(path: string, wanted: readonly (readonly [string, Buffer])[]): readonly string[] {
  const among = (content: Buffer): readonly string[] =>
    wanted.flatMap(([name, value]) => (content.includes(value) ? [name] : []));
  const stat = statOf(path);
  if (stat?.isSymbolicLink() === true) return among(Buffer.from(linkOf(path), "latin1"));
  const room = Number(stat?.blocks ?? 0) * 512;
  const size = Number(stat?.size ?? 0);
  if (stat?.isFile() !== true || room > MAX_FILE_BYTES || size > MAX_SPARSE_BYTES) return [];
  const overlap = Math.max(...wanted.map(([, value]) => value.length));
  const found: string[] = [];
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    for (let at = 0; at < size; at += PIECE_BYTES - overlap)
      found.push(...among(PIECE.subarray(0, readSync(file, PIECE, 0, PIECE_BYTES, at))));
  } catch {
    // It went meanwhile; or not even root may read it.
  } finally {
    if (file !== undefined) closeSync(file);
  }
  return found;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path, "latin1");
  } catch {
    return "";
  }
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
