/**
 * Unpacks what Debian's kernels for virtual machines are packed with: LZ4's old container, blocks of 8 MiB each behind
 * its packed size (lz4_Frame_format.md, "Legacy frame"; lz4_Block_format.md). Hosts seldom have the program for it.
 */
export const LZ4_LEGACY = Buffer.from("02214c18", "hex");

const BLOCK_BYTES = 8 * 1024 * 1024;
const SHORTEST_MATCH = 4;
/** A length of this in a token goes on in the bytes behind it. */
const LENGTH_GOES_ON = 15;

/** @throws Error when it is cut short or would be larger than `limit`. */
export function unpackLz4(bytes: Buffer, limit: number): Buffer {
  const blocks: Buffer[] = [];
  let total = 0;
  for (let at = LZ4_LEGACY.length; at + 4 <= bytes.length; ) {
    const size = bytes.readUInt32LE(at);
    const block = unpackBlock(bytes.subarray(at + 4, at + 4 + size));
    total += block.length;
    if (total > limit) throw new Error(`unpacks to more than ${limit} bytes`);
    blocks.push(block);
    at += 4 + size;
  }
  return Buffer.concat(blocks);
}

function unpackBlock(packed: Buffer): Buffer {
  const out = Buffer.allocUnsafe(BLOCK_BYTES);
  let from = 0;
  let to = 0;
  const next = (): number => {
    const byte = packed[from++];
    if (byte === undefined) throw new Error("cut short");
    return byte;
  };
  const length = (start: number): number => {
    if (start < LENGTH_GOES_ON) return start;
    let sum = start;
    for (let more = 255; more === 255; ) sum += more = next();
    return sum;
  };
  while (from < packed.length) {
    const token = next();
    const literals = length(token >> 4);
    if (from + literals > packed.length || to + literals > BLOCK_BYTES) throw new Error("cut short");
    packed.copy(out, to, from, from + literals);
    from += literals;
    to += literals;
    // The last sequence of a block has no match.
    if (from >= packed.length) break;
    const offset = next() | (next() << 8);
    const match = length(token & 15) + SHORTEST_MATCH;
    if (offset === 0 || offset > to || to + match > BLOCK_BYTES) throw new Error("damaged");
    if (offset >= match) out.copyWithin(to, to - offset, to - offset + match);
    // Overlapping itself: a repetition.
    else for (let i = 0; i < match; i++) out[to + i] = out[to + i - offset] ?? 0;
    to += match;
  }
  return out.subarray(0, to);
}
