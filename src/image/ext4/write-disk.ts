/**
 * Makes an ext4 disk of a tree whose content is on it already. As data and names come first and the tables last,
 * one pass does; and as nothing depends on a clock, a random number or this host's own disk, the same image makes
 * the same bytes. (`mke2fs -d` wants the tree on the host's disk first, under names that a stranger chose, with
 * owners, devices and attributes that an ordinary user cannot give; docs/images.md has the comparison.)
 */
import type { FileHandle } from "node:fs/promises";
import { UserError } from "../../lib/errors.ts";
import { type FolderNode, newFolder } from "../tree.ts";
import { Bitmap } from "./bitmap.ts";
import { DiskContent, writeAll } from "./content.ts";
import {
  BLOCK,
  BLOCKS_PER_GROUP,
  DESCRIPTOR_BYTES,
  encodeDescriptor,
  encodeInode,
  encodeJournal,
  encodeSuperblock,
  FIRST_FREE_INODE,
  INODE_BYTES,
  type InodeRecord,
  JOURNAL_INODE,
  ROOT_INODE,
} from "./format.ts";
import { InodeWriter } from "./inode-writer.ts";
import { numberTree } from "./numbering.ts";

/** One file per so many bytes of disk, as mke2fs does; more when the image itself has more. */
const BYTES_PER_INODE = 16 * 1024;
/** Besides those of the image: for what the agent makes on a small disk. */
const SPARE_INODES = 16_384;
const INODES_PER_BLOCK = BLOCK / INODE_BYTES;

/** A guest that is killed loses what it was writing, and not its disk. */
const JOURNAL_BLOCKS = { large: 8_192, small: 1_024, largeFrom: 512 * 1024 ** 2 };

/** Below it a journal has no room beside anything; above it block numbers need 64 bits. */
export const MIN_DISK_BYTES = 64 * 1024 ** 2;
export const MAX_DISK_BYTES = 8 * 1024 ** 4;

export interface DiskWriter {
  readonly content: DiskContent;
  /** Writes what describes `root`, whose content was put into `content`. `seed`: 16 bytes that name the disk. */
  finish(root: FolderNode, seed: Buffer): Promise<void>;
}

/** Begins a disk of `bytes` in an empty file. */
export function beginDisk(file: FileHandle, bytes: number): DiskWriter {
  if (bytes < MIN_DISK_BYTES || bytes > MAX_DISK_BYTES) {
    throw new UserError("a guest's disk is between 64 MiB and 8 TiB", { hint: "resources: {disk: 16G}" });
  }
  const blocks = Math.floor(bytes / BLOCK);
  const groups = Math.ceil(blocks / BLOCKS_PER_GROUP);
  const firstFree = 1 + Math.ceil((groups * DESCRIPTOR_BYTES) / BLOCK);
  const content = new DiskContent(file, firstFree, blocks);
  return {
    content,
    async finish(root, seed) {
      await new Tables(file, content, { blocks, groups, firstFree }).write(root, uuidOf(seed));
      await content.flush();
      await file.truncate(blocks * BLOCK);
    },
  };
}

interface Shape {
  readonly blocks: number;
  readonly groups: number;
  readonly firstFree: number;
}

class Tables {
  readonly #file: FileHandle;
  readonly #content: DiskContent;
  readonly #shape: Shape;
  readonly #used: Bitmap;

  constructor(file: FileHandle, content: DiskContent, shape: Shape) {
    this.#file = file;
    this.#content = content;
    this.#shape = shape;
    this.#used = new Bitmap(shape.groups * BLOCKS_PER_GROUP);
  }

