/**
 * Makes an ext4 disk of a tree whose content is on it already. As data and names come first and the tables last,
 * one pass does; and as nothing depends on a clock, a random number or this host's own disk, the same image makes
 * the same bytes. (`mke2fs -d` wants the tree on the host's disk first, under names that a stranger chose, with
 * owners, devices and attributes that an ordinary user cannot give; docs/images.md has the comparison.)
 */
import type { FileHandle } from "node:fs/promises";
import { ArchiveError } from "../../lib/archive/tar-format.ts";
import { UserError } from "../../lib/errors.ts";
import { type FolderNode, newFolder, type TreeNode } from "../tree.ts";
import { encodeAttributes } from "./attributes.ts";
import { DiskContent, writeAll } from "./content.ts";
import {
  BLOCK,
  BLOCKS_PER_GROUP,
  DESCRIPTOR_BYTES,
  EXTENTS_IN_BLOCK,
  EXTENTS_IN_INODE,
  encodeDescriptor,
  encodeDevice,
  encodeDirectory,
  encodeExtentIndex,
  encodeExtents,
  encodeInode,
  encodeJournal,
  encodeSuperblock,
  FAST_SYMLINK_BYTES,
  FIRST_FREE_INODE,
  INODE_BYTES,
  type InodeRecord,
  JOURNAL_INODE,
  MAX_EXTENT_BLOCKS,
  MAX_EXTENTS,
  ROOT_INODE,
  type Run,
} from "./format.ts";

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

