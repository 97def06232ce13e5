/** Disks made of layers that tests put together, and what e2fsprogs (other people's code) reads in them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { applyLayer, type LayerCount, newLayerCount } from "../../src/image/apply-layer.ts";
import { beginDisk } from "../../src/image/ext4/write-disk.ts";
import { type FolderNode, newFolder } from "../../src/image/tree.ts";
import { run, runOk } from "../../src/lib/processes.ts";
import { inChunks } from "./archive-bytes.ts";

export const SMALL_DISK = 64 * 1024 ** 2;

export interface MadeDisk {
  readonly path: string;
  readonly count: LayerCount;
  readonly root: FolderNode;
  /** What `debugfs -R` answers. */
  ask(request: string): Promise<string>;
  /** The bytes of a file on it. */
  bytes(name: string): Promise<Buffer>;
  /** @throws with what e2fsck complains of. */
  check(): Promise<void>;
  remove(): void;
}

export interface MakeOptions {
  readonly diskBytes?: number;
  readonly maxEntries?: number;
  readonly rootIs?: { readonly uid: number; readonly gid: number };
}

/** @throws what applying one of them throws; nothing is left then. */
export async function makeDisk(layers: readonly Buffer[], options: MakeOptions = {}): Promise<MadeDisk> {
  const area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  const path = join(area, "disk.ext4");
  const file = await open(path, "wx+");
  const root = newFolder();
  const count = newLayerCount();
  try {
    const disk = beginDisk(file, options.diskBytes ?? SMALL_DISK);
    for (const [i, layer] of layers.entries()) {
      const { maxEntries, rootIs } = options;
      await applyLayer(inChunks(layer, 9_000), {
        root,
        content: disk.content,
        count,
        layer: i + 1,
        ...(maxEntries !== undefined && { maxEntries }),
        ...(rootIs && { rootIs }),
      });
    }
    await disk.finish(root, Buffer.alloc(16, 7));
  } catch (error) {
    rmSync(area, { recursive: true });
    throw error;
  } finally {
    await file.close();
  }
  return { ...readerOf(path), count, root, remove: () => rmSync(area, { recursive: true, force: true }) };
}

/** Of a disk that is there. */
export function readerOf(path: string): Pick<MadeDisk, "path" | "ask" | "bytes" | "check"> {
  const ask = async (request: string): Promise<Buffer> =>
    (await runOk(["/usr/sbin/debugfs", "-R", request, path])).stdout;
  return {
    path,
    ask: async (request) => (await ask(request)).toString("latin1"),
    bytes: (name) => ask(`cat ${name}`),
    async check() {
      const result = await run(["/usr/sbin/e2fsck", "-fn", path]);
      if (result.code !== 0) throw new Error(result.stdout.toString());
    },
  };
}

/** Prints which of the texts stand in a file's data; holes are passed over. */
const SEARCH = `import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
wanted = [text.encode() for text in sys.argv[2:]]
end, at, found, tail = os.fstat(fd).st_size, 0, set(), b""
while at < end:
    try: at = os.lseek(fd, at, os.SEEK_DATA)
    except OSError: break
    stop = os.lseek(fd, at, os.SEEK_HOLE)
    tail = b""
    while at < stop:
        chunk = os.pread(fd, min(1 << 22, stop - at), at)
        if not chunk: break
        at += len(chunk)
        block = tail + chunk
        found.update(text for text in wanted if text in block)
        tail = chunk[-400:]
print("\\n".join(text.decode() for text in wanted if text in found))
`;

/** Which of `texts`, of at most 400 bytes each, stand in the bytes of a disk. */
export function textsOn(path: string, texts: readonly string[]): readonly string[] {
  const found = execFileSync("python3", ["-c", SEARCH, path, ...texts], { encoding: "utf8" });
  return found.split("\n").filter((text) => text !== "");
}
