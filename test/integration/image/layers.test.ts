/** Layers upon layers: what whiteouts hide, where links lead, and what is refused. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withLayerTar } from "../../../src/image/layer-stream.ts";
import { plainConfig, type SourceImage } from "../../../src/image/source-image.ts";
import { unpackLayers } from "../../../src/image/unpacked-layers.ts";
import {
  inChunks,
  paxRecord,
  type RawEntry,
  rawArchive,
  rawEntry,
  withPax,
} from "../../support/archive-bytes.ts";
import { type MadeDisk, type MakeOptions, makeDisk } from "../../support/raw-disk.ts";

type Parts = readonly (RawEntry | Buffer)[];

let made: MadeDisk[] = [];
afterEach(() => {
  for (const disk of made) disk.remove();
  made = [];
});

async function disk(...layers: readonly Parts[]): Promise<MadeDisk> {
  const result = await makeDisk(layers.map((parts) => rawArchive(...parts)));
  made.push(result);
  await result.check();
  return result;
}

const folder = (name: string): RawEntry => ({ name, flag: "5", mode: 0o755 });
const file = (name: string, content = name): RawEntry => ({ name, content });
const link = (name: string, target: string): RawEntry => ({ name, flag: "2", target });
const hardLink = (name: string, target: string): RawEntry => ({ name, flag: "1", target });

/** Every path and what is there: content, `-> target`, or nothing for a folder. */
async function tree(of: MadeDisk): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  const look = async (path: string, node: MadeDisk["root"]): Promise<void> => {
    for (const [name, { node: child }] of node.children) {
      const at = `${path}/${name}`;
      if (at === "/lost+found") continue;
      if (child.type === "directory") {
        found[at] = "";
        await look(at, child);
      } else if (child.type === "symlink") found[at] = `-> ${child.target}`;
      else found[at] = (await of.bytes(at)).toString();
    }
  };
  await look("", of.root);
  return found;
}

describe("a whiteout", () => {
  it("hides a file, a folder with all that is in it, and nothing that is not there", async () => {
    const result = await disk(
      [folder("a"), file("a/b"), folder("c"), file("c/d"), file("e")],
      [{ name: ".wh.c" }, { name: "a/.wh.b" }, { name: ".wh.nothing" }, { name: "no/such/.wh.folder" }],
    );
    expect(await tree(result)).toEqual({ "/a": "", "/e": "e" });
  });

  it.each([
    ["before", [{ name: ".wh.x" }, file("x", "new")]],
    ["after", [file("x", "new"), { name: ".wh.x" }]],
  ])("that comes %s a file of its own layer leaves it", async (_, upper) => {
    expect(await tree(await disk([file("x", "old")], upper))).toEqual({ "/x": "new" });
  });

  it.each([
    ["before", [folder("d"), { name: "d/.wh..wh..opq" }, file("d/new")]],
    ["after", [folder("d"), file("d/new"), { name: "d/.wh..wh..opq" }]],
  ])("of a folder's content that comes %s the new content hides only the old", async (_, upper) => {
    const result = await disk([folder("d"), file("d/old"), folder("d/sub"), file("d/sub/old")], upper);
    expect(await tree(result)).toEqual({ "/d": "", "/d/new": "d/new" });
  });

  it("makes room for another kind of thing, and old bookkeeping means nothing", async () => {
    const result = await disk(
      [folder("was-folder"), file("was-folder/x"), file("was-file")],
      [
        link("was-folder", "was-file"),
        folder("was-file"),
        file("was-file/y"),
        folder(".wh..wh.plnk"),
        file(".wh..wh.aufs"),
      ],
    );
    expect(await tree(result)).toEqual({
      "/was-folder": "-> was-file",
      "/was-file": "",
      "/was-file/y": "was-file/y",
    });
  });

  it.each([".wh.", ".wh..", ".wh...", "a/.wh..."])("named %j is refused", async (name) => {
    await expect(disk([folder("a")], [{ name }])).rejects.toThrow(/whiteout of nothing/);
  });
});

