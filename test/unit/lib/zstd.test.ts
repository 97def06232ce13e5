import { Readable } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  beginsAsZstd,
  createZstdUnpacker,
  FrameCutter,
  READS_ZSTD,
  ZstdError,
} from "../../../src/lib/zstd.ts";
import { inChunks } from "../../support/archive-bytes.ts";
import { zstd } from "../../support/zstd.ts";

const block = (content: Buffer, type: 0 | 1, isLast: boolean, size = content.length): Buffer => {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1) | Number(isLast), 0, 3);
  return Buffer.concat([header, content]);
};
const MAGIC = Buffer.from("28b52ffd", "hex");
/** One segment, its length in a byte; raw blocks. */
const plain = (...texts: readonly string[]): Buffer => {
  const all = Buffer.from(texts.join(""));
  const blocks = texts.map((text, i) => block(Buffer.from(text), 0, i === texts.length - 1));
  return Buffer.concat([MAGIC, Buffer.from([0x20, all.length]), ...blocks]);
};
/** A window, no length; one letter, repeated. */
const repeated = (letter: string, count: number): Buffer =>
  Buffer.concat([MAGIC, Buffer.from([0x00, 0x10]), block(Buffer.from(letter), 1, true, count)]);
const skippable = (bytes: number): Buffer => {
  const head = Buffer.from("5a2a4d1800000000", "hex");
  head.writeUInt32LE(bytes, 4);
  return Buffer.concat([head, Buffer.alloc(bytes, 0x28)]);
};

const PARTS = [
  skippable(9),
  plain("hel", "lo "),
  repeated("x", 4_000),
  skippable(0),
  plain(" world"),
  skippable(5),
];
const TEXT = `hello ${"x".repeat(4_000)} world`;

/** What is no zstd to its end, or none at all. */
const BROKEN: readonly (readonly [string, Buffer])[] = [
  ["no frame at all", Buffer.from("no frame at all")],
  ["something behind the last frame", Buffer.concat([plain("a"), Buffer.from("rest")])],
  ["zeros behind the last frame", Buffer.concat([plain("a"), Buffer.alloc(9)])],
  ["a frame that lacks its last byte", plain("abc").subarray(0, -1)],
  ["half of a second frame's beginning", Buffer.concat([plain("a"), MAGIC.subarray(0, 2)])],
  ["a frame to be skipped that breaks off", Buffer.concat([plain("a"), skippable(40).subarray(0, 20)])],
];
const SIZES = [1, 2, 3, 7, 64, 1e6];

function cut(bytes: Buffer, size: number): { pieces: readonly Buffer[]; isWithin: boolean } {
  const cutter = new FrameCutter();
  const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, i * size + size),
  );
  return { pieces: chunks.flatMap((chunk) => cutter.cut(chunk)), isWithin: cutter.isWithin };
}

async function unpacked(bytes: Buffer, size = 1e6, windowLog?: number): Promise<string> {
  const parts: Buffer[] = [];
  const source = Readable.from(inChunks(bytes, size), { objectMode: false });
  const unpacker = createZstdUnpacker(windowLog);
  source.once("error", (error) => unpacker.destroy(error));
  for await (const part of source.pipe(unpacker)) parts.push(part as Buffer);
  return Buffer.concat(parts).toString("latin1");
}

describe("zstd of several frames", () => {
  it.each(SIZES)("is cut where each of them ends, given %i bytes at once", (size) => {
    const { pieces, isWithin } = cut(Buffer.concat(PARTS), size);
    expect(isWithin).toBe(false);
    expect(Buffer.concat(pieces).equals(Buffer.concat(PARTS))).toBe(true);
    expect(pieces.every((piece) => piece.length > 0)).toBe(true);
    const endsOf = (parts: readonly Buffer[]): readonly number[] =>
      parts.map((_, i) => Buffer.concat(parts.slice(0, i + 1)).length);
    expect(endsOf(pieces)).toEqual(expect.arrayContaining([...endsOf(PARTS)]));
    if (size === 1e6) expect(pieces).toHaveLength(PARTS.length);
  });

  it.each(BROKEN)("is not what %s is", (_what, bytes) => {
    for (const size of SIZES) {
      let isRefused = false;
      try {
        isRefused = cut(bytes, size).isWithin;
      } catch (error) {
        expect(error).toBeInstanceOf(ZstdError);
        isRefused = true;
      }
      expect(isRefused, `${size} bytes at once`).toBe(true);
    }
  });

  it("is known by how it begins, with a frame or with what is to be skipped", () => {
    expect(
      [plain("a"), skippable(3), Buffer.from("28b5", "hex"), Buffer.from("1f8b0800", "hex")].map(
        beginsAsZstd,
      ),
    ).toEqual([true, true, false, false]);
  });

  it.runIf(!READS_ZSTD)("is nothing that this Node unpacks", () => {
    expect(() => createZstdUnpacker()).toThrow("this Node cannot unpack zstd");
  });
});

describe.runIf(READS_ZSTD)("a Node that unpacks zstd", () => {
  it.each(SIZES)("unpacks all frames, given %i bytes at once", async (size) => {
    expect(await unpacked(Buffer.concat(PARTS), size)).toBe(TEXT);
  });

  it("unpacks what is large, as fast as it is read", async () => {
    const text = Buffer.from(Array.from({ length: 400_000 }, (_, i) => `line ${i}\n`).join(""));
    const packed = Buffer.concat([zstd.pack(text), zstd.pack(text)]);
    expect(await unpacked(packed, 65_536)).toBe(text.toString().repeat(2));
    const unpacker = createZstdUnpacker();
    unpacker.write(packed);
    await new Promise((resolve) => setTimeout(resolve, 200));
    // Nobody reads: little more is unpacked than streams hold.
    expect(unpacker.readableLength).toBeLessThan(512 * 1024);
    unpacker.destroy();
  });

  it.each(BROKEN)("fails with %s", async (_what, bytes) => {
    const code = expect.stringMatching(/^ZSTD_error_/);
    for (const size of SIZES) await expect(unpacked(bytes, size)).rejects.toMatchObject({ code });
  });

  it("fails with a frame whose content is not what it says", async () => {
    const packed = zstd.pack(Buffer.from("some text that is packed ".repeat(40)));
    packed[10] = (packed[10] ?? 0) ^ 0xff;
    await expect(unpacked(packed)).rejects.toThrow();
  });

  it("gives a frame no more memory than it may have", async () => {
    const packed = await zstd.withWindow(27, Buffer.alloc(3_000_000, "abc"));
    expect(await unpacked(packed)).toHaveLength(3_000_000);
    await expect(unpacked(packed, 1e6, 23)).rejects.toThrow(/memory/);
  });

  it("tells what was flushed before the frame ends", async () => {
    const unpacker = createZstdUnpacker();
    const seen: string[] = [];
    unpacker.on("data", (bytes: Buffer) => seen.push(bytes.toString()));
    const packer = zstd.packer();
    packer.on("data", (bytes: Buffer) => unpacker.write(bytes));
    packer.write("data: one\n\n");
    await zstd.flush(packer);
    await expect.poll(() => seen.join("")).toBe("data: one\n\n");
    unpacker.destroy();
  });
});
