/** Names in a tree object. Source: gitformat: `<mode> <name>\\0<raw id>`, one after the other. */

/** The names, each on a line. @throws Error for what is no tree, which receive-pack's fsck lets nobody push. */
export function treeNames(tree: Buffer, idBytes: number): Buffer {
  // As one text from the beginning: a tree may have a million of them.
  const names = Buffer.allocUnsafe(tree.length);
  let length = 0;
  for (let at = 0; at < tree.length; ) {
    const space = tree.indexOf(0x20, at);
    const end = tree.indexOf(0, space);
    if (space < 0 || end < 0 || end + idBytes >= tree.length + 1) throw new Error("a tree is malformed");
    length += tree.copy(names, length, space + 1, end);
    names[length++] = NEWLINE;
    at = end + 1 + idBytes;
  }
  return names.subarray(0, length);
}

const NEWLINE = 10;