describe("names and links of layers", () => {
  it("follow a link within the image, as usr-merged systems need it", async () => {
    const result = await disk(
      [
        folder("usr"),
        folder("usr/lib"),
        link("lib", "usr/lib"),
        link("abs", "/usr"),
        link("up", "../../../usr/lib"),
      ],
      [
        file("lib/one"),
        file("abs/lib/two"),
        file("up/three"),
        hardLink("four", "abs/lib/two"),
        { name: "lib/.wh.none" },
      ],
    );
    const found = await tree(result);
    expect(Object.keys(found).sort()).toEqual(
      [
        "/abs",
        "/four",
        "/lib",
        "/up",
        "/usr",
        "/usr/lib",
        "/usr/lib/one",
        "/usr/lib/three",
        "/usr/lib/two",
      ].sort(),
    );
    expect(found["/four"]).toBe("abs/lib/two");
    expect(await result.ask("stat /four")).toContain("Links: 2");
  });

  it("begin at the image's top when they are absolute or begin with ./", async () => {
    const result = await disk([file("/etc/x", "1"), file("./etc/y", "2"), folder("./")]);
    expect(await tree(result)).toEqual({ "/etc": "", "/etc/x": "1", "/etc/y": "2" });
  });

  it("take the last of what one layer says twice", async () => {
    expect(await tree(await disk([file("a", "1"), file("a", "2")]))).toEqual({ "/a": "2" });
  });

  it("leave a link that leads out of the image as it is: it leads nowhere else", async () => {
    const result = await disk([link("out", "../../../../etc/passwd"), link("root", "/")]);
    expect(await tree(result)).toEqual({ "/out": "-> ../../../../etc/passwd", "/root": "-> /" });
  });

  it("give another file a name's old content without touching the first name", async () => {
    const result = await disk([file("a", "1"), hardLink("b", "a")], [file("a", "2")]);
    expect(await tree(result)).toEqual({ "/a": "2", "/b": "1" });
    expect(await result.ask("stat /b")).toContain("Links: 1");
  });
});

