/**
 * The tar header, in both directions. Contract: a name is bytes, never text, so that what is written is what
 * was there and two programs cannot read one archive differently; whatever is not plainly well-formed is
 * refused. (That is why this is ours: the libraries decode names as UTF-8, which maps different bytes to one
 * name, and take an unknown entry type for a file.)
 *
 * Read: POSIX ustar, pax and GNU. Written: GNU, whose long names are raw bytes and which every tar reads.
 * Source: POSIX.1-2017 `pax`, section "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */

export const BLOCK_BYTES = 512;

/** Sum of the header's own limits: a path of the kernel's PATH_MAX, and some attributes beside it. */
const MAX_EXTENSION_BYTES = 64 * 1024;

export type TarType =
  | "file"
  | "directory"
  | "symlink"
  | "hard-link"
  | "character-device"
  | "block-device"
  | "fifo";

export interface TarHeader {
  readonly name: Buffer;
  readonly type: TarType;
  /** Permission bits, with set-id and sticky as the archive has them. */
  readonly mode: number;
  /** Bytes that follow. Zero for everything but a file. */
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  readonly uid: number;
  readonly gid: number;
  /** Target of a link, as written; empty otherwise. */
  readonly target: Buffer;
}

/** The archive itself is bad, forged or over a limit. Nothing of it is to be used. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
}

const TYPE_FLAGS: Readonly<Record<TarType, string>> = {
  file: "0",
  "hard-link": "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};

const TYPES: ReadonlyMap<string, TarType> = new Map([
  ...Object.entries(TYPE_FLAGS).map(([type, flag]) => [flag, type as TarType] as const),
  ["\0", "file"],
  // "Contiguous file": a file for everybody who has no such thing, which is everybody.
  ["7", "file"],
]);

/** Where each field lies: offset and length. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  target: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

const GNU_MAGIC = Buffer.from("ustar  \0", "latin1");
const LONG_LINK = Buffer.from("././@LongLink", "latin1");
const NOTHING = Buffer.alloc(0);

// --- writing ---

/** The blocks that announce an entry; its content, padded to whole blocks, follows. */
export function encodeHeader(header: TarHeader): Buffer {
  const blocks: Buffer[] = [];
  if (header.target.length > FIELD.target[1]) blocks.push(longName("K", header.target));
  if (header.name.length > FIELD.name[1]) blocks.push(longName("L", header.name));
  blocks.push(headerBlock(header, TYPE_FLAGS[header.type]));
  return Buffer.concat(blocks);
}

/** Zero bytes that bring `size` to a whole number of blocks. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Two empty blocks end an archive. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

function longName(flag: "K" | "L", name: Buffer): Buffer {
  const body = Buffer.concat([name, Buffer.alloc(1)]);
  const header = {
    name: LONG_LINK,
    mode: 0,
    size: body.length,
    mtime: 0,
    uid: 0,
    gid: 0,
    target: NOTHING,
  };
  return Buffer.concat([headerBlock(header, flag), body, padding(body.length)]);
}

function headerBlock(header: Omit<TarHeader, "type">, flag: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  header.name.copy(block, FIELD.name[0], 0, FIELD.name[1]);
  writeNumber(block, FIELD.mode, header.mode & 0o7777);
  writeNumber(block, FIELD.uid, header.uid);
  writeNumber(block, FIELD.gid, header.gid);
  writeNumber(block, FIELD.size, header.size);
  writeNumber(block, FIELD.mtime, Math.max(0, Math.floor(header.mtime)));
  block.write(flag, FIELD.type[0], "latin1");
  header.target.copy(block, FIELD.target[0], 0, FIELD.target[1]);
  GNU_MAGIC.copy(block, FIELD.magic[0]);
  block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, FIELD.checksum[0], "latin1");
  return block;
}

function writeNumber(block: Buffer, [offset, length]: readonly [number, number], value: number): void {
  const octal = value.toString(8);
  if (octal.length < length) {
    block.write(`${octal.padStart(length - 1, "0")}\0`, offset, "latin1");
    return;
  }
  let rest = value;
  for (let at = offset + length - 1; at > offset; at--) {
    block[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  block[offset] = 0x80;
}

function checksum(block: Buffer): number {
  let sum = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    const inField = at >= FIELD.checksum[0] && at < FIELD.checksum[0] + FIELD.checksum[1];
    sum += inField ? 32 : (block[at] ?? 0);
  }
  return sum;
}

// --- reading ---

/** What an extension said about the entry that follows it. */
export interface Extension {
  readonly name?: Buffer;
  readonly target?: Buffer;
  readonly size?: number;
}

export type DecodedBlock =
  | { readonly kind: "end" }
  | { readonly kind: "entry"; readonly header: TarHeader }
  /** `size` bytes follow for {@link decodeExtension}. */
  | { readonly kind: "extension"; readonly flag: "L" | "K" | "x" | "g"; readonly size: number };

/**
 * Reads one 512-byte block.
 * @throws ArchiveError when it is no header, or one of a kind that is not taken (sparse, multi-volume, …).
 */
