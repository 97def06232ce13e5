import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { encodeHeader } from "../../../src/lib/archive/encode-tar.ts";
import { extractTar } from "../../../src/lib/archive/extract-tar.ts";
import { joined, packEntries, packTar } from "../../../src/lib/archive/pack-tar.ts";
import { readTar } from "../../../src/lib/archive/read-tar.ts";

const BOUNDS = { maxEntries: 10_000, maxBytes: 100_000_000 };

let area: string;
beforeEach(() => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
});
afterEach(() => rmSync(area, { recursive: true, force: true }));

/** Everything about a tree that a copy must keep. */
function describeTree(path: Buffer): unknown {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return { link: readlinkSync(path, { encoding: "buffer" }).toString("hex") };
  const mode = stat.mode & 0o777;
  if (stat.isFile())
    return { mode, content: readFileSync(path).toString("hex"), mtime: Math.floor(stat.mtimeMs / 1000) };
  const children = readdirSync(path, { encoding: "buffer" }).sort(Buffer.compare);
  return { mode, children: children.map((name) => [name.toString("hex"), describeTree(joined(path, name))]) };
}

async function copied(from: Buffer): Promise<Buffer> {
  const to = join(area, "copy");
  rmSync(to, { recursive: true, force: true });
  const root = Buffer.from("top");
  const report = await extractTar(packTar(from.toString(), root), to, { ...BOUNDS, root, modeMask: 0o777 });
  expect(report.skipped).toEqual([]);
  return Buffer.from(to);
}

