/** The built-in image, made of Debian's real packages where this machine can: what agents and our own tests call is on it. */
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildRecipe, recipeLacks, recipeStamp } from "../../../src/image/built-in-recipe.ts";
import { debianSources } from "../../../src/image/debian-sources.ts";
import { sha256Of } from "../../../src/image/digest.ts";
import { imageCacheIn, withWorkDir } from "../../../src/image/image-cache.ts";
import { prepareRootImage, type RootImage } from "../../../src/image/root-image.ts";
import { cacheOf } from "../../../src/lib/paths.ts";
import { run } from "../../../src/lib/processes.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { readerOf } from "../../support/raw-disk.ts";

/** A mirror and thirty seconds of work; kept in the operator's cache, where every test finds it. */
const WITHIN_MS = 600_000;

const lacks = recipeLacks();
if (lacks.length > 0) console.log(`SKIPPED, the built-in image: ${lacks.map(({ what }) => what).join(", ")}`);

/** In the image's PATH. */
const PROGRAMS = [
  "bash",
  "sh",
  "tar",
  "git",
  "curl",
  "perl",
  "python3",
  "ps",
  "less",
  "jq",
  "rg",
  "ssh",
  "node",
  "npm",
  "xz",
];

describe.skipIf(lacks.length > 0)("the built-in image", () => {
  let image: RootImage;
  const said: string[] = [];

  beforeAll(async () => {
    const request = {
      source: { kind: "built-in" },
      tools: [],
      cache: cacheOf(),
      diskBytes: 2 * 1024 ** 3,
    } as const;
    image = await prepareRootImage(request, (text) => said.push(text));
  }, WITHIN_MS);
  afterAll(() => {
    if (said.length > 0) console.log(`built-in image: ${said.at(-1)}`);
  });

  it("is a sound disk with every program that agents call", async () => {
    const disk = readerOf(image.disk);
    await disk.check();
    const places = ["/usr/local/bin", "/usr/bin"];
    for (const program of PROGRAMS) {
      const found = await Promise.all(places.map((place) => disk.ask(`stat ${place}/${program}`)));
      expect(
        found.some((text) => text.includes("Inode:")),
        program,
      ).toBe(true);
    }
  });

  it("has the authorities of the web, the agent's user, and its own release", async () => {
    const disk = readerOf(image.disk);
    const bundle = (await disk.bytes("/etc/ssl/certs/ca-certificates.crt")).toString();
    expect(bundle.split("BEGIN CERTIFICATE").length).toBeGreaterThan(100);
    expect((await disk.bytes("/etc/passwd")).toString()).toContain(
      "node:x:1000:1000::/home/node:/bin/bash\n",
    );
    const release = (await disk.bytes("/usr/lib/os-release")).toString();
    expect(release).toContain(`VERSION_CODENAME=${debianSources()?.suite}`);
  });

  it("keeps what only root could give: devices, set-id bits, other owners", async () => {
    const disk = readerOf(image.disk);
    expect(await disk.ask("stat /dev/null")).toContain("Device major/minor number: 01:03");
    expect(await disk.ask("stat /usr/bin/passwd")).toMatch(/Mode: {2}04755[\s\S]*User: {5}0/);
    expect(await disk.ask("stat /var/mail")).toMatch(/Group: {5}8/);
  });

  it("has the Node that runs this, as it is", async () => {
    const disk = readerOf(image.disk);
    const binary = await disk.ask("stat /usr/local/bin/node");
    if (!binary.includes("Inode:")) return;
    const host = await run(["stat", "-L", "-c", "%s", process.execPath]);
    expect(binary).toContain(`Size: ${host.stdout.toString().trim()}`);
  });
});

describe.skipIf(lacks.length > 0)("what the recipe made", () => {
  it("is there for who reads it, though it is pruned or made anew meanwhile", async () => {
    const area = mkdtempSync(join(tmpdir(), "bottle-test-"));
    const cache = imageCacheIn(area);
    const made = join(cache.recipes, recipeStamp()?.split(" ")[0] ?? "");
    mkdirSync(made, { recursive: true });
    writeFileSync(join(made, "root.tar"), "what was made");
    const record = { digest: sha256Of("what was made"), madeAt: new Date().toISOString() };
    writeFileSync(join(made, "recipe.json"), JSON.stringify(record));
    try {
      await withWorkDir(cache, async (workDir) => {
        const { layers } = await buildRecipe({ cache, workDir, progress: () => {}, refresh: false });
        await removeTree(made);
        const [root] = layers;
        expect(root && (await buffer(root.open())).toString()).toBe("what was made");
      });
    } finally {
      await removeTree(area);
    }
  });
});
