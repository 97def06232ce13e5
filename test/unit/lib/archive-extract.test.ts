import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ExtractPolicy, type ExtractReport, extractTar } from "../../../src/lib/archive/extract-tar.ts";
import { ArchiveError } from "../../../src/lib/archive/tar-format.ts";
import { inChunks, paxRecord, type RawEntry, rawArchive, rawEntry } from "../../support/archive-bytes.ts";
import { countTurns } from "../../support/turns.ts";

const BOUNDS: ExtractPolicy = { maxEntries: 1000, maxBytes: 1_000_000 };

let area: string;
let out: string;
let canary: string;

beforeEach(() => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  mkdirSync(join(area, "there"));
  out = join(area, "there", "out");
  canary = join(area, "canary");
  writeFileSync(canary, "untouched");
  chmodSync(canary, 0o640);
});

afterEach(() => {
  expect(readFileSync(canary, "utf8")).toBe("untouched");
  expect(lstatSync(canary).mode & 0o7777).toBe(0o640);
  expect(lstatSync(canary).nlink).toBe(1);
  expect(readdirSync(area).sort()).toEqual(["canary", "there"]);
  rmSync(area, { recursive: true, force: true });
});

function extract(
  parts: readonly (RawEntry | Buffer)[],
  policy: Partial<ExtractPolicy> = {},
): Promise<ExtractReport> {
  return extractTar(inChunks(rawArchive(...parts)), out, { ...BOUNDS, ...policy });
}

async function refuses(parts: readonly (RawEntry | Buffer)[], text: RegExp): Promise<void> {
  await expect(extract(parts)).rejects.toThrow(text);
  // Nothing half made, not even under another name.
  expect(readdirSync(join(area, "there"))).toEqual([]);
}

const directory = (name: string, mode = 0o755): RawEntry => ({ name, flag: "5", mode });
const link = (name: string, target: string): RawEntry => ({ name, flag: "2", target });
const hardLink = (name: string, target: string): RawEntry => ({ name, flag: "1", target });

describe("names in an archive", () => {
  it.each(["/etc/passwd", "//x", "/"])("refuses the absolute name %s", async (name) => {
    await refuses([{ name }], /absolute/);
  });

  it.each(["../canary", "a/../../../canary", "..", "./..", "a/.."])(
    "refuses the climbing name %s",
    async (name) => {
      await refuses([{ name, content: "x" }], /climbs/);
    },
  );

  it("refuses a climbing name that comes in a pax header", async () => {
    const pax = { name: "pax", flag: "x", content: paxRecord("path", "../../canary") };
    await refuses([pax, { name: "innocent", content: "x" }], /climbs/);
  });

  it("refuses a climbing name that comes in a GNU long name", async () => {
    const long = { name: "././@LongLink", flag: "L", content: "../../canary\0" };
    await refuses([long, { name: "innocent", content: "x" }], /climbs/);
  });

  it("refuses a climbing name whose start lies in the ustar prefix", async () => {
    await refuses([{ name: "canary", prefix: "a/../..", content: "x" }], /climbs/);
  });

  it("does not take GNU's own header fields for a prefix", async () => {
    await extract([{ name: "file", prefix: "14000000000", magic: "ustar  \0", content: "x" }]);
    expect(readdirSync(out)).toEqual(["file"]);
  });

  it("refuses a NUL byte in a pax or a GNU name", async () => {
    await refuses([{ name: "p", flag: "x", content: paxRecord("path", "a\0b") }, { name: "f" }], /NUL/);
    await refuses([{ name: "l", flag: "L", content: "a\0b\0" }, { name: "f" }], /NUL/);
  });

  it("refuses an empty name and a file without one", async () => {
    await refuses([{ name: "", content: "x" }], /no name/);
    await refuses([{ name: ".", content: "x" }], /no name/);
  });

  it("refuses names longer than any file system's", async () => {
    const named = (name: string): Buffer =>
      Buffer.concat([
        rawEntry({ name: "p", flag: "x", content: paxRecord("path", name) }),
        rawEntry({ name: "f" }),
      ]);
    await refuses([named("n".repeat(256))], /255/);
    await refuses([named("n/".repeat(2100))], /4096/);
  });

  it("leaves out names with control characters and says so", async () => {
    const report = await extract([
      { name: "a\u001b[2Jb", content: "x" },
      { name: "fine", content: "y" },
    ]);
    expect(readdirSync(out)).toEqual(["fine"]);
    expect(report.skipped).toEqual([
      { path: "a\\u{1b}[2Jb", reason: "its name contains control characters" },
    ]);
  });

  it("keeps bytes that are no UTF-8", async () => {
    const name = Buffer.from([0x61, 0xff, 0xfe, 0x62]);
    await extract([{ name, content: "x" }]);
    expect(readdirSync(out, { encoding: "buffer" })).toEqual([name]);
  });

  it("refuses the same name twice, and a file that becomes a folder", async () => {
    await refuses(
      [
        { name: "a", content: "1" },
        { name: "a", content: "2" },
      ],
      /twice/,
    );
    await refuses(
      [
        { name: "a", content: "1" },
        { name: "./a", content: "2" },
      ],
      /twice/,
    );
    await refuses(
      [
        { name: "a", content: "1" },
        { name: "a/b", content: "2" },
      ],
      /both as a folder/,
    );
    await refuses([directory("a"), { name: "a", content: "1" }], /twice/);
    await refuses([{ name: "a", content: "1" }, directory("a")], /both as a folder/);
  });

  it("takes a folder that is spoken of twice, with its last mode", async () => {
    await extract([{ name: "d/f", content: "x" }, directory("d/", 0o750), directory("d", 0o700)]);
    expect(lstatSync(join(out, "d")).mode & 0o777).toBe(0o700);
  });
});