describe("packing and extracting a tree", () => {
  it("keeps modes, times, links, empty folders, long and odd names and binary content", async () => {
    const tree = join(area, "tree");
    mkdirSync(join(tree, "empty"), { recursive: true });
    mkdirSync(join(tree, "d".repeat(120), "e".repeat(200)), { recursive: true });
    writeFileSync(join(tree, "d".repeat(120), "e".repeat(200), "f".repeat(255)), "deep");
    writeFileSync(join(tree, "-rf"), "dash");
    writeFileSync(join(tree, "sp ace\u00fc\ufeff"), "");
    writeFileSync(joined(tree, Buffer.from([0xff, 0x80, 0x21])), "bytes");
    writeFileSync(join(tree, "run.sh"), "#!/bin/sh\n");
    chmodSync(join(tree, "run.sh"), 0o755);
    writeFileSync(join(tree, "secret"), "x");
    chmodSync(join(tree, "secret"), 0o600);
    writeFileSync(join(tree, "binary"), Buffer.from(Array.from({ length: 1500 }, (_, index) => index % 256)));
    symlinkSync("run.sh", join(tree, "link"));
    symlinkSync(`${"e".repeat(150)}/../x`.slice(0, 150), join(tree, "long-link"));
    chmodSync(join(tree, "empty"), 0o750);
    expect(describeTree(await copied(Buffer.from(tree)))).toEqual(describeTree(Buffer.from(tree)));
  });

  it("keeps a file of 10 MB to the byte", async () => {
    const big = Buffer.alloc(10 * 1024 * 1024);
    for (let at = 0; at < big.length; at += 4096) big.writeUInt32LE(at, at);
    writeFileSync(join(area, "big"), big);
    expect(readFileSync(await copied(Buffer.from(join(area, "big")))).equals(big)).toBe(true);
  });

  it("keeps any tree", async () => {
    const name = fc
      .uint8Array({ minLength: 1, maxLength: 130 })
      .map((bytes) =>
        Buffer.from(bytes.map((byte) => (byte < 0x20 || byte === 0x2f || byte === 0x7f ? 0x61 : byte))),
      )
      .filter((bytes) => ![".", ".."].includes(bytes.toString("latin1")));
    interface Node {
      readonly name: Buffer;
      readonly content?: Uint8Array;
      readonly target?: Buffer;
      readonly children?: readonly Node[];
      readonly mode: number;
    }
    const { node } = fc.letrec<{ node: Node }>((tie) => ({
      node: fc.oneof(
        { depthSize: "small" },
        fc.record({
          name,
          content: fc.uint8Array({ maxLength: 1200 }),
          mode: fc.constantFrom(0o600, 0o644, 0o755, 0o777),
        }),
        fc.record({ name, target: name, mode: fc.constant(0) }),
        fc.record({
          name,
          children: fc.array(tie("node"), { maxLength: 4 }),
          mode: fc.constantFrom(0o700, 0o755),
        }),
      ),
    }));
    const make = (at: Buffer, of: Node): void => {
      const path = joined(at, of.name);
      try {
        if (of.target !== undefined) symlinkSync(of.target, path);
        else if (of.children !== undefined) {
          mkdirSync(path);
          for (const child of of.children) make(path, child);
          chmodSync(path, of.mode);
        } else {
          writeFileSync(path, of.content ?? "", { flag: "wx" });
          chmodSync(path, of.mode);
        }
      } catch (error) {
        // Two of one name: the first one it is.
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
    };
    await fc.assert(
      fc.asyncProperty(fc.array(node, { maxLength: 5 }), async (nodes) => {
        const tree = join(area, "tree");
        rmSync(tree, { recursive: true, force: true });
        mkdirSync(tree);
        for (const one of nodes) make(Buffer.from(tree), one);
        expect(describeTree(await copied(Buffer.from(tree)))).toEqual(describeTree(Buffer.from(tree)));
      }),
      { numRuns: 60 },
    );
  });

  it("any bytes make an entry or an error, and never a file outside", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), fc.nat(), async (bytes, seed) => {
        // Headers with a right checksum and some wrong bytes get further than noise.
        const header = encodeHeader({
          name: Buffer.from("../../x"),
          type: "file",
          mode: 0o644,
          size: 10,
          mtime: 0,
          uid: 0,
          gid: 0,
          target: Buffer.alloc(0),
        });
        header[seed % 512] = seed % 251;
        async function* stream(): AsyncGenerator<Buffer> {
          yield header;
          yield Buffer.from(bytes);
        }
        const to = join(area, "any");
        await extractTar(stream(), to, BOUNDS).catch(() => {});
        rmSync(to, { recursive: true, force: true });
        expect(readdirSync(area)).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("packing", () => {
  it("takes the owner's ids and a mode for all files, with x where folders need it", async () => {
    mkdirSync(join(area, "d"));
    writeFileSync(join(area, "d", "f"), "x");
    const seen: unknown[] = [];
    const stream = packTar(join(area, "d"), Buffer.from("d"), {
      owner: { uid: 1000, gid: 1001 },
      mode: 0o640,
    });
    for await (const entry of readTar(stream)) {
      seen.push([entry.name.toString(), entry.mode, entry.uid, entry.gid]);
    }
    expect(seen).toEqual([
      ["d/", 0o750, 1000, 1001],
      ["d/f", 0o640, 1000, 1001],
    ]);
  });

  it("packs what is in memory, folders and what has gone meanwhile", async () => {
    const entries = [
      { kind: "folder", name: Buffer.from("made"), mode: 0o755 },
      { kind: "content", name: Buffer.from("made/file"), content: Buffer.from("hi"), mode: 0o600 },
      { kind: "disk", name: Buffer.from("gone"), path: Buffer.from(join(area, "gone")) },
    ] as const;
    const seen: string[] = [];
    for await (const entry of readTar(packEntries(entries)))
      seen.push(`${entry.type} ${entry.name.toString()}`);
    expect(seen).toEqual(["directory made/", "file made/file"]);
  });

  it("never packs what a link points to, nor special files", async () => {
    symlinkSync("/etc/passwd", join(area, "link"));
    const seen: string[] = [];
    for await (const entry of readTar(packTar(join(area, "link"), Buffer.from("l")))) {
      seen.push(`${entry.type} ${entry.target.toString()}`);
    }
    for await (const entry of readTar(packTar("/dev/null", Buffer.from("n")))) seen.push(entry.type);
    expect(seen).toEqual(["symlink /etc/passwd"]);
  });

  it("fails the stream when the caller's bound says so", async () => {
    writeFileSync(join(area, "f"), "12345");
    const onEntry = (_name: Buffer, bytes: number): void => {
      if (bytes > 4) throw new Error("too much");
    };
    const reading = async (): Promise<void> => {
      for await (const _ of packTar(join(area, "f"), Buffer.from("f"), { onEntry }));
    };
    await expect(reading()).rejects.toThrow("too much");
  });

  it("writes sizes and ids that octal fields cannot hold so that they read back", async () => {
    const header = encodeHeader({
      name: Buffer.from("x"),
      type: "file",
      mode: 0o644,
      size: 2 ** 40,
      mtime: 5,
      uid: 3_000_000,
      gid: 0,
      target: Buffer.alloc(0),
    });
    const first = await readTar(
      (async function* () {
        yield header;
      })(),
    ).next();
    expect(first.value).toMatchObject({ size: 2 ** 40, uid: 3_000_000 });
  });
});