/** The kernel's EXT4_LINK_MAX. A folder may have more, and then says 1. */
const MAX_LINKS = 65_000;

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
  readonly #numbers = new Map<TreeNode, number>();
  readonly #links = new Map<TreeNode, number>();
  /** Every folder, and the number of the one that it is in. */
  readonly #parents = new Map<FolderNode, number>();
  /** In the order of their numbers, from the first free one on. */
  readonly #nodes: TreeNode[] = [];
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
    this.#number(root);
    const { blocks, groups, firstFree } = this.#shape;
    const used = FIRST_FREE_INODE + this.#nodes.length;
    const wanted = Math.max(used + SPARE_INODES, Math.ceil((blocks * BLOCK) / BYTES_PER_INODE));
    const perGroup = Math.ceil(wanted / groups / INODES_PER_BLOCK) * INODES_PER_BLOCK;
    if (perGroup > BLOCKS_PER_GROUP) throw tooManyFiles();

    this.#used.add(0, firstFree);
    const table = Buffer.alloc((used - 1) * INODE_BYTES);
    const put = (number: number, record: InodeRecord): void =>
      encodeInode(record, table, (number - 1) * INODE_BYTES);
    put(ROOT_INODE, await this.#record(root, ROOT_INODE));
    for (const [i, node] of this.#nodes.entries()) {
      put(FIRST_FREE_INODE + i, await this.#record(node, FIRST_FREE_INODE + i));
    }
    const journal = await this.#journal(uuid);
    put(JOURNAL_INODE, journal);

    const tableBlocks = perGroup / INODES_PER_BLOCK;
    const blockBitmaps = await this.#take(groups);
    const inodeBitmaps = await this.#take(groups);
    const inodeTables = await this.#take(groups * tableBlocks);
    await writeAll(this.#file, table, inodeTables * BLOCK);

    const folders = new Uint32Array(groups);
    for (const folder of this.#parents.keys()) {
      const group = Math.floor(((this.#numbers.get(folder) ?? 1) - 1) / perGroup);
      folders[group] = (folders[group] ?? 0) + 1;
    }
    const inodes = new Bitmap(groups * perGroup);
    inodes.add(0, FIRST_FREE_INODE - 1 + this.#nodes.length);
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

  /** Numbers every node, in byte order of the names: the same tree has the same numbers. */
  #number(root: FolderNode): void {
    this.#numbers.set(root, ROOT_INODE);
    this.#parents.set(root, ROOT_INODE);
    const waiting: FolderNode[] = [root];
    for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
      const below: FolderNode[] = [];
      for (const [, { node }] of sorted(folder)) {
        this.#links.set(node, (this.#links.get(node) ?? 0) + 1);
        if (this.#numbers.has(node)) continue;
        this.#numbers.set(node, FIRST_FREE_INODE + this.#nodes.length);
        this.#nodes.push(node);
        if (node.type !== "directory") continue;
        this.#parents.set(node, this.#numbers.get(folder) ?? ROOT_INODE);
        below.push(node);
      }
      // One by one: hundreds of thousands are too many for one call.
      for (const child of below.reverse()) waiting.push(child);
    }
  }

  async #record(node: TreeNode, number: number): Promise<InodeRecord> {
    const { mode, uid, gid, mtime, extended } = node.attributes;
    const common = { type: node.type, mode, uid, gid, mtime, links: this.#linksOf(node) };
    const attributes = await this.#attributes(extended);
    const own = attributes.block === undefined ? 0 : 1;
    const withAttributes = extended === undefined ? {} : { attributes };
    switch (node.type) {
      case "directory": {
        const bytes = encodeDirectory(this.#entries(node, number));
        const run = await this.#place(bytes);
        const extents = await this.#extents([run]);
        return { ...common, ...withAttributes, ...extents, size: bytes.length, blocks: extents.blocks + own };
      }
      case "file": {
        for (const { first, count } of node.runs) this.#used.add(first, count);
        const extents = await this.#extents(node.runs);
        return { ...common, ...withAttributes, ...extents, size: node.size, blocks: extents.blocks + own };
      }
      case "symlink": {
        const target = Buffer.from(node.target, "latin1");
        if (target.length < FAST_SYMLINK_BYTES) {
          const pointers = Buffer.alloc(60);
          target.copy(pointers);
          return {
            ...common,
            ...withAttributes,
            pointers,
            hasExtents: false,
            size: target.length,
            blocks: own,
          };
        }
        const extents = await this.#extents([await this.#place(target)]);
        return {
          ...common,
          ...withAttributes,
          ...extents,
          size: target.length,
          blocks: extents.blocks + own,
        };
      }
      case "character-device":
      case "block-device": {
        const pointers = encodeDevice(node.major, node.minor);
        return { ...common, ...withAttributes, pointers, hasExtents: false, size: 0, blocks: own };
      }
      case "fifo":
        return {
          ...common,
          ...withAttributes,
          pointers: Buffer.alloc(60),
          hasExtents: false,
          size: 0,
          blocks: own,
        };
    }
  }

  #linksOf(node: TreeNode): number {
    if (node.type !== "directory") {
      const links = this.#links.get(node) ?? 1;
      if (links > MAX_LINKS) throw new ArchiveError(`a file has more than ${MAX_LINKS} names`);
      return links;
    }
    let links = 2;
    for (const { node: child } of node.children.values()) if (child.type === "directory") links += 1;
    return links >= MAX_LINKS ? 1 : links;
  }

  #entries(folder: FolderNode, number: number) {
    const parent = this.#parents.get(folder) ?? ROOT_INODE;
    return [
      { name: ".", inode: number, type: "directory" as const },
      { name: "..", inode: parent, type: "directory" as const },
      ...sorted(folder).map(([name, { node }]) => ({
        name,
        inode: this.#numbers.get(node) ?? 0,
        type: node.type,
      })),
    ];
  }

  async #attributes(
    extended: ReadonlyMap<string, Buffer> | undefined,
  ): Promise<{ inside?: Buffer; block?: number }> {
    if (extended === undefined) return {};
    const encoded = encodeAttributes(extended);
    if ("inside" in encoded) return encoded;
    return { block: (await this.#place(encoded.block)).first };
  }

  /** The extents of a file in as many nodes as they need. */
  async #extents(runs: readonly Run[]): Promise<{ pointers: Buffer; hasExtents: boolean; blocks: number }> {
    const extents = runs.flatMap(inExtents);
    const blocks = runs.reduce((all, { count }) => all + count, 0);
    if (extents.length <= EXTENTS_IN_INODE) {
      return { pointers: encodeExtents(extents, 60), hasExtents: true, blocks };
    }
    if (extents.length > MAX_EXTENTS) throw new ArchiveError("a file is in too many pieces");
    const leaves: { logical: number; block: number }[] = [];
    for (let at = 0; at < extents.length; at += EXTENTS_IN_BLOCK) {
      const part = extents.slice(at, at + EXTENTS_IN_BLOCK);
      const { first } = await this.#place(encodeExtents(part, BLOCK));
      leaves.push({ logical: part[0]?.logical ?? 0, block: first });
    }
    return { pointers: encodeExtentIndex(leaves), hasExtents: true, blocks: blocks + leaves.length };
  }

  async #journal(uuid: Buffer): Promise<InodeRecord> {
    const { large, small, largeFrom } = JOURNAL_BLOCKS;
    const count = this.#shape.blocks * BLOCK >= largeFrom ? large : small;
    const first = await this.#take(count);
    await writeAll(this.#file, encodeJournal(count, uuid), first * BLOCK);
    return {
      type: "file",
      mode: 0o600,
      uid: 0,
      gid: 0,
      mtime: 0,
      links: 1,
      size: count * BLOCK,
      ...(await this.#extents([{ logical: 0, first, count }])),
    };
  }

  async #place(bytes: Buffer): Promise<Run> {
    const first = await this.#content.place(bytes);
    const count = Math.ceil(bytes.length / BLOCK);
    this.#used.add(first, count);
    return { logical: 0, first, count };
  }

  async #take(count: number): Promise<number> {
    const first = await this.#content.skip(count);
    this.#used.add(first, count);
    return first;
  }
}

function inExtents({ logical, first, count }: Run): Run[] {
  const extents: Run[] = [];
  for (let at = 0; at < count; at += MAX_EXTENT_BLOCKS) {
    extents.push({
      logical: logical + at,
      first: first + at,
      count: Math.min(MAX_EXTENT_BLOCKS, count - at),
    });
  }
  return extents;
}

function sorted(folder: FolderNode): [string, { readonly node: TreeNode }][] {
  return [...folder.children].sort(([a], [b]) => (a < b ? -1 : 1));
}

class Bitmap {
  readonly bytes: Buffer;

  constructor(bits: number) {
    this.bytes = Buffer.alloc(Math.ceil(bits / 8));
  }

  add(first: number, count: number): void {
    let at = first;
    const end = first + count;
    for (; at < end && at % 8 !== 0; at++) this.#set(at);
    const whole = Math.floor((end - at) / 8);
    if (whole > 0) this.bytes.fill(0xff, at / 8, at / 8 + whole);
    for (at += whole * 8; at < end; at++) this.#set(at);
  }

  count(first: number, count: number): number {
    let found = 0;
    for (let at = first; at < first + count; at++) {
      if (at % 8 === 0 && at + 8 <= first + count) {
        const byte = this.bytes[Math.floor(at / 8)] ?? 0;
        if (byte === 0 || byte === 0xff) {
          found += byte === 0 ? 0 : 8;
          at += 7;
          continue;
        }
      }
      found += ((this.bytes[Math.floor(at / 8)] ?? 0) >> (at % 8)) & 1;
    }
    return found;
  }

  #set(at: number): void {
    const index = Math.floor(at / 8);
    this.bytes[index] = (this.bytes[index] ?? 0) | (1 << (at % 8));
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
