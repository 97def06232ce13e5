/**
 * Files of this disk as a tar stream, made while it is read. Links are packed as links and never followed;
 * what is neither file, folder nor link is left out. Holds one block of content at a time.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readlinkSync, readSync } from "node:fs";
import { Readable } from "node:stream";
import { printable } from "../printable.ts";
import { END_OF_ARCHIVE, encodeHeader, padding } from "./encode-tar.ts";
import { statusOf } from "./status.ts";
import { ArchiveError, type TarHeader } from "./tar-format.ts";

/** Read and handed on at once: a pipe's worth, so that a small file is one read and a large one never in memory. */
const BLOCK = 64 * 1024;

/** Whatever is at `path`; of a folder only itself. Gone by the time it is read: left out. */
export interface DiskEntry {
  readonly kind: "disk";
  readonly name: Buffer;
  readonly path: Buffer;
}

/** What goes into an archive, under which name. */
export type PackEntry =
  | DiskEntry
  | { readonly kind: "content"; readonly name: Buffer; readonly content: Buffer; readonly mode: number }
  | { readonly kind: "folder"; readonly name: Buffer; readonly mode: number };

export interface PackOptions {
  /** Who owns the entries; 0 and 0 unless told. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Mode of every file instead of its own. Folders get the x bits that match its r bits. */
  readonly mode?: number;
  /** When what is on no disk was made, in seconds since 1970; now unless told. */
  readonly mtime?: number;
  /** Instead of every entry's own time: the same files then come to the same bytes. */
  readonly everyMtime?: number;
  /** Whatever their own modes are: everybody may read the files, enter the folders and run the programs. */
  readonly readable?: boolean;
  /** Called for each entry, with its content's size: bounds (by throwing) and progress. */
  readonly onEntry?: (name: Buffer, bytes: number) => void;
}

/** Packs `entries` in their order. The stream fails with what reading them throws. */
export function packEntries(
  entries: Iterable<PackEntry> | AsyncIterable<PackEntry>,
  options: PackOptions = {},
): Readable {
  return Readable.from(inBlocks(pack(entries, options)), { objectMode: false, highWaterMark: BLOCK });
}

/** Packs a file, link or folder (with all that is in it) as `name`. */
export function packTar(from: string, name: Buffer, options: PackOptions = {}): Readable {
  return packEntries(walk(Buffer.from(from), name), options);
}

export interface WalkOptions {
  /** True for what is left out, with all that is in it. `name` is the name in the archive. */
  readonly exclude?: (name: Buffer) => boolean;
}

/** `path` and everything below it, folders before their content, in byte order of the names. */
export function* walk(
  path: Buffer,
  name: Buffer,
  options: WalkOptions = {},
): Generator<DiskEntry, void, void> {
  yield { kind: "disk", name, path };
  if (statusOf(path)?.isDirectory() !== true) return;
  const children = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  for (const child of children) {
    const childName = name.length === 0 ? child : joined(name, child);
    if (options.exclude?.(childName) !== true) yield* walk(joined(path, child), childName, options);
  }
}

/** A path's parts as bytes, with a slash between. */
export function joined(...parts: readonly (Buffer | string)[]): Buffer {
  const slash = Buffer.from("/");
  return Buffer.concat(
    parts.flatMap((part, index) => (index === 0 ? [Buffer.from(part)] : [slash, Buffer.from(part)])),
  );
}

async function* pack(
  entries: Iterable<PackEntry> | AsyncIterable<PackEntry>,
  options: PackOptions,
): AsyncGenerator<Buffer, void, void> {
  for await (const entry of entries) {
    switch (entry.kind) {
      case "disk":
        yield* packDisk(entry.name, entry.path, options);
        break;
      case "content":
        yield header(entry.name, "file", fileMode(entry.mode, options), entry.content.length, options);
        yield entry.content;
        yield padding(entry.content.length);
        break;
      case "folder":
        yield header(entry.name, "directory", folderMode(entry.mode, options), 0, options);
    }
  }
  yield END_OF_ARCHIVE;
}

function* packDisk(name: Buffer, path: Buffer, options: PackOptions): Generator<Buffer, void, void> {
  const status = statusOf(path);
  if (status === undefined) return;
  const mtime = status.mtimeMs / 1000;
  if (status.isDirectory()) {
    if (name.length === 0) return;
    yield header(name, "directory", folderMode(status.mode, options), 0, options, { mtime });
  } else if (status.isSymbolicLink()) {
    const target = readlinkSync(path, { encoding: "buffer" });
    yield header(name, "symlink", 0o777, 0, options, { mtime, target });
  } else if (status.isFile()) {
    yield* packFile(name, path, options);
  }
}

function* packFile(name: Buffer, path: Buffer, options: PackOptions): Generator<Buffer, void, void> {
  // Neither a link nor a fifo that took the file's place since it was looked at.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = fstatSync(file);
    if (!status.isFile()) return;
    const size = status.size;
    yield header(name, "file", fileMode(status.mode, options), size, options, {
      mtime: status.mtimeMs / 1000,
    });
    for (let left = size; left > 0; ) {
      const block = Buffer.allocUnsafe(Math.min(left, BLOCK));
      const count = readSync(file, block, 0, block.length, null);
      if (count === 0)
        throw new ArchiveError(`${printable(path.toString())} became shorter while it was read`);
      left -= count;
      yield block.subarray(0, count);
    }
    yield padding(size);
  } finally {
    closeSync(file);
  }
}

function header(
  name: Buffer,
  type: TarHeader["type"],
  mode: number,
  size: number,
  options: PackOptions,
  more: { readonly mtime?: number; readonly target?: Buffer } = {},
): Buffer {
  options.onEntry?.(name, size);
  return encodeHeader({
    name: type === "directory" ? Buffer.concat([name, Buffer.from("/")]) : name,
    type,
    mode: mode & 0o777,
    size,
    mtime: options.everyMtime ?? more.mtime ?? options.mtime ?? Date.now() / 1000,
    uid: options.owner?.uid ?? 0,
    gid: options.owner?.gid ?? 0,
    target: more.target ?? Buffer.alloc(0),
  });
}

function fileMode(mode: number, options: PackOptions): number {
  if (options.mode !== undefined || options.readable !== true) return options.mode ?? mode;
  return mode | ((mode & 0o111) === 0 ? 0o444 : 0o555);
}

function folderMode(own: number, options: PackOptions): number {
  if (options.mode === undefined) return options.readable === true ? own | 0o555 : own;
  return options.mode | ((options.mode & 0o444) >> 2);
}

/** Joins the many small pieces of small files into blocks: one write instead of hundreds. */
async function* inBlocks(pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  let waiting: Buffer[] = [];
  let size = 0;
  for await (const piece of pieces) {
    if (piece.length === 0) continue;
    waiting.push(piece);
    size += piece.length;
    if (size >= BLOCK) {
      yield Buffer.concat(waiting, size);
      waiting = [];
      size = 0;
    }
  }
  if (size > 0) yield Buffer.concat(waiting, size);
}