describe("links in an archive", () => {
  it("never writes through a link, whatever comes after it", async () => {
    await refuses([link("d", "."), { name: "d/x", content: "owned" }], /twice/);
    await refuses([link("f", "x"), { name: "f", content: "owned" }], /twice/);
    await refuses([link("f", "x"), link("f/y", "z")], /both as a folder/);
  });

  it("writes nothing outside through a link to the outside that is left out", async () => {
    const report = await extract([link("d", "../.."), { name: "d/canary", content: "owned" }]);
    expect(report.skipped).toEqual([{ path: "d", reason: "it is a link that leaves the folder" }]);
    expect(lstatSync(join(out, "d")).isDirectory()).toBe(true);
    expect(readFileSync(join(out, "d", "canary"), "utf8")).toBe("owned");
  });

  it.each([
    ["l", "/etc/passwd", "absolute"],
    ["l", "..", "leaves"],
    ["l", "../canary", "leaves"],
    ["a/b/l", "../../../canary", "leaves"],
    ["a/l", "b/../../../canary", "climbs after a name"],
    ["a/l", "./b/..", "climbs after a name"],
  ])("leaves out the link %s -> %s", async (name, target, reason) => {
    const report = await extract([link(name, target)]);
    expect(report.links).toBe(0);
    expect(report.skipped[0]?.reason).toContain(reason);
  });

  it("leaves out a link that would leave by way of another link", async () => {
    // d/e/up leads to the top, which is fine; d/e/out would then step above it.
    const report = await extract([link("d/e/up", "../.."), link("d/e/out", "up/..")]);
    expect(readdirSync(join(out, "d", "e"))).toEqual(["up"]);
    expect(report.skippedCount).toBe(1);
  });

  it("makes links that stay inside, also to what does not exist", async () => {
    await extract([link("a/l", "../b/c"), link("self", "."), link("dangling", "nowhere"), { name: "b/c" }]);
    expect(readlinkSync(join(out, "a", "l"))).toBe("../b/c");
    expect(readlinkSync(join(out, "dangling"))).toBe("nowhere");
    expect(existsSync(join(out, "a", "l"))).toBe(true);
  });

  it("makes hard links only to files of the same archive", async () => {
    await extract([{ name: "a/one", content: "1" }, hardLink("two", "a/one")]);
    expect(lstatSync(join(out, "two")).ino).toBe(lstatSync(join(out, "a", "one")).ino);
  });

  it("refuses hard links that climb or are absolute", async () => {
    await refuses([hardLink("x", "../../canary")], /climbs/);
    await refuses([hardLink("x", canary)], /absolute/);
  });

  it("leaves out hard links to a link, a folder or nothing", async () => {
    const parts = [
      link("l", "f"),
      directory("d"),
      hardLink("1", "l"),
      hardLink("2", "d"),
      hardLink("3", "f/g"),
    ];
    const report = await extract(parts);
    expect(readdirSync(out).sort()).toEqual(["d", "l"]);
    expect(report.skippedCount).toBe(3);
  });

  it("cannot change a file's content through a hard link to it", async () => {
    await refuses([{ name: "a", content: "1" }, hardLink("b", "a"), { name: "b", content: "2" }], /twice/);
  });
});

