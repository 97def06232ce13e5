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

/** Pieces of one sparse file: more than a database or a disk image has, few enough to be kept in memory. */
export const MAX_SEGMENTS = 10_000;

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
  /** Of a device. */
  readonly device?: { readonly major: number; readonly minor: number };
  /** Extended attributes by their full name. */
  readonly attributes?: ReadonlyMap<string, Buffer>;
  /** Of a sparse file: where in it the bytes that follow lie. `size` is then the file's, not theirs. */
  readonly segments?: readonly Segment[];
}

/** In order and apart; `offset` plus `length` is within the file. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
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
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
  // GNU's own way to say that a file is sparse: four segments here, more in blocks that follow.
  sparse: [386, 96],
  sparseContinues: [482, 1],
  sparseSize: [483, 12],
} as const satisfies Record<string, readonly [number, number]>;

const OLD_SPARSE = "S";
const DEVICES: ReadonlySet<TarType> = new Set(["character-device", "block-device"]);

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
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly attributes?: ReadonlyMap<string, Buffer>;
  readonly sparse?: SparseRecords;
}

/** What pax records say of a sparse file. Three generations of GNU tar did it in three ways. */
interface SparseRecords {
  readonly size?: number;
  /** `offset,length,…` as text, or one number after the other. */
  readonly map?: readonly number[];
  /** The map stands before the content. */
  readonly mapInBody?: true;
}

export type DecodedBlock =
  | { readonly kind: "end" }
  | { readonly kind: "entry"; readonly header: TarHeader; readonly body: Body }
  /** `size` bytes follow for {@link decodeExtension}. */
  | { readonly kind: "extension"; readonly flag: "L" | "K" | "x" | "g"; readonly size: number };

/** What follows an entry's header, padded to whole blocks. */
export interface Body {
  readonly bytes: number;
  /** What has to be read first to know where the rest belongs. */
  readonly map?: "blocks" | "body";
}

/**
 * Reads one 512-byte block.
 * @throws ArchiveError when it is no header, or one of a kind that is not taken (multi-volume, …).
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
  const plainType = flag === OLD_SPARSE ? "file" : TYPES.get(flag);
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
    mtime: before.mtime ?? readTime(block),
    uid: before.uid ?? readNumber(block, "uid"),
    gid: before.gid ?? readNumber(block, "gid"),
    target: before.target ?? readBytes(block, "target"),
    ...(before.attributes && { attributes: before.attributes }),
    ...(DEVICES.has(type) && {
      device: { major: readNumber(block, "major"), minor: readNumber(block, "minor") },
    }),
  };
  if (type !== "file" && header.size !== 0) {
    throw new ArchiveError(`a ${type} claims a content of ${header.size} bytes`);
  }
  const body = { bytes: header.size };
  if (flag === OLD_SPARSE) {
    const map = block[FIELD.sparseContinues[0]] === 0 ? undefined : ("blocks" as const);
    const segments = readSegments(block, FIELD.sparse);
    const sparse = { ...header, size: readNumber(block, "sparseSize"), segments };
    return { kind: "entry", header: sparse, body: { ...body, ...(map && { map }) } };
  }
  if (before.sparse === undefined || type !== "file") return { kind: "entry", header, body };
  const { size: realSize = header.size, map = [], mapInBody } = before.sparse;
  if (map.length % 2 !== 0) throw new ArchiveError("a sparse file's map is malformed");
  const segments = inPairs(map);
  const sparse = { ...header, size: realSize, segments };
  return { kind: "entry", header: sparse, body: { ...body, ...(mapInBody && { map: "body" }) } };
}

/** A block that continues the map of {@link Body.map} `blocks`. */
export function decodeSparseBlock(block: Buffer): { segments: readonly Segment[]; continues: boolean } {
  return { segments: readSegments(block, [0, 504]), continues: block[504] !== 0 };
}

/** @throws ArchiveError when segments overlap, leave the file, or are not as long as what follows. */
export function checkSegments(header: TarHeader, bytes: number): void {
  let end = 0;
  let sum = 0;
  for (const { offset, length } of header.segments ?? []) {
    if (offset < end) throw new ArchiveError("a sparse file's pieces overlap");
    end = offset + length;
    sum += length;
  }
  if (end > header.size) throw new ArchiveError("a sparse file's piece lies behind its end");
  if (sum !== bytes) throw new ArchiveError("a sparse file's map does not fit its content");
}

/** Numbers in twos, without the empty pieces that only mark an end. */
export function inPairs(numbers: readonly number[]): Segment[] {
  const segments: Segment[] = [];
  for (let i = 0; i + 1 < numbers.length; i += 2) {
    const [offset = 0, length = 0] = [numbers[i], numbers[i + 1]];
    if (length > 0) segments.push({ offset, length });
  }
  return segments;
}

