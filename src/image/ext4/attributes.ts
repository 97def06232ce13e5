/**
 * Extended attributes of an inode, as ext4 has them: in the inode where they fit, else in one block. Kept are the
 * two kinds that mean the same on every system: `user.*`, and what a program may do (`security.capability`).
 */
import { ArchiveError } from "../../lib/archive/tar-format.ts";
import { ATTRIBUTE_BYTES_IN_INODE, BLOCK } from "./format.ts";

const MAGIC = 0xea02_0000;
const BLOCK_HEADER = 32;
const ENTRY_HEADER = 16;
const END_MARK = 4;

const USER = { prefix: "user.", index: 1 };
const SECURITY = { prefix: "security.", index: 6 };

/** False for labels of another system, another file system's bookkeeping, and access lists. */
export function isKeptAttribute(name: string): boolean {
  return name === "security.capability" || (name.startsWith(USER.prefix) && /^[!-~]{6,250}$/.test(name));
}

interface Entry {
  readonly index: number;
  readonly name: string;
  readonly value: Buffer;
}

export type EncodedAttributes = { readonly inside: Buffer } | { readonly block: Buffer };

/** @throws ArchiveError when they need more than one block. */
export function encodeAttributes(attributes: ReadonlyMap<string, Buffer>): EncodedAttributes {
  const entries = [...attributes].map(([name, value]): Entry => {
    const { prefix, index } = name.startsWith(USER.prefix) ? USER : SECURITY;
    return { index, name: name.slice(prefix.length), value };
  });
  entries.sort(byKernelOrder);
  const bytes = entries.reduce(
    (all, { name, value }) => all + entryBytes(name) + padded(value.length),
    END_MARK,
  );
  if (4 + bytes <= ATTRIBUTE_BYTES_IN_INODE) {
    const inside = Buffer.alloc(ATTRIBUTE_BYTES_IN_INODE);
    inside.writeUInt32LE(MAGIC, 0);
    writeEntries(entries, inside.subarray(4), 0);
    return { inside };
  }
  if (BLOCK_HEADER + bytes > BLOCK) {
    throw new ArchiveError(`a file has more than ${BLOCK - BLOCK_HEADER} bytes of extended attributes`);
  }
  const block = Buffer.alloc(BLOCK);
  block.writeUInt32LE(MAGIC, 0);
  block.writeUInt32LE(1, 4);
  block.writeUInt32LE(1, 8);
  const hashes = writeEntries(entries, block, BLOCK_HEADER);
  block.writeUInt32LE(
    hashes.reduce((all, hash) => ((all << 16) ^ (all >>> 16) ^ hash) >>> 0, 0),
    12,
  );
  return { block };
}

/** Entries from `at` on, values from the end backwards. @returns the entries' hashes. */
function writeEntries(entries: readonly Entry[], area: Buffer, at: number): number[] {
  let entryAt = at;
  let valueAt = area.length;
  return entries.map(({ index, name, value }) => {
    valueAt -= padded(value.length);
    value.copy(area, valueAt);
    const hash = hashOf(name, value);
    area.writeUInt8(name.length, entryAt);
    area.writeUInt8(index, entryAt + 1);
    area.writeUInt16LE(value.length === 0 ? 0 : valueAt, entryAt + 2);
    area.writeUInt32LE(value.length, entryAt + 8);
    area.writeUInt32LE(hash, entryAt + 12);
    area.write(name, entryAt + ENTRY_HEADER, "latin1");
    entryAt += entryBytes(name);
    return hash;
  });
}

/** The kernel looks for a name by bisection. */
function byKernelOrder(a: Entry, b: Entry): number {
  return a.index - b.index || a.name.length - b.name.length || (a.name < b.name ? -1 : 1);
}

function entryBytes(name: string): number {
  return padded(ENTRY_HEADER + name.length);
}

function padded(bytes: number): number {
  return (bytes + 3) & ~3;
}

function hashOf(name: string, value: Buffer): number {
  let hash = 0;
  for (let i = 0; i < name.length; i++) hash = ((hash << 5) ^ (hash >>> 27) ^ name.charCodeAt(i)) >>> 0;
  const words = Buffer.alloc(padded(value.length));
  value.copy(words);
  for (let at = 0; at < words.length; at += 4) {
    hash = ((hash << 16) ^ (hash >>> 16) ^ words.readUInt32LE(at)) >>> 0;
  }
  return hash;
}
