/**
 * A tar stream as a sequence of entries, read once from front to back. Holds one chunk and one header at a
 * time, whatever the archive says about itself.
 */
import { checkSegments, decodeBlock, decodeSparseBlock, inPairs } from "./decode-tar.ts";
import { decodeExtension, type Extension, mergeExtensions } from "./tar-extensions.ts";
import { ArchiveError, BLOCK_BYTES, MAX_SEGMENTS, type Segment, type TarHeader } from "./tar-format.ts";

/** Extended headers before one entry: a name, a target, a pax record set. More is an attempt to keep us busy. */
const MAX_EXTENSIONS_PER_ENTRY = 4;

/** tar pads its output to whole records (10 KiB, unless told otherwise) after the end mark. */
const MAX_TRAILING_BYTES = 1024 * 1024;

export interface TarEntry extends TarHeader {
  /** Where in the stream the content begins. */
  readonly offset: number;
  /** The content, of a sparse file only its `segments`. May be left unread; valid until the next entry is asked for. */
  body(): AsyncGenerator<Buffer, void, void>;
}

export interface ReadOptions {
  /** Whether sparse files are taken. Who does not care for `segments` would write them wrong. */
  readonly sparse?: boolean;
}

/**
 * Yields every entry, then reads the stream to its end.
 * @throws ArchiveError when the archive is malformed or stops before its end mark.
 */
export async function* readTar(
  stream: AsyncIterable<unknown>,
  options: ReadOptions = {},
): AsyncGenerator<TarEntry, void, void> {
  const bytes = new ByteReader(stream);
  try {
    let extension: Extension = {};
    let extensions = 0;
    for (;;) {
      const block = decodeBlock(await bytes.exactly(BLOCK_BYTES), extension);
      switch (block.kind) {
        case "end":
          if (extensions > 0) throw new ArchiveError("an extended header extends nothing");
          if (decodeBlock(await bytes.exactly(BLOCK_BYTES), {}).kind !== "end") {
            throw new ArchiveError("an entry follows an empty block");
          }
          await bytes.drain(MAX_TRAILING_BYTES);
          return;
        case "extension": {
          extensions += 1;
          if (extensions > MAX_EXTENSIONS_PER_ENTRY)
            throw new ArchiveError("an entry has too many extended headers");
          const body = await bytes.exactly(block.size);
          await bytes.skip(paddingOf(block.size));
          extension = mergeExtensions(extension, decodeExtension(block.flag, body));
          break;
        }
        case "entry": {
          extension = {};
          extensions = 0;
          const { segments: first } = block.header;
          if (first !== undefined && options.sparse !== true)
            throw new ArchiveError("a sparse file is not taken");
          const map = await restOfMap(bytes, block.body.map);
          const header =
            first === undefined ? block.header : { ...block.header, segments: [...first, ...map.segments] };
          let left = block.body.bytes - map.bytesOfBody;
          if (first !== undefined) checkSegments(header, left);
          const body = async function* (): AsyncGenerator<Buffer, void, void> {
            while (left > 0) {
              const chunk = await bytes.some(left);
              left -= chunk.length;
              yield chunk;
            }
          };
          yield { ...header, offset: bytes.position, body };
          await bytes.skip(left);
          left = 0;
          await bytes.skip(paddingOf(block.body.bytes));
        }
      }
    }
  } finally {
    await bytes.close();
  }
}

/** The part of a sparse file's map that its header has no room for. */
async function restOfMap(
  bytes: ByteReader,
  where: "blocks" | "body" | undefined,
): Promise<{ readonly segments: readonly Segment[]; readonly bytesOfBody: number }> {
  switch (where) {
    case undefined:
      return { segments: [], bytesOfBody: 0 };
    case "blocks": {
      const segments: Segment[] = [];
      for (let continues = true; continues; ) {
        const next = decodeSparseBlock(await bytes.exactly(BLOCK_BYTES));
        segments.push(...next.segments);
        continues = next.continues;
        if (segments.length > MAX_SEGMENTS || (continues && next.segments.length === 0))
          throw tooManySegments();
      }
      return { segments, bytesOfBody: 0 };
    }
    case "body":
      return mapInBody(bytes);
  }
}

/** Decimal numbers, each on a line: how many pieces, then offset and length of each. Padded to whole blocks. */
async function mapInBody(bytes: ByteReader) {
  const numbers: number[] = [];
  let bytesOfBody = 0;
  let text = "";
  while (numbers.length === 0 || numbers.length < 1 + 2 * (numbers[0] ?? 0)) {
    text += (await bytes.exactly(BLOCK_BYTES)).toString("latin1");
    bytesOfBody += BLOCK_BYTES;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (numbers.length > 0 && numbers.length >= 1 + 2 * (numbers[0] ?? 0)) break;
      if (!/^[0-9]{1,15}$/.test(line)) throw new ArchiveError("a sparse file's map is malformed");
      numbers.push(Number(line));
    }
    if ((numbers[0] ?? 0) > MAX_SEGMENTS || text.length > BLOCK_BYTES) throw tooManySegments();
  }
  return { segments: inPairs(numbers.slice(1)), bytesOfBody };
}

function tooManySegments(): ArchiveError {
  return new ArchiveError(`a sparse file has more than ${MAX_SEGMENTS} pieces`);
}

function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}

class ByteReader {
  readonly #source: AsyncIterator<unknown>;
  #chunk: Buffer = Buffer.alloc(0);
  /** Bytes handed out. */
  position = 0;

  constructor(stream: AsyncIterable<unknown>) {
    this.#source = stream[Symbol.asyncIterator]();
  }

  /** At least one and at most `limit` bytes. */
  async some(limit: number): Promise<Buffer> {
    if (!(await this.#fill())) throw new ArchiveError("the archive ends in the middle");
    const part = this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(part.length);
    this.position += part.length;
    return part;
  }

  async exactly(count: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const part = await this.some(left);
      parts.push(part);
      left -= part.length;
    }
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts);
  }

  async skip(count: number): Promise<void> {
    for (let left = count; left > 0; ) left -= (await this.some(left)).length;
  }

  async drain(limit: number): Promise<void> {
    for (let count = 0; await this.#fill(); this.#chunk = Buffer.alloc(0)) {
      count += this.#chunk.length;
      if (count > limit) throw new ArchiveError(`more than ${limit} bytes follow the end of the archive`);
    }
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #fill(): Promise<boolean> {
    while (this.#chunk.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return false;
      if (!Buffer.isBuffer(next.value)) throw new TypeError("an archive is read from a stream of bytes");
      this.#chunk = next.value;
    }
    return true;
  }
}
