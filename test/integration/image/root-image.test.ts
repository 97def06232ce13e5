/** From sources to disks in the cache: folders and archives, made once, kept whole, removed when nobody needs them. */
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { imageCacheIn, sweepWork, withWorkDir } from "../../../src/image/image-cache.ts";
import { holdRootImage } from "../../../src/image/image-users.ts";
import { keepRootImage, removeKept } from "../../../src/image/kept-image.ts";
import { prepareRootImage, type RootImage, type RootImageRequest } from "../../../src/image/root-image.ts";
import { listImages, pruneImages } from "../../../src/image/stored-images.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { readerOf, SMALL_DISK } from "../../support/raw-disk.ts";

let area: string;
let folder: string;
let cache: string;

beforeEach(() => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  folder = join(area, "root");
  cache = join(area, "cache");
  mkdirSync(join(folder, "etc"), { recursive: true });
  writeFileSync(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(folder, "hello"), "from the image");
  symlinkSync("/hello", join(folder, "link"));
  chmodSync(join(folder, "hello"), 0o4750);
});

afterEach(() => removeTree(area));

function prepare(request: Partial<RootImageRequest> = {}, said: string[] = []): Promise<RootImage> {
  const source = { kind: "folder", path: folder } as const;
  return prepareRootImage({ source, tools: [], cache, diskBytes: SMALL_DISK, ...request }, (text) =>
    said.push(text),
  );
}

const hashOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

/** So long ago that nobody is about to use it. */
function age(image: RootImage): void {
  const past = new Date(Date.now() - 3_600_000);
  utimesSync(join(dirname(image.disk), "image.json"), past, past);
}

describe("a folder", () => {
  it("becomes a disk that nobody may write, with the agent's user on it", async () => {
    const image = await prepare();
    expect(statSync(image.disk).mode & 0o777).toBe(0o444);
    const disk = readerOf(image.disk);
    await disk.check();
    expect((await disk.bytes("/hello")).toString()).toBe("from the image");
    expect(await disk.ask("stat /hello")).toMatch(/Mode: {2}04750[\s\S]*User: {5}0 {3}Group: {5}0/);
    expect((await disk.bytes("/etc/passwd")).toString()).toBe(
      "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n",
    );
    expect((await disk.bytes("/etc/group")).toString()).toContain("node:x:1000:");
    expect(await disk.ask("stat /home/node")).toMatch(/Type: directory[\s\S]*User: {2}1000/);
  });

  it("is made once, and again when something in it has changed", async () => {
    const first = await prepare();
    const said: string[] = [];
    expect(await prepare({}, said)).toEqual(first);
    expect(said.filter((text) => text.startsWith("unpacking"))).toEqual([]);
    writeFileSync(join(folder, "hello"), "from another ime");
    const second = await prepare();
    expect(second.digest).not.toBe(first.digest);
    expect(second.disk).not.toBe(first.disk);
  });

  it("has the provider's tools as its last layer, owned by root", async () => {
    const tools = join(area, "tools");
    mkdirSync(tools);
    writeFileSync(join(tools, "agent"), "#!/bin/sh\n", { mode: 0o755 });
    const plain = await prepare();
    const image = await prepare({ tools: [{ from: tools, to: "/opt/bottle/agents/it" }] });
    expect(image.digest).toBe(plain.digest);
    expect(image.key).not.toBe(plain.key);
    const disk = readerOf(image.disk);
    await disk.check();
    expect(await disk.ask("stat /opt/bottle/agents/it/agent")).toMatch(/Mode: {2}0755[\s\S]*User: {5}0/);
  });

  it("makes the same bytes in another cache", async () => {
    const [first, second] = [await prepare(), await prepare({ cache: join(area, "other") })];
    expect(hashOf(second.disk)).toBe(hashOf(first.disk));
  });

  it("that cannot be read whole is refused by name", async () => {
    await expect(prepare({ source: { kind: "folder", path: join(area, "no") } })).rejects.toThrow(
      /is no folder/,
    );
  });
});

