/**
 * Writes a stranger's tar stream to this disk. What must hold, whatever the stream says:
 * - nothing outside the destination is created, changed, linked to or read;
 * - nothing is written through a link: while content is written there are no links yet, they are made last;
 * - no link leaves the destination, also not by way of another link;
 * - no device, fifo or socket is made; set-id and sticky bits are dropped;
 * - entries, bytes and memory are bounded; an archive over a bound, malformed or contradicting itself is
 *   refused whole, and then nothing of it is left (it is made beside the destination and renamed at the end).
 *
 * What an honest folder may contain and still cannot come out (a socket, a link to /usr) is left out and reported.
 */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { breather } from "../breath.ts";
import { codeOf } from "../errors.ts";
import { printable } from "../printable.ts";
import { removeTree } from "../remove-tree.ts";
import { componentsOf, reasonAgainstLink, shown, split } from "./entry-path.ts";
import { readTar, type TarEntry } from "./read-tar.ts";
import { statusOf } from "./status.ts";
import { ArchiveError } from "./tar-format.ts";

/** Links and folders are kept until the end; half a million of them fit. */
const MAX_REMEMBERED_BYTES = 128 * 1024 * 1024;
/** What keeping one costs besides its name. */
const OBJECT_BYTES = 160;

/** 2106: what every file system can store. */
const MAX_MTIME = 0xffff_ffff;

/** So many left-out entries are named; the rest are counted. */
const MAX_SKIPPED_NAMED = 200;

export interface ExtractPolicy {
  readonly maxEntries: number;
  readonly maxBytes: number;
  /** Permission bits that an entry may bring. No group and no stranger gets to write by default. */
  readonly modeMask?: number;
  /** The one name that the archive has at its top; it becomes the destination. Without it all entries lie in it. */
  readonly root?: Buffer;
  /** Why `path` (below the destination, in components) is left out, or undefined. */
  readonly exclude?: (path: readonly Buffer[], type: TarEntry["type"]) => string | undefined;
  /** Sees the finished tree before it gets its name; what it returns is added to the report. */
  readonly inspect?: (tree: Buffer) => Promise<readonly Skipped[]>;
}

export interface Skipped {
  /** Printable; below the destination. */
  readonly path: string;
  readonly reason: string;
}

export interface ExtractReport {
  readonly files: number;
  readonly directories: number;
  readonly links: number;
  readonly bytes: number;
  /** The first {@link MAX_SKIPPED_NAMED} of `skippedCount`. */
  readonly skipped: readonly Skipped[];
  readonly skippedCount: number;
}

const DEFAULT_MODE_MASK = 0o755;
const SLASH = Buffer.from("/");

/**
 * Extracts `stream` to `destination`, which must not exist and whose parent must.
 * @throws ArchiveError as said above; the operating system's errors (a full disk); either way nothing is left.
 */
export async function extractTar(
  stream: AsyncIterable<unknown>,
  destination: string,
  policy: ExtractPolicy,
): Promise<ExtractReport> {
  const beside = join(dirname(destination), `.bottle-${randomBytes(6).toString("hex")}.tmp`);
  refuseExisting(destination);
  mkdirSync(beside, { mode: 0o700 });
  try {
    const extraction = new Extraction(Buffer.from(beside), policy);
    for await (const entry of readTar(stream)) await extraction.add(entry);
    await extraction.finish();
    const made = topOf(beside, policy.root, extraction.report());
    for (const skipped of (await policy.inspect?.(made)) ?? []) extraction.skip(skipped);
    refuseExisting(destination);
    renameSync(made, destination);
    return extraction.report();
  } finally {
    await removeTree(beside);
  }
}

function refuseExisting(destination: string): void {
  if (statusOf(Buffer.from(destination)) !== undefined) {
    throw new ArchiveError(`${printable(destination)} is there already`);
  }
}