describe("kinds and modes", () => {
  it("leaves out devices and fifos", async () => {
    const parts = ["3", "4", "6"].map((flag) => ({ name: `special${flag}`, flag }));
    const report = await extract([...parts, { name: "file" }]);
    expect(readdirSync(out)).toEqual(["file"]);
    expect(report.skippedCount).toBe(3);
  });

  it.each(["M", "V", "D", "A", "Z", "\u00ff"])("refuses the entry type %s", async (flag) => {
    await refuses([{ name: "x", flag, content: "data" }], /type/);
  });

  it("refuses a sparse file of GNU's own kind", async () => {
    await refuses([{ name: "x", flag: "S", content: "data" }], /sparse/);
  });

  it("refuses a sparse file in pax clothes", async () => {
    const pax = { name: "p", flag: "x", content: paxRecord("GNU.sparse.major", "1") };
    await refuses([pax, { name: "f", content: "x" }], /sparse/);
  });

  it("drops set-id and sticky bits and foreign write access, keeps the rest", async () => {
    await extract([
      { name: "suid", mode: 0o6755 },
      { name: "exec", mode: 0o700 },
      { name: "read", mode: 0o444 },
      { name: "all", mode: 0o777 },
      directory("sticky", 0o1777),
      directory("closed", 0o000),
    ]);
    const mode = (name: string): number => lstatSync(join(out, name)).mode & 0o7777;
    expect(mode("suid")).toBe(0o755);
    expect(mode("exec")).toBe(0o700);
    expect(mode("read")).toBe(0o444);
    expect(mode("all")).toBe(0o755);
    expect(mode("sticky")).toBe(0o755);
    expect(mode("closed")).toBe(0o700);
  });

  it("keeps a caller's own mode mask, and never set-id even then", async () => {
    await extract([{ name: "f", mode: 0o6666 }], { modeMask: 0o7777 });
    expect(lstatSync(join(out, "f")).mode & 0o7777).toBe(0o666);
  });

  it("takes an old-style folder, a file whose name ends in a slash", async () => {
    await extract([{ name: "old/" }]);
    expect(lstatSync(join(out, "old")).isDirectory()).toBe(true);
  });

  it("puts nothing where the caller's exclusion says no, whatever kind it is", async () => {
    const exclude: NonNullable<ExtractPolicy["exclude"]> = (path) =>
      path.some((part) => part.toString() === "no") ? "not wanted" : undefined;
    const parts = [
      { name: "no", content: "x" },
      { name: "a/no/b", content: "x" },
      directory("b/no"),
      link("c/no", "x"),
    ];
    const report = await extract([...parts, hardLink("sly", "no"), { name: "yes" }], { exclude });
    expect(readdirSync(out)).toEqual(["yes"]);
    expect(report.skippedCount).toBe(5);
  });
});

