/** What an inode says of its node, with what it points to put on the disk: folders, long links, attributes, trees of extents. */
import { ArchiveError } from "../../lib/archive/tar-format.ts";
import type { TreeNode } from "../tree.ts";
import { encodeAttributes } from "./attributes.ts";
import type { Bitmap } from "./bitmap.ts";
import type { DiskContent } from "./content.ts";
import {
  BLOCK,
  EXTENTS_IN_BLOCK,
  EXTENTS_IN_INODE,
  encodeDevice,
  encodeDirectory,
  encodeExtentIndex,
  encodeExtents,
  FAST_SYMLINK_BYTES,
  type InodeRecord,
  MAX_EXTENT_BLOCKS,
  MAX_EXTENTS,
  type Run,
} from "./format.ts";
import type { Numbering } from "./numbering.ts";

export class InodeWriter {
  readonly #content: DiskContent;
  readonly #numbering: Numbering;
  readonly #used: Bitmap;

  /** @param used is told of every block that a file, or what is written here, takes. */
  constructor(content: DiskContent, numbering: Numbering, used: Bitmap) {
    this.#content = content;
    this.#numbering = numbering;
    this.#used = used;
  }

  async record(node: TreeNode): Promise<InodeRecord> {
    const { mode, uid, gid, mtime, extended } = node.attributes;
    const common = { type: node.type, mode, uid, gid, mtime, links: this.#numbering.linksOf(node) };
    const attributes = await this.#attributes(extended);
    const own = attributes.block === undefined ? 0 : 1;
    const withAttributes = extended === undefined ? {} : { attributes };
    switch (node.type) {
      case "directory": {
        const bytes = encodeDirectory(this.#numbering.entriesOf(node));
        const run = await this.#place(bytes);
        const extents = await this.extents([run]);
        return { ...common, ...withAttributes, ...extents, size: bytes.length, blocks: extents.blocks + own };
      }
      case "file": {
        for (const { first, count } of node.runs) this.#used.add(first, count);
        const extents = await this.extents(node.runs);
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
        const extents = await this.extents([await this.#place(target)]);
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

  async #attributes(
    extended: ReadonlyMap<string, Buffer> | undefined,
  ): Promise<{ inside?: Buffer; block?: number }> {
    if (extended === undefined) return {};
    const encoded = encodeAttributes(extended);
    if ("inside" in encoded) return encoded;
    return { block: (await this.#place(encoded.block)).first };
  }

  /** The extents of a file in as many nodes as they need. */
  async extents(runs: readonly Run[]): Promise<{ pointers: Buffer; hasExtents: boolean; blocks: number }> {
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

  async #place(bytes: Buffer): Promise<Run> {
    const first = await this.#content.place(bytes);
    const count = Math.ceil(bytes.length / BLOCK);
    this.#used.add(first, count);
    return { logical: 0, first, count };
  }

  /** So many blocks in a row, whose content is somebody else's to write. */
  async take(count: number): Promise<number> {
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