describe("the cache", () => {
  it("makes an image once for two who ask at once", async () => {
    const said: string[] = [];
    const images = await Promise.all([prepare({}, said), prepare({}, said), prepare({}, said)]);
    expect(new Set(images.map(({ disk }) => disk)).size).toBe(1);
    expect(said.filter((text) => text.startsWith("unpacking"))).toHaveLength(1);
    expect(readdirSync(join(cache, "images/work"))).toEqual([]);
  });

  it("takes nothing half made for an image, and makes it again", async () => {
    const image = await prepare();
    const before = hashOf(image.disk);
    rmSync(join(dirname(image.disk), "image.json"));
    mkdirSync(`${dirname(image.disk)}.making`);
    expect(hashOf((await prepare()).disk)).toBe(before);
    expect(readdirSync(join(cache, "images/roots")).filter((name) => name.endsWith(".making"))).toEqual([]);
  });

  it("regression: gives everybody who builds a folder, while others look for what the dead left", async () => {
    const images = imageCacheIn(cache);
    let isOver = false;
    const looking = [1, 2].map(async () => {
      while (!isOver) await sweepWork(images);
    });
    try {
      for (let i = 0; i < 150; i++) {
        const builders = Array.from({ length: 10 }, () =>
          withWorkDir(images, async (dir) => existsSync(dir)),
        );
        expect(await Promise.all(builders)).not.toContain(false);
      }
    } finally {
      isOver = true;
      await Promise.all(looking);
    }
    expect(readdirSync(images.work)).toEqual([]);
  });

  it("leaves nothing when a build is broken off", async () => {
    const stop = new AbortController();
    const building = prepareRootImage(
      { source: { kind: "folder", path: folder }, tools: [], cache, diskBytes: SMALL_DISK },
      (text) => text.startsWith("unpacking") && stop.abort(new Error("enough")),
      stop.signal,
    );
    await expect(building).rejects.toThrow("enough");
    expect(readdirSync(join(cache, "images/roots")).filter((name) => !name.includes(".lock"))).toEqual([]);
    expect(readdirSync(join(cache, "images/work"))).toEqual([]);
  });

  it("lists what is there, and which bottles stand on it", async () => {
    const image = await prepare();
    const state = join(area, "state", "dev-abc12");
    mkdirSync(state, { recursive: true });
    await holdRootImage(image, state);
    expect(await listImages(cache)).toMatchObject([
      {
        key: image.key,
        names: [`dir:${folder}`],
        bottles: ["dev-abc12"],
        record: { layers: 1, diskBytes: SMALL_DISK },
      },
    ]);
  });

  it("is pruned of what no bottle and no manifest needs, and of nothing else", async () => {
    const prune = (wanted: readonly string[] = []) =>
      pruneImages({ cache, wanted: new Set(wanted), dryRun: false });
    const image = await prepare();
    const kept = join(area, "state", "dev-abc12");
    mkdirSync(kept, { recursive: true });
    await holdRootImage(image, kept);
    age(image);
    expect(await prune()).toEqual([]);
    rmSync(kept, { recursive: true });
    expect(await prune([`dir:${folder}`])).toEqual([]);
    // Wanted a moment ago: by a launch that has not said so yet.
    await prepare();
    expect(await prune()).toEqual([]);
    age(image);
    expect(await prune()).toMatchObject([{ what: expect.stringContaining(folder) }]);
    expect(await listImages(cache)).toEqual([]);
    expect(await prune()).toEqual([]);
  });

  it("is pruned of an image whose tools were replaced by newer ones", async () => {
    const tools = join(area, "tools");
    mkdirSync(tools);
    const request = { tools: [{ from: tools, to: "/opt/tool" }] };
    writeFileSync(join(tools, "agent"), "1");
    const old = await prepare(request);
    writeFileSync(join(tools, "agent"), "version 2");
    const now = await prepare(request);
    age(old);
    expect(await pruneImages({ cache, wanted: new Set([`dir:${folder}`]), dryRun: false })).toHaveLength(1);
    expect((await listImages(cache)).map(({ key }) => key)).toEqual([now.key]);
  });
});

describe("a disk that a bottle froze", () => {
  async function keep(name: string): Promise<RootImage> {
    const from = await prepare({ tools: [{ from: join(folder, "etc"), to: "/opt/tool" }] });
    return keepRootImage({ cache, name, from, write: async (path) => copyFileSync(from.disk, path) });
  }
  const kept = (name: string) => ({ source: { kind: "kept", name } as const });

  it("is an image of its own, with what its image says of itself", async () => {
    const image = await keep("before-upgrade");
    expect(image).toMatchObject({ name: "kept:before-upgrade", config: { user: "" } });
    expect(statSync(image.disk).mode & 0o777).toBe(0o444);
    expect(await prepare({ ...kept("before-upgrade"), tools: [{ from: folder, to: "/opt/tool" }] })).toEqual(
      image,
    );
    expect(await listImages(cache)).toContainEqual(
      expect.objectContaining({ key: image.name, isKept: true }),
    );
  });

  it("is not replaced by another of its name", async () => {
    await keep("one");
    await expect(keep("one")).rejects.toThrow(/there is a kept image one already/);
  });

  it("is refused by name when it is not there, or the agent's product is not on it", async () => {
    await keep("one");
    await expect(prepare(kept("two"))).rejects.toMatchObject({
      message: "there is no kept image two",
      hint: "there are: one",
    });
    const tools = [{ from: folder, to: "/opt/another" }];
    await expect(prepare({ ...kept("one"), tools })).rejects.toThrow(/has no \/opt\/another/);
  });

  it("leaves nothing when freezing fails", async () => {
    const from = await prepare();
    const write = () => Promise.reject(new Error("no room"));
    await expect(keepRootImage({ cache, name: "one", from, write })).rejects.toThrow("no room");
    expect(readdirSync(join(cache, "images/kept"))).toEqual([]);
  });

  it("goes only by its name, and not while a bottle stands on it", async () => {
    const image = await keep("one");
    age(image);
    const roots = (await listImages(cache)).filter(({ isKept }) => !isKept);
    await pruneImages({ cache, wanted: new Set(), dryRun: false });
    expect(roots.length).toBe(1);
    const state = join(area, "state", "dev-abc12");
    mkdirSync(state, { recursive: true });
    await holdRootImage(image, state);
    await expect(removeKept(cache, "one")).rejects.toThrow(/the disk of dev-abc12 stands on kept:one/);
    rmSync(state, { recursive: true });
    await removeKept(cache, "one");
    await expect(removeKept(cache, "one")).rejects.toThrow(/there is no kept image one/);
  });
});
