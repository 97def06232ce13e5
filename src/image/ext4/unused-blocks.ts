/**
 * Which blocks of a disk of ours hold nothing that anybody needs, after strangers wrote to it: those that no file has, and
 * what its journal was. Contract: the disk's word counts for what is unused on it and for nothing else. Every number is
 * checked against the disk's size, and a disk that is not as our writer makes them, or that was not brought to its end
 * (its journal would still change the bitmaps), is refused.
 */
import type { FileHandle } from "node:fs/promises";
import {
  BLOCK,
  BLOCKS_PER_GROUP,
  DESCRIPTOR_BYTES,
  EXTENT_MAGIC,
  EXTENT_RECORD,
  EXTENTS_IN_INODE,
  FEATURES,
  INODE_BYTES,
  JOURNAL_INODE,
  JOURNAL_MAGIC,
  SUPERBLOCK_BYTES,
  SUPERBLOCK_MAGIC,
  SUPERBLOCK_OFFSET,
} from "./format.ts";

/** Blocks in a row, by their numbers on the disk. */
export interface BlockRun {
  readonly first: number;
  readonly count: number;
}

/** @throws Error saying what is not as it should be. */
export async function* unusedBlocks(file: FileHandle): AsyncGenerator<BlockRun, void, void> {
  const blocks = await checkedSize(file);
  const groups = Math.ceil(blocks / BLOCKS_PER_GROUP);
  const descriptors = await readExactly(file, BLOCK, groups * DESCRIPTOR_BYTES);
  const numberAt = (at: number): number => {
    const block = descriptors.readUInt32LE(at);
    if (block >= blocks) throw refusal("a part of it lies outside of it");
    return block;
  };
  yield* pastOfJournal(file, numberAt(8) * BLOCK + (JOURNAL_INODE - 1) * INODE_BYTES, blocks);
  for (let group = 0; group < groups; group++) {
    const bitmap = await readExactly(file, numberAt(group * DESCRIPTOR_BYTES) * BLOCK, BLOCK);
    const first = group * BLOCKS_PER_GROUP;
    yield* runsIn(bitmap, first, Math.min(BLOCKS_PER_GROUP, blocks - first));
  }
}

/** @returns its blocks. */
async function checkedSize(file: FileHandle): Promise<number> {
  const { size } = await file.stat();
  const superblock = await readExactly(file, SUPERBLOCK_OFFSET, SUPERBLOCK_BYTES);
  const blocks = superblock.readUInt32LE(0x04);
  if (superblock.readUInt16LE(0x38) !== SUPERBLOCK_MAGIC) throw refusal("it is no ext4");
  if (superblock.readUInt32LE(0x18) !== Math.log2(BLOCK) - 10) throw refusal("its blocks are not of 4 KiB");
  if (superblock.readUInt32LE(0x20) !== BLOCKS_PER_GROUP) throw refusal("its groups are of another size");
  if (superblock.readUInt16LE(0x58) !== INODE_BYTES) throw refusal("its inodes are of another size");
  // With a journal that is to be read first, that is one of them.
  if (superblock.readUInt32LE(0x60) !== FEATURES.toRead) throw refusal("it was not brought to its end");
  // Of those some change what a bitmap means.
  if ((superblock.readUInt32LE(0x64) & ~FEATURES.toWrite) !== 0) throw refusal("ours have no such features");
  if (blocks === 0 || blocks * BLOCK !== size) throw refusal("its size is not the disk's");
  return blocks;
}

/** All of it but its own superblock: of what was changed once, it still has how that looked. */
async function* pastOfJournal(
  file: FileHandle,
  inodeAt: number,
  blocks: number,
): AsyncGenerator<BlockRun, void, void> {
  const extents = (await readExactly(file, inodeAt, INODE_BYTES)).subarray(0x28, 0x28 + 60);
  const count = extents.readUInt16LE(2);
  const isFlat = extents.readUInt16LE(0) === EXTENT_MAGIC && extents.readUInt16LE(6) === 0;
  if (!isFlat || count === 0 || count > EXTENTS_IN_INODE) throw refusal("its journal is not where ours is");
  for (let i = 1; i <= count; i++) {
    const at = i * EXTENT_RECORD;
    const first = extents.readUInt32LE(at + 8);
    const length = extents.readUInt16LE(at + 4);
    if (first + length > blocks) throw refusal("its journal lies outside of it");
    const own = extents.readUInt32LE(at) === 0 ? 1 : 0;
    if (own === 1) checkJournal(await readExactly(file, first * BLOCK, BLOCK));
    yield { first: first + own, count: length - own };
  }
}

function checkJournal(superblock: Buffer): void {
  if (superblock.readUInt32BE(0) !== JOURNAL_MAGIC) throw refusal("its journal is none");
  // Where it would have to be read from.
  if (superblock.readUInt32BE(0x1c) !== 0) throw refusal("it was not brought to its end");
}

function* runsIn(bitmap: Buffer, first: number, count: number): Generator<BlockRun, void, void> {
  let start: number | undefined;
  for (let i = 0; i < count; i++) {
    const isFree = (((bitmap[i >> 3] ?? 0xff) >> (i & 7)) & 1) === 0;
    if (isFree) start ??= i;
    else if (start !== undefined) {
      yield { first: first + start, count: i - start };
      start = undefined;
    }
  }
  if (start !== undefined) yield { first: first + start, count: count - start };
}

async function readExactly(file: FileHandle, position: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, at, bytes - at, position + at);
    if (bytesRead === 0) throw refusal("it is shorter than it says");
    at += bytesRead;
  }
  return buffer;
}

function refusal(why: string): Error {
  return new Error(`the disk's file system cannot be kept: ${why}`);
}