describe("bounds", () => {
  it("refuses more entries than allowed", async () => {
    const many = Array.from({ length: 1001 }, (_, index) => ({ name: `f${index}` }));
    await refuses(many, /more than 1000 entries/);
  });

  it("refuses more bytes than allowed before it reads them", async () => {
    await refuses([{ name: "big", size: 0o77777777777 }], /more than 1000000 bytes/);
  });

  it("counts what is left out as an entry", async () => {
    const many = Array.from({ length: 1001 }, (_, index) => link(`f${index}`, "/x"));
    await refuses(many, /more than 1000 entries/);
  });

  it("names at most 200 of what is left out and counts the rest", async () => {
    const many = Array.from({ length: 300 }, (_, index) => link(`f${index}`, "/x"));
    const report = await extract(many);
    expect(report.skipped).toHaveLength(200);
    expect(report.skippedCount).toBe(300);
  });

  it("refuses sizes that are no numbers, negative or beyond counting", async () => {
    await refuses([{ name: "x", size: Buffer.from("zzz") }], /no number/);
    await refuses([{ name: "x", size: Buffer.alloc(12, 0xff) }], /out of range/);
    await refuses([{ name: "p", flag: "x", content: paxRecord("size", "-1") }, { name: "f" }], /no number/);
    await refuses([{ name: "p", flag: "x", content: paxRecord("size", "1e3") }, { name: "f" }], /no number/);
    await refuses(
      [{ name: "p", flag: "x", content: paxRecord("size", "9999999999999999") }, { name: "f" }],
      /no number/,
    );
  });

  it("refuses a long extended header, and a long row of them", async () => {
    await refuses([{ name: "p", flag: "x", size: 10_000_000 }], /longer than/);
    const comment = { name: "p", flag: "x", content: paxRecord("comment", "x") };
    await refuses([comment, comment, comment, comment, comment, { name: "f" }], /too many/);
  });

  it("refuses malformed extended headers", async () => {
    for (const content of [
      "9 path=x",
      "xx path=y\n",
      "99999999999 path=y\n",
      "3 \n",
      "5 a=b\n",
      "13 path=abc\n",
    ]) {
      await refuses([{ name: "p", flag: "x", content }, { name: "f" }], /malformed/);
    }
  });

  it("refuses an entry that has two names, as two readers would read two archives", async () => {
    const pax = { name: "p", flag: "x", content: paxRecord("path", "a") };
    const long = { name: "l", flag: "L", content: "b\0" };
    await refuses([pax, long, { name: "f" }], /twice/);
    await refuses([long, long, { name: "f" }], /twice/);
    const both = Buffer.concat([paxRecord("path", "a"), paxRecord("path", "b")]);
    await refuses([{ name: "p", flag: "x", content: both }, { name: "f" }], /twice/);
  });

  it("refuses a global header that renames, takes one that only comments", async () => {
    await refuses([{ name: "g", flag: "g", content: paxRecord("path", "x") }, { name: "f" }], /global/);
    await extract([{ name: "g", flag: "g", content: paxRecord("comment", "abc") }, { name: "f" }]);
    expect(readdirSync(out)).toEqual(["f"]);
  });

  it("refuses an unknown type, and names it by nothing that a terminal acts on", async () => {
    await refuses([{ name: "x", flag: "\u009b" }], /the type "\\u\{9b\}", which/);
  });

  it("lets everything else go on while it makes what there may be so much of", async () => {
    const folders = Array.from({ length: 1_000 }, (_, i) => directory(`${i}/`));
    const turns = countTurns();
    let before = 0;
    const inspect = async (): Promise<readonly []> => {
      before = turns();
      return [];
    };
    await extractTar(inChunks(rawArchive(...folders)), out, { ...BOUNDS, inspect }).finally(turns);
    expect(before).toBeGreaterThan(5);
  });

  it("refuses folders and links that claim a content", async () => {
    await refuses([{ name: "d", flag: "5", content: "x" }], /claims a content/);
    await refuses([{ name: "l", flag: "2", target: "t", content: "x" }], /claims a content/);
  });
});

