/** Packs in zstd where this Node can (22.15 and newer): its types are not those of the oldest one that the project runs on. */
import type { Transform } from "node:stream";
import * as zlib from "node:zlib";

interface ZstdOptions {
  readonly flush?: number;
  readonly params?: Readonly<Record<number, number>>;
}

interface NodeZstd {
  zstdCompressSync(bytes: Uint8Array): Buffer;
  createZstdCompress(options?: ZstdOptions): Transform & { flush(kind: number, done: () => void): void };
}

const node = zlib as unknown as NodeZstd;
/** `ZSTD_c_windowLog` and `ZSTD_e_flush`, of zstd.h. */
const WINDOW_LOG = 101;
const FLUSH = 1;

export const zstd = {
  pack: (bytes: Uint8Array): Buffer => node.zstdCompressSync(bytes),
  packer: ({ flushed = false } = {}) => node.createZstdCompress(flushed ? { flush: FLUSH } : {}),
  flush: (packer: ReturnType<NodeZstd["createZstdCompress"]>): Promise<void> =>
    new Promise((resolve) => packer.flush(FLUSH, resolve)),
  /** A frame that wants two to `log` bytes of whoever unpacks it. */
  async withWindow(log: number, bytes: Uint8Array): Promise<Buffer> {
    const packer = node.createZstdCompress({ params: { [WINDOW_LOG]: log } });
    // In two writes: of what comes at once, the length is known, and a window of that is enough.
    packer.write(bytes.subarray(0, 1000));
    packer.end(bytes.subarray(1000));
    const parts: Buffer[] = [];
    for await (const part of packer) parts.push(part as Buffer);
    return Buffer.concat(parts);
  },
};
