/**
 * The numbers and records of an ext4 file system, as bytes. Contract: what is encoded here is what the kernel and
 * e2fsck read; nothing is decoded.
 * Source: Linux, Documentation/filesystems/ext4 (super, group_descr, inodes, ifork, directory, attributes, journal).
 */

export const BLOCK = 4096;
/** As many as one block's bits can tell of. */
export const BLOCKS_PER_GROUP = 8 * BLOCK;
export const INODE_BYTES = 256;
export const DESCRIPTOR_BYTES = 32;
export const SUPERBLOCK_OFFSET = 1024;
export const SUPERBLOCK_BYTES = 1024;
export const SUPERBLOCK_MAGIC = 0xef53;

export const ROOT_INODE = 2;
export const JOURNAL_INODE = 8;
export const JOURNAL_MAGIC = 0xc03b3998;
/** Those before it are the file system's own. */
export const FIRST_FREE_INODE = 11;

/** What fits beside the pointer fields, and so needs no block. */
export const FAST_SYMLINK_BYTES = 60;
/** An extent's length has fifteen bits and one for "not written yet". */
export const MAX_EXTENT_BLOCKS = 32_768;
export const EXTENT_RECORD = 12;
export const EXTENT_MAGIC = 0xf30a;
export const EXTENTS_IN_INODE = 4;
export const EXTENTS_IN_BLOCK = (BLOCK - EXTENT_RECORD) / EXTENT_RECORD;
/** Of a file whose extents are one level below its inode: deeper trees are for files of many terabytes. */
export const MAX_EXTENTS = EXTENTS_IN_INODE * EXTENTS_IN_BLOCK;
/** The number of a file's block has 32 bits. */
export const MAX_FILE_BYTES = (2 ** 32 - 1) * BLOCK;

export const TYPE_BITS = {
  fifo: 0o010000,
  "character-device": 0o020000,
  directory: 0o040000,
  "block-device": 0o060000,
  file: 0o100000,
  symlink: 0o120000,
} as const;
export type NodeType = keyof typeof TYPE_BITS;

const DIRECTORY_ENTRY_TYPE: Readonly<Record<NodeType, number>> = {
  file: 1,
  directory: 2,
  "character-device": 3,
  "block-device": 4,
  fifo: 5,
  symlink: 7,
};

/** No checksums and no 64-bit addresses: a disk that lives as long as its bottle, far below 16 TiB. */
const COMPATIBLE = { journal: 0x4, attributes: 0x8, directoryIndex: 0x20, noBackups: 0x200 };
const INCOMPATIBLE = { entryTypes: 0x2, extents: 0x40, metadataAnywhere: 0x200 };
const READ_ONLY_COMPATIBLE = { sparseSuper: 0x1, largeFile: 0x2, manyFolders: 0x20, extraFields: 0x40 };
const sum = (flags: Readonly<Record<string, number>>): number =>
  Object.values(flags).reduce((all, flag) => all | flag, 0);
/** What a disk of ours has, and whoever reads it must know: to read it, and to write to it. */
export const FEATURES = { toRead: sum(INCOMPATIBLE), toWrite: sum(READ_ONLY_COMPATIBLE) };

/** A piece of a file: `count` blocks at `first`, which are the file's blocks from `logical` on. */
export interface Run {
  readonly logical: number;
  readonly first: number;
  readonly count: number;
}

export interface Superblock {
  readonly blocks: number;
  readonly freeBlocks: number;
  readonly inodesPerGroup: number;
  readonly groups: number;
  readonly freeInodes: number;
  readonly uuid: Buffer;
  readonly journal: { readonly pointers: Buffer; readonly bytes: number };
}

