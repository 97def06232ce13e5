/** Tar archives put together byte by byte, so that they can say what no honest tar would. */
import { Readable } from "node:stream";

export interface RawEntry {
  readonly name: string | Buffer;
  /** Type flag; `0`, a file, unless told. */
  readonly flag?: string;
  readonly content?: string | Buffer;
  readonly target?: string | Buffer;
  readonly mode?: number;
  /** What the header claims, when not the truth. */
  readonly size?: number | Buffer;
  readonly magic?: string;
  readonly prefix?: string;
  readonly badChecksum?: boolean;
  readonly device?: readonly [major: number, minor: number];
}

export function rawEntry(entry: RawEntry): Buffer {
  const block = Buffer.alloc(512);
  const content = Buffer.from(entry.content ?? "");
  Buffer.from(entry.name).copy(block, 0, 0, 100);
  block.write(`${(entry.mode ?? 0o644).toString(8).padStart(7, "0")}\0`, 100, "latin1");
  block.write("0001750\0", 108, "latin1");
  block.write("0001750\0", 116, "latin1");
  if (Buffer.isBuffer(entry.size)) entry.size.copy(block, 124);
  else block.write(`${(entry.size ?? content.length).toString(8).padStart(11, "0")}\0`, 124, "latin1");
  block.write("14000000000\0", 136, "latin1");
  block.write(entry.flag ?? "0", 156, "latin1");
  Buffer.from(entry.target ?? "").copy(block, 157, 0, 100);
  block.write(entry.magic ?? "ustar\x0000", 257, "latin1");
  entry.device?.forEach((number, i) => {
    block.write(`${number.toString(8).padStart(7, "0")}\0`, 329 + 8 * i, "latin1");
  });
  block.write(entry.prefix ?? "", 345, "latin1");
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0) + (entry.badChecksum === true ? 1 : 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return Buffer.concat([block, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

export function paxRecord(key: string, value: string | Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** An entry with what its header has no field for. */
export function withPax(records: Readonly<Record<string, string | Buffer>>, entry: RawEntry): Buffer {
  const content = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)));
  return Buffer.concat([rawEntry({ name: "pax", flag: "x", content }), rawEntry(entry)]);
}

export function rawArchive(...parts: readonly (RawEntry | Buffer)[]): Buffer {
  return Buffer.concat([
    ...parts.map((part) => (Buffer.isBuffer(part) ? part : rawEntry(part))),
    Buffer.alloc(1024),
  ]);
}

/** The bytes as a stream of chunks of `size`: no reader may depend on where chunks end. */
export function inChunks(bytes: Buffer, size = 700): Readable {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
  return Readable.from(chunks, { objectMode: false });
}
