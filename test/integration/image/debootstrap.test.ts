/** The built-in image by debootstrap, for hosts that have no mmdebstrap: half a minute and a mirror, `npm run soak -- debootstrap`. */
import { existsSync, mkdtempSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { applyLayer, newLayerCount } from "../../../src/image/apply-layer.ts";
import { debootstrap } from "../../../src/image/debian-root.ts";
import { debianSources } from "../../../src/image/debian-sources.ts";
import { beginDisk } from "../../../src/image/ext4/write-disk.ts";
import { newFolder } from "../../../src/image/tree.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { readerOf } from "../../support/raw-disk.ts";

const WITHIN_MS = 600_000;
const DISK_BYTES = 2 * 1024 ** 3;
const canTry =
  process.env["SOAK"] !== undefined && process.getuid?.() === 0 && existsSync("/usr/sbin/debootstrap");

describe.runIf(canTry)("a root that debootstrap makes", () => {
  let folder: string;
  const said: string[] = [];
  const path = () => join(folder, "disk.ext4");
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "bottle-test-"));
    const sources = debianSources() ?? expect.fail("this host has no Debian sources");
    const about = { progress: (text: string) => void said.push(text), signal: undefined };
    const file = await open(path(), "wx+");
    try {
      const root = newFolder();
      const disk = beginDisk(file, DISK_BYTES);
      const stream = Readable.from(debootstrap(sources, ["git", "ca-certificates"], folder, about));
      await applyLayer(stream, { root, content: disk.content, count: newLayerCount(), layer: 1 });
      await disk.finish(root, Buffer.alloc(16, 7));
    } finally {
      await file.close();
    }
  }, WITHIN_MS);
  afterAll(() => removeTree(folder));

  it("is a sound disk with what was asked for, its owners and its set-id bits", async () => {
    const disk = readerOf(path());
    await disk.check();
    for (const program of ["bash", "git", "tar"])
      expect(await disk.ask(`stat /usr/bin/${program}`), program).toContain("Inode:");
    expect(await disk.ask("stat /usr/bin/passwd")).toMatch(/Mode: {2}04755[\s\S]*User: {5}0/);
    expect(await disk.ask("stat /dev/null")).toContain("Device major/minor number: 01:03");
    const release = (await disk.bytes("/usr/lib/os-release")).toString();
    expect(release).toContain(`VERSION_CODENAME=${debianSources()?.suite}`);
    // What was downloaded is not on it.
    expect(await disk.ask("ls -p /var/cache/apt")).not.toContain("/archives/");
  });

  it("is told of while it is made", () => {
    expect(said.length).toBeGreaterThan(20);
    expect(said.some((line) => /^built-in image: Retrieving/.test(line))).toBe(true);
  });
});