function topOf(beside: string, root: Buffer | undefined, report: ExtractReport): Buffer {
  if (root === undefined) return Buffer.from(beside);
  if (readdirSync(beside).length === 0) {
    throw new ArchiveError(`the archive is empty: ${report.skipped[0]?.reason ?? "nothing was in it"}`);
  }
  return Buffer.concat([Buffer.from(beside), SLASH, root]);
}

/** Names as bytes in one piece: kept by the hundred thousand. */
interface Folder {
  readonly name: Buffer;
  readonly mode: number;
}

interface Link {
  readonly name: Buffer;
  readonly target: Buffer;
}

class Extraction {
  readonly #base: Buffer;
  readonly #policy: ExtractPolicy;
  readonly #mask: number;
  readonly #breathe = breather();
  readonly #folders: Folder[] = [];
  readonly #links: Link[] = [];
  readonly #skipped: Skipped[] = [];
  #skippedCount = 0;
  #remembered = 0;
  #entries = 0;
  #bytes = 0;
  #files = 0;
  #directories = 0;
  #madeLinks = 0;
  /** The parent that was last found to be a real folder: most entries lie where the one before lay. */
  #knownParent: string | undefined;

  constructor(base: Buffer, policy: ExtractPolicy) {
    this.#base = base;
    this.#policy = policy;
    this.#mask = (policy.modeMask ?? DEFAULT_MODE_MASK) & 0o777;
  }

  async add(entry: TarEntry): Promise<void> {
    await this.#breathe();
    this.#entries += 1;
    if (this.#entries > this.#policy.maxEntries) {
      throw new ArchiveError(`the archive has more than ${this.#policy.maxEntries} entries`);
    }
    const full = componentsOf(entry.name);
    const path = this.#belowRoot(full);
    if (path.length === 0 && (entry.type === "symlink" || entry.type === "hard-link")) {
      throw new ArchiveError("the archive's top is a link");
    }
    const reason = this.#reasonToSkip(path, entry);
    if (reason !== undefined) {
      this.skip({ path: shown(path), reason });
      return;
    }
    switch (entry.type) {
      case "directory":
        this.#addFolder(full, entry.mode);
        return;
      case "file":
        await this.#addFile(full, entry);
        return;
      case "hard-link":
        this.#addHardLink(full, path, entry.target);
        return;
      case "symlink":
        this.#links.push({ name: this.#remember(full, entry.target), target: Buffer.from(entry.target) });
        return;
      case "character-device":
      case "block-device":
      case "fifo":
        throw new Error("left out above");
    }
  }

  /** What has to wait until no more content comes. */
  async finish(): Promise<void> {
    for (const { name, mode } of this.#folders) {
      await this.#breathe();
      // The operator can always look into and remove what came out.
      chmodSync(this.#absolute(split(name)), (mode & this.#mask) | 0o700);
    }
    for (const { name, target } of this.#links) {
      await this.#breathe();
      symlinkSync(target, this.#place(split(name)));
      this.#madeLinks += 1;
    }
  }

  skip(skipped: Skipped): void {
    this.#skippedCount += 1;
    if (this.#skipped.length < MAX_SKIPPED_NAMED) this.#skipped.push(skipped);
  }

  report(): ExtractReport {
    return {
      files: this.#files,
      directories: this.#directories,
      links: this.#madeLinks,
      bytes: this.#bytes,
      skipped: this.#skipped,
      skippedCount: this.#skippedCount,
    };
  }

  #belowRoot(path: readonly Buffer[]): readonly Buffer[] {
    const { root } = this.#policy;
    if (root === undefined) return path;
    const [first, ...rest] = path;
    if (first === undefined || !first.equals(root)) {
      throw new ArchiveError("the archive has an entry beside the one asked for");
    }
    return rest;
  }

  #reasonToSkip(path: readonly Buffer[], entry: TarEntry): string | undefined {
    if (path.some((component) => component.some((byte) => byte < 0x20 || byte === 0x7f))) {
      return "its name contains control characters";
    }
    const excluded = this.#policy.exclude?.(path, entry.type);
    if (excluded !== undefined) return excluded;
    switch (entry.type) {
      case "character-device":
      case "block-device":
        return "it is a device";
      case "fifo":
        return "it is a fifo";
      case "symlink":
        return reasonAgainstLink(path, entry.target);
      default:
        return undefined;
    }
  }

  #addFolder(path: readonly Buffer[], mode: number): void {
    this.#directories += 1;
    if (path.length > 0) {
      this.#ensureParent(path);
      this.#ensureFolder(path);
    }
    this.#folders.push({ name: this.#remember(path), mode });
  }