/** Block 0 of the disk. */
export function encodeSuperblock(of: Superblock): Buffer {
  const block = Buffer.alloc(BLOCK);
  const at = block.subarray(SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES);
  at.writeUInt32LE(of.inodesPerGroup * of.groups, 0x00);
  at.writeUInt32LE(of.blocks, 0x04);
  at.writeUInt32LE(of.freeBlocks, 0x0c);
  at.writeUInt32LE(of.freeInodes, 0x10);
  const logBlock = Math.log2(BLOCK) - 10;
  at.writeUInt32LE(logBlock, 0x18);
  at.writeUInt32LE(logBlock, 0x1c);
  at.writeUInt32LE(BLOCKS_PER_GROUP, 0x20);
  at.writeUInt32LE(BLOCKS_PER_GROUP, 0x24);
  at.writeUInt32LE(of.inodesPerGroup, 0x28);
  // Never due for a check by the number of its mounts.
  at.writeUInt16LE(0xffff, 0x36);
  at.writeUInt16LE(SUPERBLOCK_MAGIC, 0x38);
  const clean = 1;
  const onErrorContinue = 1;
  at.writeUInt16LE(clean, 0x3a);
  at.writeUInt16LE(onErrorContinue, 0x3c);
  const dynamicRevision = 1;
  at.writeUInt32LE(dynamicRevision, 0x4c);
  at.writeUInt32LE(FIRST_FREE_INODE, 0x54);
  at.writeUInt16LE(INODE_BYTES, 0x58);
  at.writeUInt32LE(sum(COMPATIBLE), 0x5c);
  at.writeUInt32LE(FEATURES.toRead, 0x60);
  at.writeUInt32LE(FEATURES.toWrite, 0x64);
  of.uuid.copy(at, 0x68, 0, 16);
  at.writeUInt32LE(JOURNAL_INODE, 0xe0);
  // Seeds the hashes of directory names: of this disk's own, and the same each time it is made.
  of.uuid.copy(at, 0xec, 0, 16);
  const halfMd4 = 1;
  at.writeUInt8(halfMd4, 0xfc);
  const journalIsNotedHere = 1;
  at.writeUInt8(journalIsNotedHere, 0xfd);
  const attributesAndAcls = 0xc;
  at.writeUInt32LE(attributesAndAcls, 0x100);
  of.journal.pointers.copy(at, 0x10c, 0, 60);
  at.writeUInt32LE(of.journal.bytes, 0x10c + 64);
  at.writeUInt16LE(32, 0x15c);
  at.writeUInt16LE(32, 0x15e);
  const signedHash = 1;
  at.writeUInt32LE(signedHash, 0x160);
  // Sixteen groups are filled together.
  at.writeUInt8(4, 0x174);
  return block;
}

export interface GroupDescriptor {
  readonly blockBitmap: number;
  readonly inodeBitmap: number;
  readonly inodeTable: number;
  readonly freeBlocks: number;
  readonly freeInodes: number;
  readonly directories: number;
}

export function encodeDescriptor(of: GroupDescriptor, into: Buffer, at: number): void {
  into.writeUInt32LE(of.blockBitmap, at);
  into.writeUInt32LE(of.inodeBitmap, at + 4);
  into.writeUInt32LE(of.inodeTable, at + 8);
  into.writeUInt16LE(of.freeBlocks, at + 12);
  into.writeUInt16LE(of.freeInodes, at + 14);
  into.writeUInt16LE(of.directories, at + 16);
}

export interface InodeRecord {
  readonly type: NodeType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly links: number;
  readonly size: number;
  /** All that belong to it, those of its bookkeeping too. */
  readonly blocks: number;
  /** Sixty bytes: the root of its extents, a short link's target, a device's numbers. */
  readonly pointers: Buffer;
  readonly hasExtents: boolean;
  readonly attributes?: { readonly inside?: Buffer; readonly block?: number };
}

/** Seconds have 34 bits: till 2446. */
const MAX_TIME = 2 ** 34 - 2 ** 31 - 1;
const INODE_USES_EXTENTS = 0x8_0000;

export function encodeInode(of: InodeRecord, into: Buffer, at: number): void {
  into.writeUInt16LE(TYPE_BITS[of.type] | (of.mode & 0o7777), at);
  into.writeUInt16LE(of.uid & 0xffff, at + 0x02);
  into.writeUInt32LE(of.size % 2 ** 32, at + 0x04);
  const time = Math.min(Math.max(0, of.mtime), MAX_TIME);
  const low = time | 0;
  const epoch = Math.round((time - low) / 2 ** 32);
  for (const field of [0x08, 0x0c, 0x10, 0x90]) into.writeInt32LE(low, at + field);
  for (const field of [0x84, 0x88, 0x8c, 0x94]) into.writeUInt32LE(epoch, at + field);
  into.writeUInt16LE(of.gid & 0xffff, at + 0x18);
  into.writeUInt16LE(of.links, at + 0x1a);
  into.writeUInt32LE((of.blocks * BLOCK) / 512, at + 0x1c);
  into.writeUInt32LE(of.hasExtents ? INODE_USES_EXTENTS : 0, at + 0x20);
  of.pointers.copy(into, at + 0x28, 0, 60);
  into.writeUInt32LE(of.attributes?.block ?? 0, at + 0x68);
  into.writeUInt32LE(Math.floor(of.size / 2 ** 32), at + 0x6c);
  into.writeUInt16LE(of.uid >>> 16, at + 0x78);
  into.writeUInt16LE(of.gid >>> 16, at + 0x7a);
  into.writeUInt16LE(EXTRA_FIELDS, at + 0x80);
  of.attributes?.inside?.copy(into, at + 128 + EXTRA_FIELDS);
}

