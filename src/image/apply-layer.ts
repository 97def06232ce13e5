/**
 * Puts one layer, a stranger's tar stream, on top of a tree. Contract:
 * - names and links act on the tree alone (tree.ts); a name that climbs is refused, an absolute one begins at the top;
 * - a whiteout hides what lower layers brought, and never what its own layer brings, in whatever order they come;
 * - entries, bytes and the length of names are bounded; what is malformed or contradicts itself is refused whole.
 * What cannot be kept (an attribute of another kind of system) is left out and counted.
 */
import { componentsOf, split } from "../lib/archive/entry-path.ts";
import { readTar, type TarEntry } from "../lib/archive/read-tar.ts";
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { isKeptAttribute } from "./ext4/attributes.ts";
import type { DiskContent } from "./ext4/content.ts";
import { MAX_DEVICE_MAJOR, MAX_DEVICE_MINOR, MAX_FILE_BYTES } from "./ext4/format.ts";
import {
  type FolderNode,
  folderAt,
  hideBelow,
  hideChild,
  type LeafNode,
  newFolder,
  nodeAt,
  shownPath,
} from "./tree.ts";

/** The largest development images have some 600,000. A million held in memory were measured to take 1.7 GB. */
const MAX_ENTRIES = 1_000_000;
/** Names, link targets and attributes, which are held in memory besides; the largest images have some 60 MB of them. */
const MAX_TEXT_BYTES = 256 * 1024 ** 2;
/** What is kept of one piece of a sparse file. */
const SEGMENT_BYTES = 64;
/** ext4's own limit is a block. */
const MAX_TARGET_BYTES = 4_095;
const MAX_ID = 2 ** 32 - 2;

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
/** What else AUFS left behind: its own bookkeeping. */
const WHITEOUT_OWN = ".wh..wh.";

/** What was read so far, over all layers of an image. */
export interface LayerCount {
  entries: number;
  textBytes: number;
  /** Extended attributes that were not kept, by name. */
  readonly droppedAttributes: Map<string, number>;
}

export function newLayerCount(): LayerCount {
  return { entries: 0, textBytes: 0, droppedAttributes: new Map() };
}

export interface LayerTarget {
  readonly root: FolderNode;
  readonly content: DiskContent;
  readonly count: LayerCount;
  /** Counted from 1. */
  readonly layer: number;
  /** Whose files are root's in the image. */
  readonly rootIs?: { readonly uid: number; readonly gid: number };
  /** The limit on entries, for tests. */
  readonly maxEntries?: number;
}

/** @throws ArchiveError as said above; UserError when the disk is full; what reading the stream throws. */
export async function applyLayer(stream: AsyncIterable<unknown>, target: LayerTarget): Promise<void> {
  const { count, maxEntries = MAX_ENTRIES } = target;
  for await (const entry of readTar(stream, { sparse: true })) {
    count.entries += 1;
    count.textBytes += textBytesOf(entry);
    if (count.entries > maxEntries) throw new ArchiveError(`the image has more than ${maxEntries} entries`);
    if (count.textBytes > MAX_TEXT_BYTES) {
      throw new ArchiveError(`the image's names and attributes are longer than ${MAX_TEXT_BYTES} bytes`);
    }
    await applyEntry(entry, target);
  }
}

function textBytesOf({ name, target, attributes = new Map(), segments = [] }: TarEntry): number {
  let bytes = name.length + target.length + segments.length * SEGMENT_BYTES;
  for (const [key, value] of attributes) bytes += key.length + value.length;
  return bytes;
}

async function applyEntry(entry: TarEntry, target: LayerTarget): Promise<void> {
  const { root, layer } = target;
  const path = pathOf(entry.name);
  const name = path.at(-1);
  if (name === undefined) {
    if (entry.type !== "directory") throw new ArchiveError("the image's top is no folder");
    root.attributes = attributesOf(entry, target);
    return;
  }
  const parents = path.slice(0, -1);
  if (name.startsWith(WHITEOUT)) {
    const folder = folderAt(root, parents);
    if (folder !== undefined) applyWhiteout(folder, name, path, layer);
    return;
  }
  const folder = folderAt(root, parents, layer);
  if (folder === undefined) throw new Error("a folder that is made is there");
  if (entry.type === "directory") {
    const there = folder.children.get(name)?.node;
    const node = there?.type === "directory" ? there : newFolder();
    node.attributes = attributesOf(entry, target);
    folder.children.set(name, { node, layer });
    return;
  }
  const node = await leafOf(entry, path, target);
  // A file is not looked for while it is written: its own archive cannot change the folder meanwhile.
  folder.children.set(name, { node, layer });
}

