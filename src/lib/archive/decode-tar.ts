/** Reads the headers of tar-format.ts, block by block. What is not plainly well-formed is refused. */
import { printable } from "../printable.ts";
import type { Extension } from "./tar-extensions.ts";
import {
  ArchiveError,
  checksum,
  FIELD,
  type Segment,
  type TarHeader,
  type TarType,
  TYPE_FLAGS,
} from "./tar-format.ts";

/** Sum of the header's own limits: a path of the kernel's PATH_MAX, and some attributes beside it. */
const MAX_EXTENSION_BYTES = 64 * 1024;

const TYPES: ReadonlyMap<string, TarType> = new Map([
  ...Object.entries(TYPE_FLAGS).map(([type, flag]) => [flag, type as TarType] as const),
  ["\0", "file"],
  // "Contiguous file": a file for everybody who has no such thing, which is everybody.
  ["7", "file"],
]);

const OLD_SPARSE = "S";
const DEVICES: ReadonlySet<TarType> = new Set(["character-device", "block-device"]);

const NOTHING = Buffer.alloc(0);

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
    throw new ArchiveError(`an entry has the type "${printable(flag)}", which is not taken`);
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