describe("a hostile layer", () => {
  const refused: readonly (readonly [what: string, parts: Parts, text: RegExp])[] = [
    ["a name that climbs", [file("../../etc/cron.d/x")], /climbs out/],
    ["a name that climbs after a folder", [folder("a"), file("a/../../x")], /climbs out/],
    ["a hard link that climbs", [hardLink("x", "../../etc/shadow")], /climbs out/],
    ["a hard link to what is not there", [hardLink("x", "/etc/shadow")], /which is not there/],
    [
      "a hard link through a link to what is not there",
      [link("d", "/"), hardLink("x", "d/etc/shadow")],
      /not there/,
    ],
    ["a hard link to a folder", [folder("d"), hardLink("x", "d")], /hard link to a folder/],
    ["a hard link to itself", [hardLink("x", "x")], /not there/],
    ["links in a circle", [link("a", "b"), link("b", "a"), file("a/x")], /in a circle/],
    ["a link that grows", [link("a", `${"a/".repeat(20)}x`), file("a/x")], /in a circle|no folder/],
    ["a file for a folder", [file("a"), file("a/b")], /no folder/],
    ["a top that is a link", [link(".", "/etc")], /top is no folder/],
    ["a top that is a file", [file(".", "")], /top is no folder|no name/],
    ["an empty name", [file("")], /no name/],
    ["a NUL in a name", [withPax({ path: "a\0b" }, file("x"))], /NUL/],
    ["a part of 256 bytes", [withPax({ path: "n".repeat(256) }, file("x"))], /longer than 255/],
    ["a path of 5,000 bytes", [withPax({ path: `${"n/".repeat(2_500)}x` }, file("x"))], /longer than 4096/],
    [
      "a link target of 5,000 bytes",
      [withPax({ linkpath: "t".repeat(5_000) }, link("x", "y"))],
      /target is no path/,
    ],
    ["an empty link", [link("x", "")], /target is no path/],
    [
      "an owner beyond all numbers",
      [withPax({ uid: "4294967295" }, file("x"))],
      /an owner that Linux has not/,
    ],
    [
      "a device beyond all numbers",
      [{ name: "d", flag: "3", device: [4_096, 0] as const }],
      /numbers that Linux has not/,
    ],
    [
      "attributes beyond a block",
      [withPax({ "SCHILY.xattr.user.x": Buffer.alloc(5_000) }, file("x"))],
      /extended attributes/,
    ],
    [
      "an attribute twice",
      [
        rawEntry({
          name: "p",
          flag: "x",
          content: Buffer.concat([
            paxRecord("SCHILY.xattr.user.a", "1"),
            paxRecord("SCHILY.xattr.user.a", "2"),
          ]),
        }),
        file("x"),
      ],
      /twice/,
    ],
    ["a wrong checksum", [{ name: "x", badChecksum: true }], /checksum/],
    ["an entry of an unknown kind", [{ name: "x", flag: "M" }], /type/],
    [
      "a sparse file whose pieces overlap",
      [withPax({ "GNU.sparse.size": "100", "GNU.sparse.map": "0,4,2,4" }, file("s", "12345678"))],
      /overlap/,
    ],
    [
      "a sparse file with a piece behind its end",
      [withPax({ "GNU.sparse.size": "100", "GNU.sparse.map": "99,8" }, file("s", "12345678"))],
      /behind its end/,
    ],
    [
      "a sparse file with less than its map says",
      [withPax({ "GNU.sparse.size": "100", "GNU.sparse.map": "0,50" }, file("s", "1"))],
      /does not fit/,
    ],
    [
      "a sparse file of too many pieces",
      [
        withPax(
          { "GNU.sparse.major": "1", "GNU.sparse.realsize": "9" },
          file("s", "99999999\n".padEnd(512, "\0")),
        ),
      ],
      /more than 10000 pieces/,
    ],
    [
      "a sparse file larger than any file can be",
      [
        withPax(
          { "GNU.sparse.size": `${2 ** 44}`, "GNU.sparse.map": `${2 ** 44 - 8},8` },
          file("s", "12345678"),
        ),
      ],
      /larger than any file can be/,
    ],
    ["a sparse file whose small gaps would fill the disk", [sparseInPieces(9_000, 50_000)], /does not fit/],
    ["a file in 2,000 far pieces", [sparseInPieces(2_000)], /too many pieces/],
  ];

  it.each(refused)("is refused for %s", async (_, parts, text) => {
    await expect(disk(parts)).rejects.toThrow(text);
  });

  it("is refused for one entry more than the limit", async () => {
    const entries = Array.from({ length: 11 }, (_, i) => file(`f${i}`));
    const options: MakeOptions = { maxEntries: 10 };
    await expect(makeDisk([rawArchive(...entries)], options)).rejects.toThrow(/more than 10 entries/);
    // Over all layers, not in each.
    const halves = [entries.slice(0, 6), entries.slice(6)].map((half) => rawArchive(...half));
    await expect(makeDisk(halves, options)).rejects.toThrow(/more than 10 entries/);
  });

  it("is refused for attributes that would fill this host's memory", async () => {
    const value = Buffer.alloc(4_000, "v");
    const entry = withPax(
      Object.fromEntries(Array.from({ length: 15 }, (_, i) => [`SCHILY.xattr.trusted.${i}`, value])),
      file("x"),
    );
    const all = Buffer.concat(Array.from({ length: 4_600 }, () => entry));
    await expect(disk([all])).rejects.toThrow(/names and attributes are longer than/);
  });

  it("is refused for folders deeper than any path", async () => {
    const layers = Array.from({ length: 2 }, (_, i) => [
      withPax({ path: `${"d/".repeat(2_000)}${i}` }, file("x")),
      link("again", `/${"d/".repeat(2_000)}`.slice(0, 90)),
    ]);
    const deep = withPax({ linkpath: "/d".repeat(2_000) }, link("deep", "x"));
    const below = withPax({ path: `deep/${"d/".repeat(1_000)}x` }, file("x"));
    await expect(disk(...layers, [deep, below])).rejects.toThrow(/deeper than 2048/);
  });

  it("that hides the same folder again and again is done with at once", async () => {
    const many = Array.from({ length: 40_000 }, (_, i) => i);
    const result = await disk(
      [folder("d"), file("d/old")],
      [file("x"), ...many.map((i) => hardLink(`d/${i}`, "x")), ...many.map(() => ({ name: ".wh.d" }))],
    );
    const d = result.root.children.get("d")?.node;
    expect(d?.type === "directory" && [d.children.size, d.children.has("old")]).toEqual([many.length, false]);
  });

  it("is refused for links that lead through more names than any path has", async () => {
    const hops = Array.from({ length: 10 }, (_, i) =>
      withPax({ linkpath: `${"./".repeat(1_500)}l${i + 1}` }, link(`l${i}`, "x")),
    );
    await expect(disk([...hops, folder("l10"), file("l0/x")])).rejects.toThrow(
      "leads through more than 8192 names",
    );
  });

  it("is refused for more content than the disk has room for, however it is hidden again", async () => {
    const big = file("big", "x".repeat(30 * 1024 ** 2));
    await expect(disk([big], [big], [{ name: ".wh.big" }, big])).rejects.toThrow(/does not fit/);
  });

  it("that unpacks to a thousand times its size is given up before it is written", async () => {
    // 2 GiB of nothing in 2 MB.
    const piece = gzipSync(Buffer.alloc(64 * 1024 ** 2));
    const bomb = Buffer.concat(Array.from({ length: 32 }, () => piece));
    let bytes = 0;
    const unpacking = withLayerTar({ open: () => inChunks(bomb, 65_536) }, async (tar) => {
      for await (const chunk of tar) bytes += chunk.length;
    });
    await expect(unpacking).rejects.toThrow(/more than 200 times its size/);
    expect(bytes).toBeLessThan(1.1 * 1024 ** 3);
  });

  describe("beside others", () => {
    let area: string;
    beforeEach(() => {
      area = mkdtempSync(join(tmpdir(), "bottle-test-"));
    });
    afterEach(() => rmSync(area, { recursive: true, force: true }));

    const layers = (count: number, stored: Buffer): SourceImage => ({
      digest: "sha256:none",
      config: plainConfig(),
      layers: Array.from({ length: count }, () => ({ open: () => inChunks(stored, 65_536) })),
    });

    it("is a bomb as they are together: each may unpack to a gigabyte, and an image has 512", async () => {
      // 640 MiB of nothing in 640 KB.
      const piece = gzipSync(Buffer.alloc(64 * 1024 ** 2));
      const layer = Buffer.concat(Array.from({ length: 10 }, () => piece));
      await expect(unpackLayers(layers(2, layer), area)).rejects.toThrow(/more than 200 times its size/);
    });

    it("is refused for what they unpack to, though each was stored for itself", async () => {
      const layer = rawArchive(file("a", "b".repeat(100_000)));
      await unpackLayers(layers(2, layer), area, undefined, 2 * layer.length);
      await expect(unpackLayers(layers(3, layer), area, undefined, 2 * layer.length)).rejects.toThrow(
        /unpack to more than/,
      );
    });

    it("is at work no more once another one was refused: what it was written to can be removed", async () => {
      let isRead = false;
      let given = 0;
      async function* without(): AsyncGenerator<Buffer, void, void> {
        isRead = true;
        // An end for who goes on.
        for (; given < 2_000; given++) yield Buffer.alloc(65_536);
      }
      async function* damaged(): AsyncGenerator<Buffer, void, void> {
        while (given < 10) await sleep(1);
        yield Buffer.from("1f8b0800ffffffffffffffffffff", "hex");
      }
      const image = { ...layers(0, Buffer.alloc(0)), layers: [{ open: without }, { open: damaged }] };
      await expect(unpackLayers(image, area)).rejects.toThrow(/compression is damaged/);
      expect(isRead).toBe(true);
      const then = given;
      await sleep(100);
      expect(given).toBe(then);
    });
  });

  it("whose compression is damaged or cut is refused", async () => {
    const whole = gzipSync(rawArchive(file("a", "b".repeat(100_000))));
    const read = async (tar: AsyncIterable<Buffer>): Promise<void> => {
      for await (const _ of tar);
    };
    const damaged = Buffer.from(whole);
    damaged[40] = (damaged[40] ?? 0) ^ 0xff;
    await expect(withLayerTar({ open: () => inChunks(damaged) }, read)).rejects.toThrow(
      /compression is damaged/,
    );
    await expect(withLayerTar({ open: () => inChunks(whole.subarray(0, -20)) }, read)).rejects.toThrow(
      /compression is damaged/,
    );
  });
});

function sparseInPieces(count: number, gap = 2 * 1024 ** 2): Buffer {
  const map = Array.from({ length: count }, (_, i) => `${i * gap}\n1\n`).join("");
  const text = `${count}\n${map}`;
  const padded = text.padEnd(Math.ceil(text.length / 512) * 512, "\0");
  const content = Buffer.concat([Buffer.from(padded), Buffer.alloc(count, "x")]);
  return withPax(
    { "GNU.sparse.major": "1", "GNU.sparse.realsize": `${count * gap}` },
    { name: "s", content },
  );
}