  async write(root: FolderNode, uuid: Buffer): Promise<void> {
    if (root.children.get("lost+found")?.node.type !== "directory") {
      // e2fsck wants a place for what it finds.
      const node = newFolder({ mode: 0o700, uid: 0, gid: 0, mtime: root.attributes.mtime });
      root.children.set("lost+found", { node, layer: 0 });
    }
    const numbering = numberTree(root);
    const inodeWriter = new InodeWriter(this.#content, numbering, this.#used);
    const { blocks, groups, firstFree } = this.#shape;
    const used = FIRST_FREE_INODE + numbering.nodes.length;
    const wanted = Math.max(used + SPARE_INODES, Math.ceil((blocks * BLOCK) / BYTES_PER_INODE));
    const perGroup = Math.ceil(wanted / groups / INODES_PER_BLOCK) * INODES_PER_BLOCK;
    if (perGroup > BLOCKS_PER_GROUP) throw tooManyFiles();

    this.#used.add(0, firstFree);
    const table = Buffer.alloc((used - 1) * INODE_BYTES);
    const put = (number: number, record: InodeRecord): void =>
      encodeInode(record, table, (number - 1) * INODE_BYTES);
    put(ROOT_INODE, await inodeWriter.record(root));
    for (const node of numbering.nodes) put(numbering.numberOf(node), await inodeWriter.record(node));
    const journal = await this.#journal(uuid, inodeWriter);
    put(JOURNAL_INODE, journal);

    const tableBlocks = perGroup / INODES_PER_BLOCK;
    const blockBitmaps = await inodeWriter.take(groups);
    const inodeBitmaps = await inodeWriter.take(groups);
    const inodeTables = await inodeWriter.take(groups * tableBlocks);
    await writeAll(this.#file, table, inodeTables * BLOCK);

    const folders = new Uint32Array(groups);
    for (const folder of numbering.folders()) {
      const group = Math.floor((numbering.numberOf(folder) - 1) / perGroup);
      folders[group] = (folders[group] ?? 0) + 1;
    }
    const inodes = new Bitmap(groups * perGroup);
    inodes.add(0, FIRST_FREE_INODE - 1 + numbering.nodes.length);
    const descriptors = Buffer.alloc(Math.ceil((groups * DESCRIPTOR_BYTES) / BLOCK) * BLOCK);
    let freeBlocks = 0;
    let freeInodes = 0;
    for (let group = 0; group < groups; group++) {
      const first = group * BLOCKS_PER_GROUP;
      const count = Math.min(BLOCKS_PER_GROUP, blocks - first);
      const free = {
        blocks: count - this.#used.count(first, count),
        inodes: perGroup - inodes.count(group * perGroup, perGroup),
      };
      freeBlocks += free.blocks;
      freeInodes += free.inodes;
      encodeDescriptor(
        {
          blockBitmap: blockBitmaps + group,
          inodeBitmap: inodeBitmaps + group,
          inodeTable: inodeTables + group * tableBlocks,
          freeBlocks: free.blocks,
          freeInodes: free.inodes,
          directories: folders[group] ?? 0,
        },
        descriptors,
        group * DESCRIPTOR_BYTES,
      );
    }
    // What lies behind the end can be given to nobody.
    this.#used.add(blocks, groups * BLOCKS_PER_GROUP - blocks);
    await writeAll(this.#file, this.#used.bytes, blockBitmaps * BLOCK);
    await writeAll(this.#file, inodeBitmapBlocks(inodes, groups, perGroup), inodeBitmaps * BLOCK);
    await writeAll(this.#file, descriptors, BLOCK);
    const superblock = encodeSuperblock({
      blocks,
      freeBlocks,
      groups,
      inodesPerGroup: perGroup,
      freeInodes,
      uuid,
      journal: { pointers: journal.pointers, bytes: journal.size },
    });
    await writeAll(this.#file, superblock, 0);
  }

  async #journal(uuid: Buffer, inodeWriter: InodeWriter): Promise<InodeRecord> {
    const { large, small, largeFrom } = JOURNAL_BLOCKS;
    const count = this.#shape.blocks * BLOCK >= largeFrom ? large : small;
    const first = await inodeWriter.take(count);
    await writeAll(this.#file, encodeJournal(count, uuid), first * BLOCK);
    return {
      type: "file",
      mode: 0o600,
      uid: 0,
      gid: 0,
      mtime: 0,
      links: 1,
      size: count * BLOCK,
      ...(await inodeWriter.extents([{ logical: 0, first, count }])),
    };
  }
}

/** A group's inodes fill a part of its block; the rest can be given to nobody. */
function inodeBitmapBlocks(inodes: Bitmap, groups: number, perGroup: number): Buffer {
  const blocks = Buffer.alloc(groups * BLOCK, 0xff);
  for (let group = 0; group < groups; group++) {
    inodes.bytes.copy(blocks, group * BLOCK, (group * perGroup) / 8, ((group + 1) * perGroup) / 8);
  }
  return blocks;
}

/** A version 8 UUID: its bits are ours to choose. */
function uuidOf(seed: Buffer): Buffer {
  const uuid = Buffer.from(seed.subarray(0, 16));
  uuid[6] = ((uuid[6] ?? 0) & 0x0f) | 0x80;
  uuid[8] = ((uuid[8] ?? 0) & 0x3f) | 0x80;
  return uuid;
}

function tooManyFiles(): UserError {
  return new UserError("the image has more files than a disk of this size can hold", {
    hint: "give the bottle a larger one: resources: {disk: 40G}",
  });
}
