/**
 * A guest's file system in memory: names, owners and modes as an image says them, and where on the disk each
 * file's content lies. Contract: no name of an image ever becomes a path of this host. A link leads only within the
 * tree, so there is nothing outside that one could lead to; `..` at the top is the top.
 *
 * Names and targets are latin1 strings, a character for each byte: any bytes are kept, and compare as bytes.
 */
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { printable } from "../lib/printable.ts";
import type { Run } from "./ext4/format.ts";

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly extended?: ReadonlyMap<string, Buffer>;
}

export interface FolderNode {
  readonly type: "directory";
  attributes: Attributes;
  readonly children: Map<string, Child>;
  /** The last layer that hid what it has from lower ones: a layer that says so a million times is done with once. */
  hiddenBy?: number;
}

export type LeafNode =
  | {
      readonly type: "file";
      readonly attributes: Attributes;
      readonly size: number;
      readonly runs: readonly Run[];
    }
  | { readonly type: "symlink"; readonly attributes: Attributes; readonly target: string }
  | {
      readonly type: "character-device" | "block-device";
      readonly attributes: Attributes;
      readonly major: number;
      readonly minor: number;
    }
  | { readonly type: "fifo"; readonly attributes: Attributes };

/** Two names of one file are one node. */
export type TreeNode = FolderNode | LeafNode;

interface Child {
  readonly node: TreeNode;
  /** Which layer said so last: a whiteout hides only what is below its own. */
  layer: number;
}

/** Linux's own limit, after which it answers ELOOP. */
const MAX_LINKS_FOLLOWED = 40;
/** Four times what a path of 4,096 bytes can have: a link of dots, followed for each of a million entries, would take an hour. */
const MAX_NAMES_FOLLOWED = 8_192;
/** As deep as a path of 4,096 bytes can be; what goes deeper nobody could name. */
const MAX_DEPTH = 2_048;

const PLAIN_FOLDER: Attributes = { mode: 0o755, uid: 0, gid: 0, mtime: 0 };

export function newFolder(attributes: Attributes = PLAIN_FOLDER): FolderNode {
  return { type: "directory", attributes, children: new Map() };
}

/**
 * The folder `path`, its links followed within the tree.
 * @returns undefined when a part is missing and `make` is not given; with it, that part is made, as of that layer.
 * @throws ArchiveError when a part is no folder, or its links lead in a circle.
 */
export function folderAt(root: FolderNode, path: readonly string[], make?: number): FolderNode | undefined {
  const trail: FolderNode[] = [root];
  const left = path.toReversed();
  let followed = 0;
  let names = 0;
  for (let name = left.pop(); name !== undefined; name = left.pop()) {
    const here = trail.at(-1) ?? root;
    names += 1;
    if (names > MAX_NAMES_FOLLOWED)
      throw new ArchiveError(`${shownPath(path)} leads through more than ${MAX_NAMES_FOLLOWED} names`);
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (trail.length > 1) trail.pop();
      continue;
    }
    const node = here.children.get(name)?.node;
    switch (node?.type) {
      case "directory":
        trail.push(node);
        break;
      case "symlink": {
        followed += 1;
        if (followed > MAX_LINKS_FOLLOWED) throw new ArchiveError(`${shownPath(path)} leads in a circle`);
        if (node.target.startsWith("/")) trail.length = 1;
        left.push(...node.target.split("/").toReversed());
        break;
      }
      case undefined: {
        if (make === undefined) return undefined;
        const made = newFolder();
        here.children.set(name, { node: made, layer: make });
        trail.push(made);
        break;
      }
      default:
        throw new ArchiveError(`${shownPath(path)} leads through something that is no folder`);
    }
    if (trail.length > MAX_DEPTH) throw new ArchiveError(`folders lie deeper than ${MAX_DEPTH}`);
  }
  return trail.at(-1);
}

/** What is at `path` itself, the links before it followed. */
export function nodeAt(root: FolderNode, path: readonly string[]): TreeNode | undefined {
  const name = path.at(-1);
  if (name === undefined) return root;
  return folderAt(root, path.slice(0, -1))?.children.get(name)?.node;
}

/** Takes away what `folder` has from layers below `layer`; what this layer brought stays. */
export function hideBelow(folder: FolderNode, layer: number): void {
  if (folder.hiddenBy === layer) return;
  folder.hiddenBy = layer;
  for (const name of [...folder.children.keys()]) hideChild(folder, name, layer);
}

/** The same for one name. */
export function hideChild(folder: FolderNode, name: string, layer: number): void {
  const child = folder.children.get(name);
  if (child === undefined) return;
  if (child.node.type === "directory") {
    hideBelow(child.node, layer);
    if (child.node.children.size > 0) return;
  }
  if (child.layer < layer) folder.children.delete(name);
}

/** For people. */
export function shownPath(path: readonly string[]): string {
  return printable(`/${path.map((name) => Buffer.from(name, "latin1").toString("utf8")).join("/")}`);
}
