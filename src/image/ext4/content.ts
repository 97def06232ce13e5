/**
 * The blocks of a disk that is being made, handed out from front to back: content is written where it stays while
 * an image is read, and what describes it comes after it. So nothing is written twice, and nothing has a name yet.
 */
import type { FileHandle } from "node:fs/promises";
import { ArchiveError } from "../../lib/archive/tar-format.ts";
import { UserError } from "../../lib/errors.ts";
import { BLOCK, MAX_EXTENTS, type Run } from "./format.ts";

/** Written at once: large enough that the disk is the bottleneck. */
const BUFFER_BYTES = 4 * 1024 * 1024;

/** A gap that is worth a run of its own; a smaller one is written as zeros. */
const MIN_HOLE_BLOCKS = 16;
/** All such zeros: a map of some bytes must not fill the operator's disk. */
const MAX_FILLED_BYTES = 1024 ** 3;

/** Where bytes of a sparse file lie in it. In order, and not overlapping. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
}

export class DiskContent {
  readonly #file: FileHandle;
  readonly #limit: number;
  readonly #buffer = Buffer.alloc(BUFFER_BYTES);
  #buffered = 0;
  #filled = 0;
  /** The block that the buffer begins at. */
  #base: number;

  /** Hands out the blocks from `first` on, below `limit`. */
  constructor(file: FileHandle, first: number, limit: number) {
    this.#file = file;
    this.#base = first;
    this.#limit = limit;
  }

  /** The block that is handed out next. */
  get next(): number {
    return this.#base + Math.ceil(this.#buffered / BLOCK);
  }

  /** @throws UserError when the disk is full. */
  async append(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const count = bytes.copy(this.#buffer, this.#buffered, at);
      at += count;
      this.#buffered += count;
      if (this.#buffered === BUFFER_BYTES) await this.flush();
    }
    if (this.next > this.#limit) throw diskFull();
  }

  /** A whole piece of its own. @returns its first block. */
  async place(bytes: Buffer): Promise<number> {
    const first = this.next;
    await this.append(bytes);
    this.#pad();
    return first;
  }

  /** A file's content. `segments` say where in the file the bytes lie; without them it is all there. */
  async file(
    chunks: AsyncIterable<Buffer>,
    size: number,
    segments?: readonly Segment[],
  ): Promise<readonly Run[]> {
    if (segments !== undefined) return this.#sparse(chunks, size, segments);
    const first = this.next;
    for await (const chunk of chunks) await this.append(chunk);
    this.#pad();
    const count = this.next - first;
    return count === 0 ? [] : [{ logical: 0, first, count }];
  }

  async #sparse(
    chunks: AsyncIterable<Buffer>,
    size: number,
    segments: readonly Segment[],
  ): Promise<readonly Run[]> {
    const runs: Run[] = [];
    let logical = 0;
    let first = this.next;
    let at = 0;
    const close = (): void => {
      this.#pad();
      const count = this.next - first;
      if (count > 0) runs.push({ logical, first, count });
      if (runs.length > MAX_EXTENTS) throw new ArchiveError("a file is in too many pieces");
    };
    const bytes = pieces(chunks);
    for (const { offset, length } of segments) {
      const gap = Math.floor(offset / BLOCK) - Math.ceil(at / BLOCK);
      if (gap >= MIN_HOLE_BLOCKS || (at === 0 && gap > 0)) {
        close();
        logical = Math.floor(offset / BLOCK);
        first = this.next;
        at = logical * BLOCK;
      }
      await this.#zeros(offset - at);
      for await (const piece of bytes.take(length)) await this.append(piece);
      at = offset + length;
    }
    const end = Math.min(size, Math.ceil(at / BLOCK) * BLOCK);
    await this.#zeros(Math.max(0, end - at));
    close();
    return runs;
  }

  async #zeros(count: number): Promise<void> {
    this.#filled += count;
    if (this.#filled > MAX_FILLED_BYTES) throw new ArchiveError("sparse files have too many small gaps");
    const zeros = Buffer.alloc(Math.min(count, BUFFER_BYTES));
    for (let left = count; left > 0; left -= zeros.length) await this.append(zeros.subarray(0, left));
  }

  /** Passes over `count` blocks, which stay zero. @returns the first. */
  async skip(count: number): Promise<number> {
    await this.flush();
    const first = this.#base;
    this.#base += count;
    if (this.#base > this.#limit) throw diskFull();
    return first;
  }

  /** Everything so far is in the file. */
  async flush(): Promise<void> {
    this.#pad();
    if (this.#buffered === 0) return;
    await writeAll(this.#file, this.#buffer.subarray(0, this.#buffered), this.#base * BLOCK);
    this.#base += this.#buffered / BLOCK;
    this.#buffered = 0;
  }

  #pad(): void {
    const end = Math.ceil(this.#buffered / BLOCK) * BLOCK;
    this.#buffer.fill(0, this.#buffered, end);
    this.#buffered = end;
  }
}

export async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

/** Reads exactly as many bytes as are asked for, several times over. */
function pieces(chunks: AsyncIterable<Buffer>): { take(count: number): AsyncGenerator<Buffer, void, void> } {
  const source = chunks[Symbol.asyncIterator]();
  let rest: Buffer = Buffer.alloc(0);
  return {
    async *take(count) {
      for (let left = count; left > 0; ) {
        if (rest.length === 0) {
          const next = await source.next();
          if (next.done === true) throw new Error("a sparse file is shorter than its map says");
          rest = next.value;
        }
        const piece = rest.subarray(0, left);
        rest = rest.subarray(piece.length);
        left -= piece.length;
        yield piece;
      }
    },
  };
}

function diskFull(): UserError {
  return new UserError("the image does not fit on the guest's disk", {
    hint: "give the bottle a larger one: resources: {disk: 40G}",
  });
}
