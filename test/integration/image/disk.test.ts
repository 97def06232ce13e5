/** The disk that our code writes, as e2fsck and debugfs read it. */
import { createHash } from "node:crypto";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import { eraseUnusedBlocks } from "../../../src/image/ext4/erase-unused.ts";
import { runOk } from "../../../src/lib/processes.ts";
import { type RawEntry, rawArchive, withPax } from "../../support/archive-bytes.ts";
import { type MadeDisk, type MakeOptions, makeDisk, SMALL_DISK } from "../../support/raw-disk.ts";

let made: MadeDisk[] = [];

afterEach(() => {
  for (const disk of made) disk.remove();
  made = [];
});

/** Made and found sound: every test is one of e2fsck too. */
async function sound(
  layers: readonly (readonly (RawEntry | Buffer)[])[],
  options?: MakeOptions,
): Promise<MadeDisk> {
  const disk = await makeDisk(
    layers.map((parts) => rawArchive(...parts)),
    options,
  );
  made.push(disk);
  await disk.check();
  return disk;
}

const folder = (name: string, mode = 0o755): RawEntry => ({ name, flag: "5", mode });
const link = (name: string, target: string | Buffer): RawEntry => ({ name, flag: "2", target, mode: 0o777 });
const hardLink = (name: string, target: string): RawEntry => ({ name, flag: "1", target });

/** Names in a folder. */
async function list(disk: MadeDisk, path: string): Promise<string[]> {
  const rows = (await disk.ask(`ls -p ${path}`)).split("\n").filter((row) => row.startsWith("/"));
  return rows.map((row) => row.split("/")[5] ?? "").filter((name) => name !== "." && name !== "..");
}

