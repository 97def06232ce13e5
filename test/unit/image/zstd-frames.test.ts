import { Readable } from "node:stream";
import * as zlib from "node:zlib";
import { describe, expect, it } from "vitest";
import { beginsAsZstd, inFrames } from "../../../src/image/zstd-frames.ts";
import { inChunks } from "../../support/archive-bytes.ts";

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

const PARTS = [skippable(9), plain("hel", "lo "), repeated("x", 4_000), skippable(0), plain(" world")];
const TEXT = `hello ${"x".repeat(4_000)} world`;

describe("zstd of several frames", () => {
  it.each([1, 2, 3, 7, 64, 1e6])("is cut where each of them ends, given %i bytes at once", async (size) => {
    const pieces: Buffer[] = [];
    for await (const piece of inFrames(inChunks(Buffer.concat(PARTS), size))) pieces.push(piece);
    expect(Buffer.concat(pieces).equals(Buffer.concat(PARTS))).toBe(true);
    expect(pieces.every((piece) => piece.length > 0)).toBe(true);
    const endsOf = (parts: readonly Buffer[]): readonly number[] =>
      parts.map((_, i) => Buffer.concat(parts.slice(0, i + 1)).length);
    expect(endsOf(pieces)).toEqual(expect.arrayContaining([...endsOf(PARTS)]));
    if (size === 1e6) expect(pieces).toHaveLength(PARTS.length);
  });

  it.runIf("createZstdDecompress" in zlib)("is unpacked whole by this Node", async () => {
    const { createZstdDecompress } = zlib as unknown as { createZstdDecompress(): NodeJS.ReadWriteStream };
    let text = "";
    const source = Readable.from(inFrames(inChunks(Buffer.concat(PARTS), 1e6)), { objectMode: false });
    for await (const chunk of source.pipe(createZstdDecompress())) text += String(chunk);
    expect(text).toBe(TEXT);
  });

  it("keeps what is no frame, and what is cut off, as it is", async () => {
    for (const bytes of [
      Buffer.from("no frame at all"),
      Buffer.concat([plain("a"), Buffer.from("rest")]),
      plain("abc").subarray(0, -1),
      Buffer.alloc(0),
    ]) {
      const pieces: Buffer[] = [];
      for await (const piece of inFrames(inChunks(bytes, 5))) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
    }
  });

  it("is known by how it begins, with a frame or with what is to be skipped", () => {
    expect(
      [plain("a"), skippable(3), Buffer.from("28b5", "hex"), Buffer.from("1f8b0800", "hex")].map(
        beginsAsZstd,
      ),
    ).toEqual([true, true, false, false]);
  });
});