const EXTRA_FIELDS = 32;
/** What an inode has room for besides its own fields. */
export const ATTRIBUTE_BYTES_IN_INODE = INODE_BYTES - 128 - EXTRA_FIELDS;

/** A node of an extent tree: of extents (depth 0), or of pointers to such nodes. */
export function encodeExtents(runs: readonly Run[], bytes: number): Buffer {
  const node = extentHeader(runs.length, 0, bytes);
  runs.forEach(({ logical, first, count }, i) => {
    const at = EXTENT_RECORD * (i + 1);
    node.writeUInt32LE(logical, at);
    node.writeUInt16LE(count, at + 4);
    node.writeUInt32LE(first, at + 8);
  });
  return node;
}

export function encodeExtentIndex(
  leaves: readonly { readonly logical: number; readonly block: number }[],
): Buffer {
  const node = extentHeader(leaves.length, 1, 60);
  leaves.forEach(({ logical, block }, i) => {
    const at = EXTENT_RECORD * (i + 1);
    node.writeUInt32LE(logical, at);
    node.writeUInt32LE(block, at + 4);
  });
  return node;
}

function extentHeader(entries: number, depth: number, bytes: number): Buffer {
  const node = Buffer.alloc(bytes);
  node.writeUInt16LE(EXTENT_MAGIC, 0);
  node.writeUInt16LE(entries, 2);
  node.writeUInt16LE(Math.floor((bytes - EXTENT_RECORD) / EXTENT_RECORD), 4);
  node.writeUInt16LE(depth, 6);
  return node;
}

/** A device's numbers, as its inode has them: in the old form where they fit. */
export function encodeDevice(major: number, minor: number): Buffer {
  const pointers = Buffer.alloc(60);
  if (major < 256 && minor < 256) pointers.writeUInt32LE((major << 8) | minor, 0);
  else pointers.writeUInt32LE(((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0, 4);
  return pointers;
}

/** Linux has twelve bits for one and twenty for the other. */
export const MAX_DEVICE_MAJOR = 0xfff;
export const MAX_DEVICE_MINOR = 0xf_ffff;

/** A folder's blocks. `entries` begin with `.` and `..`; names are latin1, a character a byte. */
export function encodeDirectory(
  entries: readonly { readonly name: string; readonly inode: number; readonly type: NodeType }[],
): Buffer {
  const blocks: Buffer[] = [];
  let block = Buffer.alloc(BLOCK);
  let at = 0;
  let last = 0;
  const close = (): void => {
    // The last one has the rest.
    block.writeUInt16LE(BLOCK - last, last + 4);
    blocks.push(block);
  };
  for (const { name, inode, type } of entries) {
    const length = (8 + name.length + 3) & ~3;
    if (at + length > BLOCK) {
      close();
      block = Buffer.alloc(BLOCK);
      at = 0;
    }
    block.writeUInt32LE(inode, at);
    block.writeUInt16LE(length, at + 4);
    block.writeUInt8(name.length, at + 6);
    block.writeUInt8(DIRECTORY_ENTRY_TYPE[type], at + 7);
    block.write(name, at + 8, "latin1");
    last = at;
    at += length;
  }
  close();
  return Buffer.concat(blocks);
}

/** The first block of an empty journal. Everything in it is big-endian. */
export function encodeJournal(blocks: number, uuid: Buffer): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.writeUInt32BE(JOURNAL_MAGIC, 0x00);
  const superblockOfVersion2 = 4;
  block.writeUInt32BE(superblockOfVersion2, 0x04);
  block.writeUInt32BE(BLOCK, 0x0c);
  block.writeUInt32BE(blocks, 0x10);
  block.writeUInt32BE(1, 0x14);
  block.writeUInt32BE(1, 0x18);
  uuid.copy(block, 0x30, 0, 16);
  block.writeUInt32BE(1, 0x40);
  return block;
}