describe("a disk", () => {
  it("keeps content, modes, set-id bits, owners and times", async () => {
    const disk = await sound([
      [
        folder("bin/", 0o1777),
        { name: "bin/su", content: "program", mode: 0o4755 },
        withPax({ uid: "70000", gid: "70001", mtime: "4000000000.25" }, { name: "far", content: "x" }),
      ],
    ]);
    expect((await disk.bytes("/bin/su")).toString()).toBe("program");
    expect(await disk.ask("stat /bin/su")).toMatch(/Mode: {2}04755.*\n.*\nUser: {2}1000 {3}Group: {2}1000/);
    expect(await disk.ask("stat /bin")).toContain("Mode:  01777");
    const far = await disk.ask("stat /far");
    expect(far).toMatch(/User: 70000 {3}Group: 70001/);
    // 2096, beyond 32 bits.
    expect(far).toMatch(/mtime: 0xee6b2800:0000000[0-3] -- .* 2096/);
  });

  it("keeps files of every size whole", async () => {
    const sizes = [0, 1, 4095, 4096, 4097, 12_288, 5_000_000];
    const content = (size: number): Buffer => Buffer.alloc(size, `${size}:`);
    const disk = await sound([sizes.map((size) => ({ name: `f${size}`, content: content(size) }))]);
    for (const size of sizes) expect((await disk.bytes(`/f${size}`)).equals(content(size))).toBe(true);
  });

  it("keeps names of any bytes: newlines, quotes, 255 of them, not UTF-8", async () => {
    const names = [
      "new\nline",
      'a "quoted" \\name',
      " ",
      "-rf",
      "\u202eevil",
      "n".repeat(100),
      "\xff\xfe",
    ].map((name) => (name === "\xff\xfe" ? Buffer.from([0xff, 0xfe]) : Buffer.from(name)));
    const long = "l".repeat(255);
    const disk = await sound([
      [
        ...names.map((name) => ({ name, content: "x" })),
        withPax({ path: long }, { name: "short", content: "y" }),
      ],
    ]);
    const raw = readFileSync(disk.path);
    for (const name of [...names, Buffer.from(long)]) expect(raw.includes(name)).toBe(true);
    expect(disk.root.children.size).toBe(names.length + 2);
    expect((await disk.bytes(`/${long}`)).toString()).toBe("y");
  });

  it("keeps short and long links, wherever they lead", async () => {
    const long = `/${"a/".repeat(40)}end`;
    const disk = await sound([
      [
        link("short", "../../../etc/passwd"),
        link("edge", "x".repeat(59)),
        link("block", "y".repeat(60)),
        withPax({ linkpath: long }, link("long", "z")),
      ],
    ]);
    expect(await disk.ask("stat /short")).toContain('Fast link dest: "../../../etc/passwd"');
    expect(await disk.ask("stat /edge")).toContain(`"${"x".repeat(59)}"`);
    expect((await disk.bytes("/block")).toString()).toBe("y".repeat(60));
    expect((await disk.bytes("/long")).toString()).toBe(long);
  });

  it("makes devices and fifos as nodes of the disk", async () => {
    const disk = await sound([
      [
        { name: "null", flag: "3", device: [1, 3], mode: 0o666 },
        { name: "disk", flag: "4", device: [259, 70_000], mode: 0o600 },
        { name: "pipe", flag: "6" },
      ],
    ]);
    expect(await disk.ask("stat /null")).toMatch(
      /Type: character special.*\n(?:.*\n)*.*Device major\/minor number: 01:03/,
    );
    expect(await disk.ask("stat /disk")).toMatch(
      /Type: block special.*\n(?:.*\n)*.*Device major\/minor number: 259:70000/,
    );
    expect(await disk.ask("stat /pipe")).toContain("Type: FIFO");
  });

  it("gives one file all its names, across layers too", async () => {
    const disk = await sound([
      [{ name: "a", content: "one" }, hardLink("b", "a")],
      [folder("d"), hardLink("d/c", "./b")],
    ]);
    expect(await disk.ask("stat /a")).toContain("Links: 3");
    expect((await disk.bytes("/d/c")).toString()).toBe("one");
  });

  it("keeps capabilities and attributes of users, in the inode and in a block", async () => {
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const large = Buffer.alloc(1_500, "v");
    const disk = await sound([
      [
        withPax(
          { "SCHILY.xattr.security.capability": capability },
          { name: "ping", content: "x", mode: 0o755 },
        ),
        withPax(
          {
            "SCHILY.xattr.user.large": large,
            "SCHILY.xattr.user.a": "b",
            "SCHILY.xattr.security.capability": capability,
          },
          { name: "many", content: "y" },
        ),
        withPax(
          { "SCHILY.xattr.security.selinux": "label", "SCHILY.xattr.trusted.overlay.opaque": "y" },
          { name: "labelled" },
        ),
        withPax({ "SCHILY.xattr.user.on": "folder" }, folder("marked")),
        // As GNU tar writes it with --acls.
        withPax(
          { "SCHILY.acl.access": "user::rw-\nuser:12345:rw-\ngroup::r--\nmask::rw-\nother::r--" },
          { name: "listed" },
        ),
      ],
    ]);
    expect(await disk.ask("ea_get /ping security.capability")).toContain("01 00 00 02 00 20");
    expect(await disk.ask("ea_list /many")).toMatch(
      /user\.a \(1\)[\s\S]*user\.large \(1500\)|user\.large \(1500\)[\s\S]*user\.a \(1\)/,
    );
    expect(await disk.ask("ea_list /labelled")).not.toContain("selinux");
    expect(await disk.ask("ea_list /marked")).toContain('user.on (6) = "folder"');
    expect([...disk.count.droppedAttributes]).toEqual([
      ["security.selinux", 1],
      ["trusted.overlay.opaque", 1],
      ["SCHILY.acl.access", 1],
    ]);
  });

  it("holds a folder of 5,000 names, and folders in folders", async () => {
    const files = Array.from({ length: 5_000 }, (_, i) => ({ name: `many/file-${i}`, content: `${i}` }));
    const deep = Array.from({ length: 45 }, () => "d").join("/");
    const disk = await sound([[folder("many"), ...files, { name: `${deep}/f`, content: "deep" }]]);
    expect(await list(disk, "/many")).toHaveLength(5_000);
    expect((await disk.bytes("/many/file-4321")).toString()).toBe("4321");
    expect((await disk.bytes(`/${deep}/f`)).toString()).toBe("deep");
  });

  it("is the same bytes each time", async () => {
    const parts = [
      folder("etc"),
      { name: "etc/b", content: "1" },
      { name: "a", content: "2" },
      hardLink("c", "a"),
    ];
    const digests = [];
    for (const order of [parts, parts]) {
      const disk = await sound([order]);
      digests.push(createHash("sha256").update(readFileSync(disk.path)).digest("hex"));
    }
    expect(digests[0]).toBe(digests[1]);
  });

  it("has room for what its guest writes", async () => {
    const disk = await sound([[]], { diskBytes: 256 * 1024 ** 2 });
    const stats = await disk.ask("show_super_stats -h");
    expect(Number(/Free blocks: +([0-9]+)/.exec(stats)?.[1])).toBeGreaterThan(60_000);
    expect(Number(/Free inodes: +([0-9]+)/.exec(stats)?.[1])).toBeGreaterThan(16_000);
    expect(stats).toContain("has_journal");
  });

  it("is refused when the image does not fit on it", async () => {
    const big = rawArchive({ name: "big", content: Buffer.alloc(70 * 1024 ** 2, "x") });
    await expect(makeDisk([big])).rejects.toThrow(/does not fit on the guest's disk/);
  });
});

describe("a sparse file", () => {
  // As GNU tar itself writes it, in each of its ways.
  it.each([
    ["--format=gnu"],
    ["--format=posix", "--sparse-version=0.0"],
    ["--format=posix", "--sparse-version=0.1"],
    ["--format=posix", "--sparse-version=1.0"],
  ])("takes only what is in it, of %s %s", async (...options) => {
    const area = mkdtempSync(join(tmpdir(), "bottle-test-"));
    try {
      const path = join(area, "sparse");
      const file = openSync(path, "w");
      // Seven pieces: more than a header of GNU's own has room for.
      for (let i = 0; i < 7; i++)
        writeSync(file, Buffer.alloc(10_000, `${i}`), 0, 10_000, i * 3 * 1024 ** 2 + 4_096);
      ftruncateSync(file, 24 * 1024 ** 2 + 5);
      closeSync(file);
      const argv = ["tar", "--create", "--sparse", ...options, `--directory=${area}`, "sparse"] as const;
      const archive = (await runOk(argv)).stdout;
      expect(archive.length).toBeLessThan(200_000);
      const disk = await makeDisk([archive]);
      made.push(disk);
      await disk.check();
      expect((await disk.bytes("/sparse")).equals(readFileSync(path))).toBe(true);
      const blocks = Number(/Blockcount: ([0-9]+)/.exec(await disk.ask("stat /sparse"))?.[1]);
      expect(blocks * 512).toBeLessThan(250_000);
    } finally {
      rmSync(area, { recursive: true });
    }
  });
});

describe("what nobody has any more on a disk", () => {
  const SECRET = "what-was-deleted-once";
  const KEPT = "what-is-still-there";
  /** With a file that was deleted as e2fsprogs do it: its blocks are free, and as they were. */
  async function withDeleted(): Promise<MadeDisk> {
    const disk = await sound([
      [
        folder("home/"),
        { name: "home/gone", content: `${SECRET}\n`.repeat(20_000) },
        { name: "home/kept", content: `${KEPT}\n`.repeat(20_000) },
      ],
    ]);
    await runOk(["/usr/sbin/debugfs", "-w", "-R", "rm /home/gone", disk.path]);
    return disk;
  }
  const write = (path: string, at: number, bytes: Buffer): void => {
    const file = openSync(path, "r+");
    writeSync(file, bytes, 0, bytes.length, at);
    closeSync(file);
  };
  const INCOMPATIBLE_AT = 1024 + 0x60;
  const numbers = (...values: number[]): Buffer => Buffer.from(new Uint32Array(values).buffer);

  it("is made zeros, and all that somebody has stays as it is", async () => {
    const disk = await withDeleted();
    // Control.
    expect(readFileSync(disk.path).includes(SECRET)).toBe(true);
    expect(await eraseUnusedBlocks(disk.path)).toBeGreaterThan(SECRET.length * 20_000);
    const bytes = readFileSync(disk.path);
    expect(bytes.includes(SECRET)).toBe(false);
    expect((await disk.bytes("/home/kept")).toString()).toBe(`${KEPT}\n`.repeat(20_000));
    await disk.check();
    expect(await eraseUnusedBlocks(disk.path)).toBe(0);
  });

  it("is made zeros in the journal too", async () => {
    const disk = await withDeleted();
    const [, journal = ""] = /\(0-\d+\):(\d+)-/.exec(await disk.ask("stat <8>")) ?? [];
    write(disk.path, (Number(journal) + 9) * 4096, Buffer.from("what-a-folder-was-once"));
    await eraseUnusedBlocks(disk.path);
    expect(readFileSync(disk.path).includes("what-a-folder-was-once")).toBe(false);
    await disk.check();
  });

  it.each<[string, number, Buffer, RegExp]>([
    ["that is still to be read from its journal", INCOMPATIBLE_AT, numbers(0x246), /not brought to its end/],
    ["of features that change what a bitmap means", 1024 + 0x64, numbers(0x463), /no such features/],
    ["that is said to be larger than it is", 1024 + 4, numbers(2 ** 31), /size is not the disk's/],
    ["of no blocks", 1024 + 4, numbers(0), /size is not the disk's/],
    ["whose groups are of another size", 1024 + 0x20, numbers(8), /groups are of another size/],
    ["whose bitmap lies beyond its end", 4096, numbers(2 ** 31), /lies outside of it/],
    ["whose inodes lie beyond its end", 4096 + 8, numbers(2 ** 31), /lies outside of it/],
    ["that is none", 1024 + 0x38, Buffer.from([0, 0]), /no ext4/],
  ])("is left alone on a disk %s, which is refused", async (_what, at, bytes, words) => {
    const disk = await withDeleted();
    write(disk.path, at, bytes);
    const before = createHash("sha256").update(readFileSync(disk.path)).digest("hex");
    await expect(eraseUnusedBlocks(disk.path)).rejects.toThrow(words);
    expect(createHash("sha256").update(readFileSync(disk.path)).digest("hex")).toBe(before);
  });

  it("is never written beyond the disk, whatever the disk says", async () => {
    const disk = await withDeleted();
    const head = readFileSync(disk.path).subarray(0, 8192);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.integer({ min: 1024, max: 8191 }), fc.integer({ min: 0, max: 255 })), {
          minLength: 1,
          maxLength: 6,
        }),
        async (changes) => {
          write(disk.path, 0, head);
          for (const [at, byte] of changes) write(disk.path, at, Buffer.from([byte]));
          await eraseUnusedBlocks(disk.path).catch((error: unknown) =>
            expect(String(error)).toMatch(/cannot be kept/),
          );
          expect(statSync(disk.path).size).toBe(SMALL_DISK);
        },
      ),
      { numRuns: 30 },
    );
  });
});
