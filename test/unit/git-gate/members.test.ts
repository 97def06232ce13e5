import { describe, expect, it } from "vitest";
import {
  GZIP_MARK,
  readGzipHead,
  readZipHead,
  ZIP_MARK,
} from "../../../src/sidecars/git-gate/scan/members.ts";

const DEFLATED = 8;
const ENCRYPTED = 1;

interface Head {
  readonly version?: number;
  readonly flags?: number;
  readonly method?: number;
  readonly nameLength?: number;
  readonly extraLength?: number;
}

/** A local header whose name is all `n`. */
function zipHead({
  version = 20,
  flags = 0,
  method = DEFLATED,
  nameLength = 3,
  extraLength = 0,
}: Head): Buffer {
  const head = Buffer.alloc(30);
  ZIP_MARK.copy(head);
  head.writeUInt16LE(version, 4);
  head.writeUInt16LE(flags, 6);
  head.writeUInt16LE(method, 8);
  head.writeUInt16LE(nameLength, 26);
  head.writeUInt16LE(extraLength, 28);
  return Buffer.concat([head, Buffer.alloc(nameLength, "n"), Buffer.alloc(extraLength)]);
}

describe("a zip's local header", () => {
  it("says where the deflated data begins", () => {
    expect(readZipHead(zipHead({ extraLength: 5 }))).toEqual({ kind: "deflated", name: "nnn", skip: 38 });
  });

  it("is waited for until all of it is there", () => {
    const whole = zipHead({ extraLength: 5 });
    for (let length = 4; length < whole.length; length++)
      expect(readZipHead(whole.subarray(0, length))).toEqual({ kind: "more" });
  });

  it.each([
    ["of a version that there is not", { version: 100 }],
    ["of a method that the format does not know", { method: 7 }],
    ["without a name", { nameLength: 0 }],
    ["with a name that is longer than any", { nameLength: 4_097 }],
  ])("is none %s: the mark stood there by chance, and nobody is refused for it", (_, head) => {
    expect(readZipHead(zipHead(head))).toEqual({ kind: "none" });
    expect(readZipHead(zipHead({ ...head, flags: ENCRYPTED }))).toEqual({ kind: "none" });
  });

  it.each([
    [{ flags: ENCRYPTED }, "it is encrypted"],
    [{ method: 12 }, "its compression is zip's 12"],
  ])("of what cannot be looked at says why: %j", (head, why) => {
    expect(readZipHead(zipHead(head))).toEqual({ kind: "unreadable", name: "nnn", why });
  });

  it("of what is stored is none: that is read as the file itself is", () => {
    expect(readZipHead(zipHead({ method: 0 }))).toEqual({ kind: "none" });
  });
});

describe("a gzip member's header", () => {
  const head = (flags: number, ...fields: readonly Buffer[]): Buffer =>
    Buffer.concat([GZIP_MARK, Buffer.from([flags, 0, 0, 0, 0, 0, 3]), ...fields]);

  it("is skipped with all of its fields, and named", () => {
    const fields = [
      Buffer.from([2, 0, 9, 9]),
      Buffer.from("name\0"),
      Buffer.from("words\0"),
      Buffer.from([1, 2]),
    ];
    const bytes = head(2 | 4 | 8 | 16, ...fields);
    expect(readGzipHead(bytes)).toEqual({ kind: "deflated", name: "name", skip: bytes.length });
    expect(readGzipHead(head(0))).toEqual({ kind: "deflated", name: "gzip member", skip: 10 });
  });

  it("is waited for until its fields are there", () => {
    expect(readGzipHead(head(0).subarray(0, 9))).toEqual({ kind: "more" });
    expect(readGzipHead(head(4, Buffer.from([2])))).toEqual({ kind: "more" });
    expect(readGzipHead(head(8, Buffer.from("name")))).toEqual({ kind: "more" });
  });

  it("is none with flags that there are not, or a name without an end", () => {
    expect(readGzipHead(head(0x20))).toEqual({ kind: "none" });
    expect(readGzipHead(head(8, Buffer.alloc(4_097, "n")))).toEqual({ kind: "none" });
  });
});