async function leafOf(entry: TarEntry, path: readonly string[], target: LayerTarget): Promise<LeafNode> {
  switch (entry.type) {
    case "file": {
      const attributes = attributesOf(entry, target);
      if (entry.size > MAX_FILE_BYTES)
        throw new ArchiveError(`${shownPath(path)} is larger than any file can be`);
      const runs = await target.content.file(entry.body(), entry.size, entry.segments);
      return { type: "file", attributes, size: entry.size, runs };
    }
    case "hard-link": {
      const to = pathOf(entry.target);
      const node = nodeAt(target.root, to);
      if (node === undefined)
        throw new ArchiveError(`${shownPath(path)} is a hard link to ${shownPath(to)}, which is not there`);
      if (node.type === "directory") throw new ArchiveError(`${shownPath(path)} is a hard link to a folder`);
      return node;
    }
    case "symlink": {
      if (entry.target.length === 0 || entry.target.length > MAX_TARGET_BYTES || entry.target.includes(0)) {
        throw new ArchiveError(`${shownPath(path)} is a link whose target is no path`);
      }
      return {
        type: "symlink",
        attributes: attributesOf(entry, target),
        target: entry.target.toString("latin1"),
      };
    }
    case "character-device":
    case "block-device": {
      const { major, minor } = entry.device ?? { major: 0, minor: 0 };
      if (major > MAX_DEVICE_MAJOR || minor > MAX_DEVICE_MINOR) {
        throw new ArchiveError(`${shownPath(path)} is a device with numbers that Linux has not`);
      }
      return { type: entry.type, attributes: attributesOf(entry, target), major, minor };
    }
    case "fifo":
      return { type: "fifo", attributes: attributesOf(entry, target) };
    case "directory":
      throw new Error("handled before");
  }
}

function applyWhiteout(folder: FolderNode, name: string, path: readonly string[], layer: number): void {
  if (name === OPAQUE) {
    hideBelow(folder, layer);
    return;
  }
  if (name.startsWith(WHITEOUT_OWN)) return;
  const hidden = name.slice(WHITEOUT.length);
  // `.wh...` would take away the folder above for who resolves it.
  if (hidden === "" || hidden === "." || hidden === "..") {
    throw new ArchiveError(`${shownPath(path)} is a whiteout of nothing`);
  }
  hideChild(folder, hidden, layer);
}

/** An absolute name begins at the image's top like every other: there is nothing else that it could mean. */
function pathOf(name: Buffer): readonly string[] {
  const first = name.findIndex((byte) => byte !== 0x2f);
  const relative = first < 0 ? Buffer.from(".") : name.subarray(first);
  if (name.length === 0) throw new ArchiveError("an entry has no name");
  return componentsOf(relative).map((part) => part.toString("latin1"));
}

function attributesOf(entry: TarEntry, { count, rootIs }: LayerTarget) {
  const { mode, mtime } = entry;
  const uid = entry.uid === rootIs?.uid ? 0 : entry.uid;
  const gid = entry.gid === rootIs?.gid ? 0 : entry.gid;
  if (uid > MAX_ID || gid > MAX_ID) {
    throw new ArchiveError(`${shownPath(split(entry.name).map(String))} has an owner that Linux has not`);
  }
  const extended = new Map<string, Buffer>();
  for (const [name, value] of entry.attributes ?? []) {
    if (isKeptAttribute(name)) extended.set(name, value);
    else if (count.droppedAttributes.size < MAX_DROPPED_NAMES || count.droppedAttributes.has(name)) {
      count.droppedAttributes.set(name, (count.droppedAttributes.get(name) ?? 0) + 1);
    }
  }
  return { mode, uid, gid, mtime, ...(extended.size > 0 && { extended }) };
}

/** An image says what they are called: some are told, not a list without end. */
const MAX_DROPPED_NAMES = 16;