function readSegments(block: Buffer, [offset, length]: readonly [number, number]): Segment[] {
  const numbers: number[] = [];
  for (let at = offset; at < offset + length && block[at] !== 0; at += 12) {
    numbers.push(numberIn(block.subarray(at, at + 12), "sparse map"));
  }
  return inPairs(numbers);
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
      if (Object.keys(global).length > 0) throw new ArchiveError("a global header changes every entry");
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

type NumberField = Exclude<keyof typeof FIELD, "name" | "target" | "prefix" | "magic" | "type" | "sparse">;

function readNumber(block: Buffer, field: NumberField): number {
  const [offset, length] = FIELD[field];
  return numberIn(block.subarray(offset, offset + length), field);
}

function numberIn(bytes: Buffer, field: string): number {
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
  const attributes = new Map<string, Buffer>();
  const sparse = new SparseReader();
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
    const value = body.subarray(equals + 1, end - 1);
    if (key.startsWith(ATTRIBUTE_KEY)) {
      const name = key.slice(ATTRIBUTE_KEY.length);
      if (attributes.has(name)) throw new ArchiveError("an entry has an extended attribute twice");
      attributes.set(name, Buffer.from(value));
    } else if (key === SPARSE_NAME) {
      // Beside a path that only says what wrote it.
      if (sparse.named) throw new ArchiveError("an entry has its name twice");
      found = { ...found, ...paxRecord("path", value) };
      sparse.named = true;
    } else if (key.startsWith(SPARSE_KEY)) {
      sparse.add(key.slice(SPARSE_KEY.length), value);
    } else if (!(key === "path" && sparse.named)) {
      found = mergeExtensions(found, paxRecord(key, value));
    }
    at = end;
  }
  const records = sparse.records();
  return {
    ...found,
    ...(attributes.size > 0 && { attributes }),
    ...(records !== undefined && { sparse: records }),
  };
}

/** As star and GNU tar write them, and everybody who makes images. */
const ATTRIBUTE_KEY = "SCHILY.xattr.";
const SPARSE_KEY = "GNU.sparse.";
const SPARSE_NAME = "GNU.sparse.name";

class SparseReader {
  named = false;
  readonly #numbers: number[] = [];
  #size: number | undefined;
  #seen = false;
  #inBody = false;

  add(key: string, value: Buffer): void {
    this.#seen = true;
    switch (key) {
      case "size":
      case "realsize":
        if (this.#size !== undefined) throw new ArchiveError("an entry has its size twice");
        this.#size = paxNumber("size", value);
        return;
      case "offset":
      case "numbytes":
        // Offset and length take turns.
        if ((key === "offset") !== (this.#numbers.length % 2 === 0)) {
          throw new ArchiveError("a sparse file's map is malformed");
        }
        this.#push(value);
        return;
      case "map":
        for (const text of value.toString("latin1").split(",")) this.#push(Buffer.from(text));
        return;
      case "major":
        if (value.toString("latin1") === "1") this.#inBody = true;
        return;
      case "minor":
      case "numblocks":
        return;
      default:
        throw new ArchiveError("a sparse file is of a kind that is not taken");
    }
  }

  records(): SparseRecords | undefined {
    if (!this.#seen) return undefined;
    return {
      ...(this.#size !== undefined && { size: this.#size }),
      ...(this.#inBody ? { mapInBody: true } : { map: this.#numbers }),
    };
  }

  #push(value: Buffer): void {
    if (this.#numbers.length >= 2 * MAX_SEGMENTS) {
      throw new ArchiveError(`a sparse file has more than ${MAX_SEGMENTS} pieces`);
    }
    this.#numbers.push(paxNumber("sparse map", value));
  }
}

function paxRecord(key: string, value: Buffer): Extension {
  switch (key) {
    case "path":
    case "linkpath":
      if (value.includes(0)) throw new ArchiveError("a name contains a NUL byte");
      return key === "path" ? { name: Buffer.from(value) } : { target: Buffer.from(value) };
    case "size":
    case "uid":
    case "gid":
      return { [key]: paxNumber(key, value) };
    case "mtime": {
      const text = value.toString("latin1");
      if (!/^-?[0-9]{1,15}(?:\.[0-9]*)?$/.test(text)) throw new ArchiveError("an entry's mtime is no number");
      return { mtime: Math.max(0, Math.floor(Number(text))) };
    }
    default:
      return {};
  }
}

function paxNumber(key: string, value: Buffer): number {
  const text = value.toString("latin1");
  const number = Number(text);
  if (!/^[0-9]{1,16}$/.test(text) || !Number.isSafeInteger(number)) {
    throw new ArchiveError(`an entry's ${key} is no number`);
  }
  return number;
}