  async #addFile(path: readonly Buffer[], entry: TarEntry): Promise<void> {
    if (path.length === 0) throw new ArchiveError("a file has no name");
    if (this.#bytes + entry.size > this.#policy.maxBytes) {
      throw new ArchiveError(`the archive holds more than ${this.#policy.maxBytes} bytes`);
    }
    this.#bytes += entry.size;
    const at = this.#place(path);
    // O_EXCL never follows a link and never opens what is there.
    const file = openSync(
      at,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    );
    try {
      for await (const chunk of entry.body()) writeAll(file, chunk);
    } finally {
      closeSync(file);
    }
    const mtime = Math.min(entry.mtime, MAX_MTIME);
    utimesSync(at, mtime, mtime);
    chmodSync(at, entry.mode & this.#mask);
    this.#files += 1;
  }

  #addHardLink(full: readonly Buffer[], path: readonly Buffer[], targetName: Buffer): void {
    const target = componentsOf(targetName);
    this.#belowRoot(target);
    const from = this.#absolute(target);
    // Each folder on the way is real, for there are no links yet.
    const there = statusOf(from);
    if (there === undefined || !there.isFile()) {
      this.skip({ path: shown(path), reason: "it is the same file as one that was left out" });
      return;
    }
    linkSync(from, this.#place(full));
    this.#files += 1;
  }

  /** The absolute path of a name that is free, in a folder that is real. */
  #place(path: readonly Buffer[]): Buffer {
    this.#ensureParent(path);
    const at = this.#absolute(path);
    if (statusOf(at) !== undefined) throw new ArchiveError(`the archive has ${shown(path)} twice`);
    return at;
  }

  #ensureParent(path: readonly Buffer[]): void {
    const parent = path.slice(0, -1);
    const key = Buffer.concat(parent.flatMap((component) => [SLASH, component])).toString("latin1");
    if (key === this.#knownParent) return;
    for (let depth = 1; depth <= parent.length; depth++) this.#ensureFolder(parent.slice(0, depth));
    this.#knownParent = key;
  }

  #ensureFolder(path: readonly Buffer[]): void {
    const at = this.#absolute(path);
    try {
      mkdirSync(at, { mode: 0o700 });
      // Stays so when no entry speaks of this folder.
      this.#folders.push({ name: this.#remember(path), mode: 0o755 });
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
      if (statusOf(at)?.isDirectory() !== true) {
        throw new ArchiveError(`the archive has ${shown(path)} both as a folder and as something else`);
      }
    }
  }

  #remember(path: readonly Buffer[], target: Buffer = Buffer.alloc(0)): Buffer {
    const name = Buffer.concat(path.flatMap((component) => [component, SLASH]));
    this.#remembered += name.length + target.length + OBJECT_BYTES;
    if (this.#remembered > MAX_REMEMBERED_BYTES) {
      throw new ArchiveError("the archive has too many links and folders");
    }
    return name;
  }

  #absolute(path: readonly Buffer[]): Buffer {
    return Buffer.concat([this.#base, ...path.flatMap((component) => [SLASH, component])]);
  }
}

function writeAll(file: number, chunk: Buffer): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(file, chunk, at);
}