describe("the stream itself", () => {
  it("refuses wrong checksums, plain text and a stream that ends anywhere before its end", async () => {
    await refuses([{ name: "x", badChecksum: true }], /checksum/);
    await refuses([Buffer.alloc(512, "hello ")], /./);
    const whole = rawArchive({ name: "a", content: "hello" }, { name: "b", content: "x".repeat(600) });
    for (const length of [
      0,
      1,
      511,
      512,
      700,
      1024,
      1500,
      whole.length - 1024,
      whole.length - 512,
      whole.length - 1,
    ]) {
      await expect(extractTar(inChunks(whole.subarray(0, length)), out, BOUNDS)).rejects.toThrow(
        /ends in the middle/,
      );
      expect(readdirSync(join(area, "there"))).toEqual([]);
    }
  });

  it("refuses an entry behind an empty block, and endless bytes behind the end", async () => {
    await refuses([Buffer.alloc(512), { name: "hidden", content: "x" }], /empty block/);
    const tail = Buffer.concat([rawArchive({ name: "a" }), Buffer.alloc(2_000_000)]);
    await expect(extractTar(inChunks(tail, 65_536), out, BOUNDS)).rejects.toThrow(/follow the end/);
  });

  it("takes tar's own padding, one byte at a time or in one piece", async () => {
    const bytes = Buffer.concat([rawArchive({ name: "a", content: "hello" }), Buffer.alloc(10_240)]);
    for (const size of [1, 511, 512, 513, 1_000_000]) {
      rmSync(out, { recursive: true, force: true });
      await extractTar(inChunks(bytes, size), out, BOUNDS);
      expect(readFileSync(join(out, "a"), "utf8")).toBe("hello");
    }
  });

  it("does not touch a destination that is there already, whatever it is", async () => {
    mkdirSync(out);
    await expect(extract([{ name: "a" }])).rejects.toThrow(ArchiveError);
    expect(readdirSync(out)).toEqual([]);
  });

  it("leaves nothing when the stream breaks", async () => {
    const bytes = rawArchive({ name: "a", content: "x".repeat(5000) });
    async function* broken(): AsyncGenerator<Buffer> {
      yield bytes.subarray(0, 2000);
      throw new Error("link lost");
    }
    await expect(extractTar(broken(), out, BOUNDS)).rejects.toThrow("link lost");
    expect(readdirSync(join(area, "there"))).toEqual([]);
  });
});

describe("an archive of one thing", () => {
  const root = Buffer.from("thing");

  it("makes the folder the destination", async () => {
    await extract([directory("./thing"), { name: "./thing/f", content: "x" }, link("thing/l", "f")], {
      root,
    });
    expect(readdirSync(out).sort()).toEqual(["f", "l"]);
  });

  it("makes the file the destination", async () => {
    await extract([{ name: "./thing", content: "x", mode: 0o755 }], { root });
    expect(readFileSync(out, "utf8")).toBe("x");
    expect(lstatSync(out).mode & 0o777).toBe(0o755);
  });

  it("counts a link's steps from the destination, not from the archive's top", async () => {
    const report = await extract([directory("thing"), link("thing/l", "../thing/f")], { root });
    expect(report.skipped[0]?.reason).toContain("leaves");
  });

  it("refuses what lies beside it, a link in its place, and nothing at all", async () => {
    await expect(extract([directory("thing"), { name: "other" }], { root })).rejects.toThrow(/beside/);
    await expect(extract([directory("thing"), hardLink("thing/x", "other")], { root })).rejects.toThrow(
      /beside/,
    );
    await expect(extract([link("thing", "x")], { root })).rejects.toThrow(/top is a link/);
    await expect(extract([], { root })).rejects.toThrow(/empty/);
    expect(readdirSync(join(area, "there"))).toEqual([]);
  });
});
