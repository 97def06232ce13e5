/** Writes the headers of tar-format.ts: GNU's, because its long names are raw bytes. */
import { BLOCK_BYTES, checksum, FIELD, type TarHeader, TYPE_FLAGS } from "./tar-format.ts";

const GNU_MAGIC = Buffer.from("ustar  \0", "latin1");
const LONG_LINK = Buffer.from("././@LongLink", "latin1");
const NOTHING = Buffer.alloc(0);

/** The blocks that announce an entry; its content, padded to whole blocks, follows. */
export function encodeHeader(header: TarHeader): Buffer {
  const blocks: Buffer[] = [];
  if (header.target.length > FIELD.target[1]) blocks.push(longName("K", header.target));
  if (header.name.length > FIELD.name[1]) blocks.push(longName("L", header.name));
  blocks.push(headerBlock(header, TYPE_FLAGS[header.type]));
  return Buffer.concat(blocks);
}

/** Zero bytes that bring `size` to a whole number of blocks. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** Two empty blocks end an archive. */
export const END_OF_ARCHIVE: Buffer = Buffer.alloc(2 * BLOCK_BYTES);

function longName(flag: "K" | "L", name: Buffer): Buffer {
  const body = Buffer.concat([name, Buffer.alloc(1)]);
  const header = {
    name: LONG_LINK,
    mode: 0,
    size: body.length,
    mtime: 0,
    uid: 0,
    gid: 0,
    target: NOTHING,
  };
  return Buffer.concat([headerBlock(header, flag), body, padding(body.length)]);
}

function headerBlock(header: Omit<TarHeader, "type">, flag: string): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  header.name.copy(block, FIELD.name[0], 0, FIELD.name[1]);
  writeNumber(block, FIELD.mode, header.mode & 0o7777);
  writeNumber(block, FIELD.uid, header.uid);
  writeNumber(block, FIELD.gid, header.gid);
  writeNumber(block, FIELD.size, header.size);
  writeNumber(block, FIELD.mtime, Math.max(0, Math.floor(header.mtime)));
  block.write(flag, FIELD.type[0], "latin1");
  header.target.copy(block, FIELD.target[0], 0, FIELD.target[1]);
  GNU_MAGIC.copy(block, FIELD.magic[0]);
  block.write(`${checksum(block).toString(8).padStart(6, "0")}\0 `, FIELD.checksum[0], "latin1");
  return block;
}

function writeNumber(block: Buffer, [offset, length]: readonly [number, number], value: number): void {
  const octal = value.toString(8);
  if (octal.length < length) {
    block.write(`${octal.padStart(length - 1, "0")}\0`, offset, "latin1");
    return;
  }
  let rest = value;
  for (let at = offset + length - 1; at > offset; at--) {
    block[at] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  block[offset] = 0x80;
}
