/** Writes the one archive format that a kernel unpacks as its initial RAM disk: "newc", see initramfs-buffer-format.txt. */

export type RamDiskEntry =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly content: Uint8Array; readonly mode: number }
  | { readonly kind: "link"; readonly path: string; readonly target: string };

const FOLDER = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;

/** Everything is root's and of no time, so that the same parts give the same bytes. Paths without a first slash. */
export function packCpio(entries: readonly RamDiskEntry[]): Buffer {
  const records = entries.map((entry, i) => recordOf(entry, i + 1));
  return Buffer.concat([...records, record(0, "TRAILER!!!", 0, Buffer.alloc(0))]);
}

function recordOf(entry: RamDiskEntry, inode: number): Buffer {
  switch (entry.kind) {
    case "folder":
      return record(inode, entry.path, FOLDER | 0o755, Buffer.alloc(0));
    case "file":
      return record(inode, entry.path, FILE | entry.mode, entry.content);
    case "link":
      return record(inode, entry.path, LINK | 0o777, Buffer.from(entry.target));
  }
}

function record(inode: number, path: string, mode: number, content: Uint8Array): Buffer {
  const name = Buffer.from(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const numbers = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, "0")).join("")}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(content)]);
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
