/**
 * zstd, cut where its frames end. Node's unpacker takes one frame out of what it is given at once and drops what is
 * behind it: of a layer of several, as `zstd:chunked` and pzstd make them, all but a beginning.
 * Source: RFC 8878, section 3.1.
 */

const MAGIC = 0xfd2fb528;
/** And the fifteen that differ in the last four bits. */
const SKIPPABLE = 0x184d2a50;

/** Whether that is how something packed by zstd begins. @param first at least four bytes */
export function beginsAsZstd(first: Buffer): boolean {
  return first.length >= 4 && kindOf(first.readUInt32LE(0)) !== "neither";
}

function kindOf(magic: number): "frame" | "skippable" | "neither" {
  if (magic === MAGIC) return "frame";
  return (magic & ~0xf) >>> 0 === SKIPPABLE ? "skippable" : "neither";
}

/** The same bytes; no piece has any of two frames. What is no zstd is left to whoever unpacks it. */
export async function* inFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
  const steps = frames();
  let read: Buffer[] = [];
  let [isRead, left] = [true, 0];
  for await (const chunk of source) {
    let start = 0;
    for (let at = 0; at < chunk.length; ) {
      while (left === 0) {
        const step = steps.next(Buffer.concat(read)).value;
        read = [];
        if (step === "end") {
          if (at > start) yield chunk.subarray(start, at);
          start = at;
        } else [isRead, left] = "read" in step ? [true, step.read] : [false, step.pass];
      }
      const count = Math.min(left, chunk.length - at);
      if (isRead) read.push(chunk.subarray(at, at + count));
      at += count;
      left -= count;
    }
    if (start < chunk.length) yield chunk.subarray(start);
  }
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
        yield { pass: Number.POSITIVE_INFINITY };
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
