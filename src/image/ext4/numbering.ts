/** Which inode each node of a tree is, and how many names it has. In byte order of the names: the same tree has the same numbers. */
import { ArchiveError } from "../../lib/archive/tar-format.ts";
import type { FolderNode, TreeNode } from "../tree.ts";
import { FIRST_FREE_INODE, ROOT_INODE } from "./format.ts";

/** The kernel's EXT4_LINK_MAX. A folder may have more, and then says 1. */
const MAX_LINKS = 65_000;

export interface Numbering {
  /** In the order of their numbers, from {@link FIRST_FREE_INODE} on; the root is not among them. */
  readonly nodes: readonly TreeNode[];
  /** The root's among them. */
  folders(): Iterable<FolderNode>;
  numberOf(node: TreeNode): number;
  /** @throws ArchiveError when a file has more names than it may. */
  linksOf(node: TreeNode): number;
  /** What is written into a folder. */
  entriesOf(folder: FolderNode): readonly FolderEntry[];
}

interface FolderEntry {
  readonly name: string;
  readonly inode: number;
  readonly type: TreeNode["type"];
}

export function numberTree(root: FolderNode): Numbering {
  const numbers = new Map<TreeNode, number>([[root, ROOT_INODE]]);
  const links = new Map<TreeNode, number>();
  /** Every folder, and the number of the one that it is in. */
  const parents = new Map<FolderNode, number>([[root, ROOT_INODE]]);
  const nodes: TreeNode[] = [];
  const waiting: FolderNode[] = [root];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const below: FolderNode[] = [];
    for (const [, { node }] of sorted(folder)) {
      links.set(node, (links.get(node) ?? 0) + 1);
      if (numbers.has(node)) continue;
      numbers.set(node, FIRST_FREE_INODE + nodes.length);
      nodes.push(node);
      if (node.type !== "directory") continue;
      parents.set(node, numbers.get(folder) ?? ROOT_INODE);
      below.push(node);
    }
    // One by one: hundreds of thousands are too many for one call.
    for (const child of below.reverse()) waiting.push(child);
  }
  const numberOf = (node: TreeNode): number => numbers.get(node) ?? 0;
  return {
    nodes,
    folders: () => parents.keys(),
    numberOf,
    linksOf(node) {
      if (node.type === "directory") return folderLinks(node);
      const count = links.get(node) ?? 1;
      if (count > MAX_LINKS) throw new ArchiveError(`a file has more than ${MAX_LINKS} names`);
      return count;
    },
    entriesOf: (folder) => [
      { name: ".", inode: numberOf(folder), type: "directory" },
      { name: "..", inode: parents.get(folder) ?? ROOT_INODE, type: "directory" },
      ...sorted(folder).map(([name, { node }]) => ({ name, inode: numberOf(node), type: node.type })),
    ],
  };
}

function folderLinks(folder: FolderNode): number {
  let links = 2;
  for (const { node } of folder.children.values()) if (node.type === "directory") links += 1;
  return links >= MAX_LINKS ? 1 : links;
}

function sorted(folder: FolderNode): [string, { readonly node: TreeNode }][] {
  return [...folder.children].sort(([a], [b]) => (a < b ? -1 : 1));
}
