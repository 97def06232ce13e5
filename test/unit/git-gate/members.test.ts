import { describe, expect, it } from "vitest";
import {
  GZIP_MARK,
  readGzipHead,
  readZipHead,
  readZipTable,
  ZIP_MARK,
  ZIP_TABLE_MARK,
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
    const head = { kind: "deflated", name: "nnn", skip: 38, stated: true };
    expect(readZipHead(zipHead({ extraLength: 5 }))).toEqual(head);
  });

  it("is waited for until all of it is there", () => {
    const whole = zipHead({ extraLength: 5 });
    for (let length = 4; length < whole.length; length++)
      expect(readZipHead(whole.subarray(0, length))).toEqual({ kind: "more" });
  });

  it.each([
    ["that its data is stored", { method: 0 }],
    ["a method that the format does not know", { method: 7 }],
    ["such a method, and that it is encrypted", { method: 7, flags: ENCRYPTED }],
  ])("that says %s is not believed: what follows it is tried", (_, head) => {
    expect(readZipHead(zipHead(head))).toEqual({ kind: "deflated", name: "nnn", skip: 33, stated: false });
  });

  it.each([
    ["of a version that there is not", { version: 200 }, "nnn"],
    ["without a name", { nameLength: 0 }, "zip member"],
    ["with a name that is longer than any", { nameLength: 4_097 }, "n".repeat(4_096)],
  ])("%s is one all the same, as it is to what opens archives", (_, head, name) => {
    const skip = zipHead(head).length;
    expect(readZipHead(zipHead(head))).toEqual({ kind: "deflated", name, skip, stated: true });
  });

  it.each([
    [{ flags: ENCRYPTED }, "it is encrypted"],
    [{ method: 12 }, "its compression is zip's 12"],
  ])("of what cannot be looked at says why: %j", (head, why) => {
    expect(readZipHead(zipHead(head))).toEqual({ kind: "unreadable", name: "nnn", why });
    // Programs have the mark in them; nobody is refused for one of those.
    for (const chance of [{ nameLength: 0 }, { nameLength: 4_097 }, { version: 100 }, { version: 0x850f }])
      expect(readZipHead(zipHead({ ...head, ...chance }))).toMatchObject({ kind: "deflated" });
  });
});

describe("an entry of a zip's table", () => {
  const AT = 1000;

  function entry({ flags = 0, method = DEFLATED, nameLength = 3 }: Head, member = 0): Buffer {
    const bytes = Buffer.alloc(46);
    ZIP_TABLE_MARK.copy(bytes);
    bytes.writeUInt16LE(flags, 8);
    bytes.writeUInt16LE(method, 10);
    bytes.writeUInt16LE(nameLength, 28);
    bytes.writeUInt32LE(member, 42);
    return Buffer.concat([bytes, Buffer.alloc(nameLength, "n")]);
  }

  it("says nothing of a member that is opened anyway", () => {
    for (const method of [DEFLATED, 0, 7])
      expect(readZipTable(entry({ method }), AT)).toEqual({ kind: "none" });
  });

  it.each([
    [{ flags: ENCRYPTED }, "it is encrypted"],
    [{ method: 12 }, "its compression is zip's 12"],
  ])("tells what no local header told: %j", (head, why) => {
    const whole = entry(head);
    for (let length = 4; length < whole.length; length++)
      expect(readZipTable(whole.subarray(0, length), AT)).toEqual({ kind: "more" });
    expect(readZipTable(whole, AT)).toEqual({ kind: "unreadable", name: "nnn", why });
    expect(readZipTable(entry({ ...head, nameLength: 4_097 }), AT)).toEqual({ kind: "none" });
    // Of a program that has the mark in it: a table tells of what stands before it, or in a field of its own.
    for (const member of [0, AT, 0xffff_ffff])
      expect(readZipTable(entry(head, member), AT)).toMatchObject({ kind: "unreadable" });
    expect(readZipTable(entry(head, AT + 1), AT)).toEqual({ kind: "none" });
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
    expect(readGzipHead(bytes)).toEqual({ kind: "deflated", name: "name", skip: bytes.length, stated: true });
    const bare = { kind: "deflated", name: "gzip member", skip: 10, stated: true };
    expect(readGzipHead(head(0))).toEqual(bare);
    // Nor do flags that there are not keep Python from opening it.
    expect(readGzipHead(head(0xe0))).toEqual(bare);
  });

  it("is waited for until its fields are there", () => {
    expect(readGzipHead(head(0).subarray(0, 9))).toEqual({ kind: "more" });
    expect(readGzipHead(head(4, Buffer.from([2])))).toEqual({ kind: "more" });
    expect(readGzipHead(head(8, Buffer.from("name")))).toEqual({ kind: "more" });
  });

  it.each([8, 16])("cannot be looked at with a text in it that is longer than any: flag %i", (flag) => {
    const why = "its header has a text of more than 4096 bytes";
    const long = Buffer.alloc(4_097, "n");
    for (const end of ["", "\0"]) {
      const bytes = head(flag, long, Buffer.from(end));
      expect(readGzipHead(bytes)).toEqual({ kind: "unreadable", name: "gzip member", why });
    }
    expect(readGzipHead(head(flag, long.subarray(1), Buffer.from("\0")))).toMatchObject({ kind: "deflated" });
  });
});