export function decodeBlock(block: Buffer, before: Extension): DecodedBlock {
  if (block.every((byte) => byte === 0)) return { kind: "end" };
  if (readNumber(block, "checksum") !== checksum(block))
    throw new ArchiveError("a header's checksum is wrong");
  const flag = block.toString("latin1", FIELD.type[0], FIELD.type[0] + 1);
  const size = readNumber(block, "size");
  if (flag === "L" || flag === "K" || flag === "x" || flag === "g") {
    if (size > MAX_EXTENSION_BYTES) {
      throw new ArchiveError(`an extended header is longer than ${MAX_EXTENSION_BYTES} bytes`);
    }
    return { kind: "extension", flag, size };
  }
  const plainType = TYPES.get(flag);
  if (plainType === undefined) {
    throw new ArchiveError(`an entry has the type ${JSON.stringify(flag)}, which is not taken`);
  }
  const name = before.name ?? Buffer.concat([prefixOf(block), readBytes(block, "name")]);
  // Before POSIX a directory was a file whose name ends in a slash, and readers still disagree about it.
  const type = plainType === "file" && name.at(-1) === 0x2f ? "directory" : plainType;
  const header: TarHeader = {
    name,
    type,
    mode: readNumber(block, "mode") & 0o7777,
    size: before.size ?? size,
    mtime: readTime(block),
    uid: readNumber(block, "uid"),
    gid: readNumber(block, "gid"),
    target: before.target ?? readBytes(block, "target"),
  };
  if (type !== "file" && header.size !== 0) {
    throw new ArchiveError(`a ${type} claims a content of ${header.size} bytes`);
  }
  return { kind: "entry", header };
}

/** @throws ArchiveError when it is malformed, or says something that the header it extends cannot mean. */
export function decodeExtension(flag: "L" | "K" | "x" | "g", body: Buffer): Extension {
  switch (flag) {
    case "L":
      return { name: untilNul(body) };
    case "K":
      return { target: untilNul(body) };
    case "x":
      return decodePax(body);
    case "g": {
      const global = decodePax(body);
      if (Object.keys(global).length > 0) throw new ArchiveError("a global header renames every entry");
      return {};
    }
  }
}

/** Joins what several extensions said of one entry. @throws ArchiveError when they speak of the same thing. */
export function mergeExtensions(first: Extension, second: Extension): Extension {
  for (const key of Object.keys(second)) {
    if (key in first) throw new ArchiveError(`an entry has its ${key} twice`);
  }
  return { ...first, ...second };
}

function prefixOf(block: Buffer): Buffer {
  // GNU's own magic differs in these bytes, and it keeps times where ustar has the prefix.
  if (block.toString("latin1", FIELD.magic[0], FIELD.magic[0] + 6) !== "ustar\0") return NOTHING;
  const prefix = readBytes(block, "prefix");
  return prefix.length === 0 ? NOTHING : Buffer.concat([prefix, Buffer.from("/")]);
}

function readBytes(block: Buffer, field: "name" | "target" | "prefix"): Buffer {
  const [offset, length] = FIELD[field];
  const bytes = block.subarray(offset, offset + length);
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end));
}

function readNumber(block: Buffer, field: "mode" | "uid" | "gid" | "size" | "mtime" | "checksum"): number {
  const [offset, length] = FIELD[field];
  const bytes = block.subarray(offset, offset + length);
  if (((bytes[0] ?? 0) & 0x80) !== 0) {
    let value = 0;
    bytes.forEach((byte, index) => {
      value = value * 256 + (index === 0 ? byte & 0x7f : byte);
    });
    // Also what a negative number (all bits set) comes to.
    if (!Number.isSafeInteger(value)) throw new ArchiveError(`a header's ${field} is out of range`);
    return value;
  }
  const text = bytes
    .toString("latin1")
    .replace(/^ +/, "")
    .replace(/[ \0]+$/, "");
  if (!/^[0-7]*$/.test(text)) throw new ArchiveError(`a header's ${field} is no number`);
  return text === "" ? 0 : Number.parseInt(text, 8);
}

/** A time before 1970 is a negative number, and honest: it is only not worth keeping. */
function readTime(block: Buffer): number {
  return block[FIELD.mtime[0]] === 0xff ? 0 : readNumber(block, "mtime");
}

function untilNul(body: Buffer): Buffer {
  const end = body.indexOf(0);
  if (end < 0) return body;
  if (body.subarray(end).some((byte) => byte !== 0))
    throw new ArchiveError("a long name contains a NUL byte");
  return body.subarray(0, end);
}

/** Records are `LENGTH KEY=VALUE\n`, the length counting itself. */
function decodePax(body: Buffer): Extension {
  let found: Extension = {};
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? "" : body.toString("latin1", at, space);
    if (!/^[1-9][0-9]{0,5}$/.test(digits)) throw new ArchiveError("an extended header is malformed");
    const end = at + Number(digits);
    const equals = body.indexOf(0x3d, space);
    if (end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end) {
      throw new ArchiveError("an extended header is malformed");
    }
    const key = body.toString("latin1", space + 1, equals);
    found = mergeExtensions(found, paxRecord(key, body.subarray(equals + 1, end - 1)));
    at = end;
  }
  return found;
}

function paxRecord(key: string, value: Buffer): Extension {
  if (key.startsWith("GNU.sparse.")) throw new ArchiveError("a sparse file is not taken");
  switch (key) {
    case "path":
    case "linkpath":
      if (value.includes(0)) throw new ArchiveError("a name contains a NUL byte");
      return key === "path" ? { name: Buffer.from(value) } : { target: Buffer.from(value) };
    case "size": {
      const size = Number(value.toString("latin1"));
      if (!/^[0-9]{1,16}$/.test(value.toString("latin1")) || !Number.isSafeInteger(size)) {
        throw new ArchiveError("an entry's size is no number");
      }
      return { size };
    }
    default:
      return {};
  }
}
