/**
 * A stored layer as the tar that is in it. Contract: both the stored bytes and the tar hash to what the image says,
 * or the stream ends with an error; a small layer that unpacks to an absurd one (a bomb) is given up early.
 */
import { PassThrough, Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { isLackOfRoom, UserError } from "../lib/errors.ts";
import { beginsAsZstd, createZstdUnpacker, READS_ZSTD } from "../lib/zstd.ts";
import { checked } from "./digest.ts";

/**
 * Programs compress 3 to 10 times, logs and lists some 50 times; gzip can do a thousand, zstd far more. Only beyond a
 * gigabyte, because an honest layer may hold one large empty file.
 */
const MAX_RATIO = 200;
const RATIO_COUNTS_FROM = 1024 ** 3;

const GZIP = Buffer.from([0x1f, 0x8b]);
/** By so many bytes it is known how something is packed. */
export const MAGIC_BYTES = 4;

type Packing = "gzip" | "zstd" | "none";

export interface StoredLayer {
  readonly blob?: { readonly digest: string; readonly size: number };
  readonly diffId?: string;
  /** Whose files are root's in the image. */
  readonly rootIs?: { readonly uid: number; readonly gid: number };
  open(): AsyncIterable<Buffer>;
  /** Takes a copy of ours away that turned out to be damaged. */
  discard?(): Promise<void>;
}

/**
 * Hands the layer's tar to `read`, and resolves when it has read it and all of it was as named.
 * @param ratio of all layers that are unpacked beside each other.
 */
export async function withLayerTar(
  layer: StoredLayer,
  read: (tar: AsyncIterable<Buffer>) => Promise<void>,
  signal?: AbortSignal,
  ratio: RatioGuard = new RatioGuard(),
): Promise<void> {
  const stored = layer.blob
    ? checked("the layer", layer.open(), layer.blob.digest, layer.blob.size)
    : layer.open();
  let refusal: unknown;
  const reading = async (tar: AsyncIterable<Buffer>): Promise<void> => {
    try {
      await read(layer.diffId === undefined ? tar : checked("the layer's content", tar, layer.diffId));
    } catch (error) {
      // The pipeline would tell of what it broke off for that, and not why.
      if (error instanceof UserError || error instanceof ArchiveError || isLackOfRoom(error)) refusal = error;
      throw error;
    }
  };
  const [packed, unpacker] = await unpacking(stored, ratio);
  await pipeline(
    packed,
    unpacker,
    (source: AsyncIterable<Buffer>) => reading(ratio.after(source)),
    ...(signal ? [{ signal }] : []),
  ).catch(async (ended: unknown) => {
    const error = refusal ?? ended;
    if (error instanceof UserError) await layer.discard?.();
    throw zlibFailure(error);
  });
}

/** The two stages of a pipeline that come to plain bytes, of what may be packed. */
export async function unpacking(
  source: AsyncIterable<Buffer>,
  ratio: RatioGuard,
): Promise<readonly [Readable, Transform]> {
  const { first, all } = await peek(source, MAGIC_BYTES);
  const packing = packingOf(first);
  return [Readable.from(ratio.before(all), { objectMode: false }), unpackerFor(packing)];
}

/** @param first its first {@link MAGIC_BYTES}, or all there are */
export function packingOf(first: Buffer): Packing {
  if (first.subarray(0, GZIP.length).equals(GZIP)) return "gzip";
  return beginsAsZstd(first) ? "zstd" : "none";
}

function unpackerFor(packing: Packing): Transform {
  switch (packing) {
    case "none":
      return new PassThrough();
    case "gzip":
      return createGunzip();
    case "zstd":
      if (READS_ZSTD) return createZstdUnpacker();
      throw new UserError(`this Node (${process.versions.node}) cannot read layers compressed with zstd`, {
        hint: "use Node 22.15 or newer, or push the image with gzip: skopeo copy --dest-compress-format gzip",
      });
  }
}

/** The first `count` bytes, and everything with them. */
async function peek(
  source: AsyncIterable<Buffer>,
  count: number,
): Promise<{ first: Buffer; all: AsyncGenerator<Buffer, void, void> }> {
  const iterator = source[Symbol.asyncIterator]();
  const chunks: Buffer[] = [];
  let bytes = 0;
  while (bytes < count) {
    const next = await iterator.next();
    if (next.done === true) break;
    chunks.push(next.value);
    bytes += next.value.length;
  }
  async function* all(): AsyncGenerator<Buffer, void, void> {
    try {
      yield* chunks;
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
        yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { first: Buffer.concat(chunks).subarray(0, count), all: all() };
}

/** Counts what goes into unpackers and what comes out. @throws UserError (to who reads) for a bomb. */
export class RatioGuard {
  #in = 0;
  #out = 0;
  readonly #maxBytes: number;

  /** @param maxBytes that come out, however much went in: the same small layer may be named again and again. */
  constructor(maxBytes: number = Number.POSITIVE_INFINITY) {
    this.#maxBytes = maxBytes;
  }

  async *before(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of source) {
      this.#in += chunk.length;
      yield chunk;
    }
  }

  async *after(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    for await (const chunk of source) {
      this.#out += chunk.length;
      if (this.#out > this.#maxBytes)
        throw new UserError(`the image's layers unpack to more than ${this.#maxBytes} bytes`);
      if (this.#out > RATIO_COUNTS_FROM && this.#out > this.#in * MAX_RATIO) {
        throw new UserError(
          `a layer unpacks to more than ${MAX_RATIO} times its size: it is refused as a bomb`,
          {
            hint: "make the image without large empty files, or leave its layers uncompressed",
          },
        );
      }
      yield chunk;
    }
  }
}

function zlibFailure(error: unknown): unknown {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  if (!code.startsWith("Z_") && !code.startsWith("ZSTD_")) return error;
  return new UserError("a layer's compression is damaged", { cause: error });
}
