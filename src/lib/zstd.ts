/**
 * zstd, unpacked to its last frame or not at all. Of what it is given at once, Node's own unpacker takes one frame and drops
 * what is behind it (22, 24), and what breaks off is whole to it (22). So frames are told apart here, it gets
 * no piece of two of them, and what is no frame or breaks off is an error.
 * Source: RFC 8878, section 3.1.
 */
import { Transform, type TransformCallback, type TransformOptions } from "node:stream";
import * as zlib from "node:zlib";

const MAGIC = 0xfd2fb528;
/** And the fifteen that differ in the last four bits. */
const SKIPPABLE = 0x184d2a50;
/** `ZSTD_d_windowLogMax`, of zstd.h. */
const WINDOW_LOG_MAX = 100;

/** What only newer releases have. */
const { createZstdDecompress } = zlib as {
  createZstdDecompress?: (options: { params?: Readonly<Record<number, number>> }) => Transform;
};

/** Whether this Node can unpack it: 20, and 22 before 22.15, cannot. */
export const READS_ZSTD = createZstdDecompress !== undefined;

export class ZstdError extends Error {
  /** Like those of Node's own. */
  readonly code = "ZSTD_error_frame";
}

/** Whether that is how something packed by zstd begins. @param first at least four bytes */
export function beginsAsZstd(first: Buffer): boolean {
  return first.length >= 4 && kindOf(first.readUInt32LE(0)) !== "neither";
}

/**
 * Packed bytes in, plain ones out; fails with a ZstdError, or with one of Node's own.
 *
 * @param windowLog frames that want more memory than two to this are refused; by default, more than 128 MiB
 * @throws Error where READS_ZSTD is false
 */
export function createZstdUnpacker(windowLog?: number): Transform {
  if (createZstdDecompress === undefined) throw new Error("this Node cannot unpack zstd");
  return new Unpacker(
    createZstdDecompress(windowLog === undefined ? {} : { params: { [WINDOW_LOG_MAX]: windowLog } }),
  );
}

class Unpacker extends Transform {
  readonly #frames = new FrameCutter();
  readonly #decoder: Transform;

  constructor(decoder: Transform, options?: TransformOptions) {
    super(options);
    this.#decoder = decoder;
    decoder.on("data", (bytes: Buffer) => {
      if (!this.push(bytes)) decoder.pause();
    });
    decoder.on("error", (error) => this.destroy(error));
  }

  override _read(size: number): void {
    this.#decoder.resume();
    super._read(size);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    let pieces: readonly Buffer[];
    try {
      pieces = this.#frames.cut(chunk);
    } catch (error) {
      done(error as Error);
      return;
    }
    const last = pieces.length - 1;
    // It is ready for more once it has handed over what came out of the last piece.
    for (const [i, piece] of pieces.entries())
      this.#decoder.write(piece, i === last ? () => done() : undefined);
    if (last < 0) done();
  }

  override _flush(done: TransformCallback): void {
    if (this.#frames.isWithin) {
      done(new ZstdError("it breaks off within a frame"));
      return;
    }
    this.#decoder.once("end", () => done());
    this.#decoder.end();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#decoder.destroy();
    done(error);
  }
}

/** Cuts zstd where its frames end. */
export class FrameCutter {
  readonly #steps = frames();
  #read: Buffer[] = [];
  #isRead = true;
  #left = 0;
  #isWithin = false;

  /** Whether a frame has begun that has not ended. */
  get isWithin(): boolean {
    return this.#isWithin;
  }

  /** The same bytes; no piece has any of two frames. @throws ZstdError for what is no frame */
  cut(chunk: Buffer): readonly Buffer[] {
    const pieces: Buffer[] = [];
    let start = 0;
    for (let at = 0; ; ) {
      while (this.#left === 0) {
        const step = this.#steps.next(Buffer.concat(this.#read)).value;
        this.#read = [];
        if (step === "end") {
          this.#isWithin = false;
          if (at > start) pieces.push(chunk.subarray(start, at));
          start = at;
        } else [this.#isRead, this.#left] = "read" in step ? [true, step.read] : [false, step.pass];
      }
      if (at === chunk.length) break;
      const count = Math.min(this.#left, chunk.length - at);
      if (this.#isRead) this.#read.push(chunk.subarray(at, at + count));
      this.#isWithin = true;
      at += count;
      this.#left -= count;
    }
    if (start < chunk.length) pieces.push(chunk.subarray(start));
    return pieces;
  }
}

function kindOf(magic: number): "frame" | "skippable" | "neither" {
  if (magic === MAGIC) return "frame";
  return (magic & ~0xf) >>> 0 === SKIPPABLE ? "skippable" : "neither";
}

/** So many bytes to be read here, or to be passed over; or a frame has ended. */
type Step = { readonly read: number } | { readonly pass: number } | "end";

function* frames(): Generator<Step, never, Buffer> {
  for (;;) {
    const magic = (yield { read: 4 }).readUInt32LE(0);
    switch (kindOf(magic)) {
      case "frame":
        yield* frame();
        break;
      case "skippable":
        yield { pass: (yield { read: 4 }).readUInt32LE(0) };
        break;
      case "neither":
        throw new ZstdError("what is there is no frame of zstd");
    }
    yield "end";
  }
}

function* frame(): Generator<Step, void, Buffer> {
  const descriptor = (yield { read: 1 }).readUInt8(0);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const window = isSingleSegment ? 0 : 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSize = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  yield { pass: window + dictionary + contentSize };
  for (let isLast = false; !isLast; ) {
    const header = (yield { read: 3 }).readUIntLE(0, 3);
    isLast = (header & 1) === 1;
    const isOneByteRepeated = ((header >> 1) & 3) === 1;
    yield { pass: isOneByteRepeated ? 1 : header >> 3 };
  }
  const hasChecksum = (descriptor & 4) !== 0;
  if (hasChecksum) yield { pass: 4 };
}
