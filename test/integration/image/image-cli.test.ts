/** `bottle image` at the hands of an operator. */
import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";
import { withMounts } from "../../support/own-mounts.ts";
import { readerOf } from "../../support/raw-disk.ts";

let cli: BottleCli;
let root: string;
let counter = 0;

beforeAll(() => {
  cli = createBottleCli();
});
afterAll(() => cli.remove());
beforeEach(() => {
  counter += 1;
  root = cli.path(`root${counter}`);
  mkdirSync(root);
  writeFileSync(join(root, "hello"), `image ${counter}`);
});

const build = (...more: readonly string[]): string[] => [
  ...["image", "build", `dir:${root}`, "--provider", "command", "--disk", "64M"],
  ...more,
];
const namesIn = (...parts: readonly string[]): string[] => {
  const folder = cli.path("c/images", ...parts);
  return existsSync(folder) ? readdirSync(folder).filter((name) => !name.includes(".lock")) : [];
};

describe("bottle image build", () => {
  it("makes a disk, with its progress on stderr and its digest on stdout", async () => {
    const done = await cli.run(build());
    expect(done.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(done.stderr).toContain("unpacking layer 1 of 1\nwriting the disk\n");
    expect(done.code).toBe(0);
    const again = JSON.parse((await cli.run(build("--json"))).stdout);
    expect(again).toMatchObject({ name: `dir:${root}`, digest: done.stdout.trim(), config: { user: "" } });
    const disk = readerOf(again.disk);
    await disk.check();
    expect((await disk.bytes("/hello")).toString()).toBe(`image ${counter}`);
  });

  it("takes a path from the current folder", async () => {
    const done = await cli.run(
      ["image", "build", `dir:root${counter}`, "--provider", "command", "--disk", "64M"],
      {
        cwd: cli.root,
      },
    );
    expect(done.code).toBe(0);
  });

  it.each([
    [["image", "build", "Not/An/Image"], /error: the image Not\/An\/Image .*small letters/, 2],
    [
      ["image", "build", "dir:/no/such/folder", "--provider", "command"],
      /error: \/no\/such\/folder is no folder/,
      1,
    ],
    [["image", "build", "kept:nothing", "--provider", "command"], /error: there is no kept image nothing/, 1],
    [
      ["image", "build", "oci:/etc", "--provider", "command"],
      /error: cannot read \/etc\/index.json: ENOENT/,
      1,
    ],
    [["image", "build", "docker-archive:/etc/passwd", "--provider", "command"], /error: .*refused/, 1],
    [["image", "build", "dir:/etc", "--disk", "5"], /error: --disk must be a size with its unit/, 2],
    [["image", "build", "dir:/etc", "--provider", "nobody"], /error: .*nobody/, 1],
    [["image", "inspect", "ffff"], /error: there is no image ffff in the cache/, 1],
    [["image", "prune", "kept:never"], /error: there is no kept image never\nnext: {2}bottle commit/, 1],
    [["image", "prune", "debian:12"], /error: debian:12 is nothing that bottle commit kept/, 2],
  ])("%j says what is wrong", async (args, text, code) => {
    const done = await cli.run(args);
    expect(done.stderr).toMatch(text);
    expect(done.stdout).toBe("");
    expect(done.code).toBe(code);
  });

  it("makes it once for two who ask at once", async () => {
    writeFileSync(join(root, "big"), Buffer.alloc(20_000_000, "x"));
    const [one, two] = await Promise.all([cli.run(build()), cli.run(build())]);
    expect([one.code, two.code]).toEqual([0, 0]);
    expect(one.stdout).toBe(two.stdout);
    const unpacked = [one, two].filter(({ stderr }) => stderr.includes("writing the disk"));
    expect(unpacked).toHaveLength(1);
  });

  it("that is killed leaves nothing that counts, and nothing at all after the next one", async () => {
    writeFileSync(join(root, "big"), Buffer.alloc(40_000_000, "x"));
    const before = namesIn("roots");
    const running = cli.begin(build());
    await until(() => running.stderr().includes("unpacking"));
    running.child.kill("SIGKILL");
    await running.ended;
    expect(namesIn("roots").filter((name) => !name.endsWith(".making"))).toEqual(before);
    const done = await cli.run(build());
    expect(done.code).toBe(0);
    expect(namesIn("roots")).toHaveLength(before.length + 1);
    expect(namesIn("work")).toEqual([]);
  });

  it("that is interrupted says so, and leaves nothing", async () => {
    writeFileSync(join(root, "big"), Buffer.alloc(40_000_000, "x"));
    const before = namesIn("roots");
    const running = cli.begin(build());
    await until(() => running.stderr().includes("reading"));
    running.child.kill("SIGINT");
    const done = await running.ended;
    expect(done.stderr).toContain("error: interrupted");
    expect(done.code).toBe(130);
    expect(namesIn("roots")).toEqual(before);
    expect(namesIn("work")).toEqual([]);
  });
});

describe("bottle image build on a disk that is full", () => {
  it("says where there is no room, leaves nothing, and works once there is some", async () => {
    writeFileSync(join(root, "big"), Buffer.alloc(40_000_000, "x"));
    const small = cli.path("small");
    mkdirSync(small);
    const wrapper = withMounts(`mount -t tmpfs -o size=20m,mode=700 none ${small}
      if "$@" 2>${small}.first; then exit 9; fi
      find ${small} -type f >${small}.left
      mount -o remount,size=100m ${small}`);
    const done = await cli.run(build(), { wrapper, env: { BOT_BOTTLE_CACHE: small } });
    expect(readFileSync(`${small}.first`, "utf8")).toContain(
      `\nerror: there is no room for the image dir:${root} in ${small}: ENOSPC\nnext:  make room there`,
    );
    expect(readFileSync(`${small}.left`, "utf8")).toBe("");
    expect(done.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/);
    expect(done.code).toBe(0);
  });
});

describe("bottle image list, inspect and prune", () => {
  it("tell what is there, and remove what nobody wants", async () => {
    const { key, digest } = JSON.parse((await cli.run(build("--json"))).stdout);
    const listed = await cli.run(["image", "list"]);
    expect(listed.stdout).toMatch(new RegExp(`${key.slice(0, 12)} +dir:${root} +${digest.slice(0, 19)}`));
    expect(JSON.parse((await cli.run(["image", "list", "--json"])).stdout)).toContainEqual(
      expect.objectContaining({ key, digest, bottles: [], diskBytes: 64 * 1024 ** 2 }),
    );
    for (const name of [`dir:${root}`, key.slice(0, 8), digest]) {
      const shown = await cli.run(["image", "inspect", name]);
      expect(shown.stdout).toContain(`digest        ${digest}`);
    }
    // Just made: perhaps for a start that is under way.
    expect(JSON.parse((await cli.run(["image", "prune", "--json", "--yes"])).stdout)).toEqual([]);
    const past = new Date(Date.now() - 3_600_000);
    utimesSync(cli.path("c/images/roots", key, "image.json"), past, past);
    cli.write("h/bottles/dev.md", `---\nimage: dir:${root}\n---\n`);
    expect((await cli.run(["image", "prune", "--dry-run"])).stdout).toBe("");
    cli.write("h/bottles/dev.md", "---\nenv: {}\n---\n");
    const asked = await cli.run(["image", "prune"], { stdin: "" });
    expect(asked.stderr).toContain("add --yes");
    expect(asked.code).toBe(1);
    const pruned = await cli.run(["image", "prune", "--yes"]);
    expect(pruned.stdout).toContain(`dir:${root}`);
    expect(pruned.stderr).toContain("removed 1");
    expect((await cli.run(["image", "inspect", key])).code).toBe(1);
  });

  it("know what machines left behind besides, and remove what none would start from", async () => {
    const past = new Date(Date.now() - 3_600_000);
    const [old, young] = ["a", "b"].map((digit) => cli.path(`c/qemu/ramdisk-${digit.repeat(32)}`));
    const template = cli.path(`c/qemu/templates/${"a".repeat(32)}`);
    // Nobody has pinned it.
    const packed = cli.path(`c/smolmachines/${"a".repeat(32)}.smolmachine`);
    for (const path of [template, cli.path("c/smolmachines")]) mkdirSync(path, { recursive: true });
    for (const path of [old, young, packed, join(template, "memory")])
      writeFileSync(path ?? "", "x".repeat(9_000));
    for (const path of [old, packed, template]) utimesSync(path ?? "", past, past);
    expect((await cli.run(["image", "list"])).stderr).toMatch(
      /besides: 4 parts of machines, .*; 3 of them old, /,
    );
    const dry = await cli.run(["image", "prune", "--dry-run"]);
    expect(dry.stdout).toContain(`RAM disk of micro-VMs ramdisk-${"a".repeat(32)}`);
    expect(dry.stdout).toContain(`image of micro-VMs, never finished, ${"a".repeat(32)}.smolmachine`);
    expect(existsSync(old ?? "")).toBe(true);
    expect((await cli.run(["image", "prune", "--yes"])).stderr).toContain("removed 3");
    expect([old, packed, template, young].map((path) => existsSync(path ?? ""))).toEqual([
      ...[false, false, false, true],
    ]);
  });

  it("remove nothing while a manifest cannot be read", async () => {
    cli.write("h/bottles/broken.md", "---\nimage: [\n---\n");
    const done = await cli.run(["image", "prune", "--yes"]);
    expect(done.code).toBe(1);
    expect(done.stderr).toContain("broken.md");
    cli.write("h/bottles/broken.md", "---\nenv: {}\n---\n");
  });

  it("are in the help and in what a shell completes", async () => {
    const help = await cli.run(["image", "build", "--help"]);
    expect(help.stdout).toContain("bottle image build docker-archive:./dev.tar");
    const completion = await cli.run(["completion", "bash"]);
    expect(completion.stdout).toMatch(/"image"\) words="build list inspect prune/);
    expect(completion.stdout).toContain('"image build"|"image inspect") words="$words $(bottle image list');
  });
});

describe("a bottle with an image", () => {
  it("is refused by a backend whose guests have no disk, before anything is made", async () => {
    cli.agent("dev", ["true"], { bottle: { image: `dir:${root}` } });
    const refused = await cli.run(["start", "dev", "--backend", "namespace", "--yes", "-p", "x"]);
    expect(refused.stderr).toMatch(/error: the image dir:.* is not for the backend namespace/);
    expect(refused.code).toBe(1);
    cli.agent("large", ["true"], { bottle: { resources: { disk: "20G" } } });
    const large = await cli.run(["start", "large", "--backend", "namespace", "--dry-run"]);
    expect(large.stderr).toContain("error: resources.disk is not for the backend namespace");
    cli.agent("plain", ["true"]);
    const flagged = await cli.run([
      "start",
      "plain",
      "--backend",
      "namespace",
      "--image",
      "debian:12",
      "--dry-run",
    ]);
    expect(flagged.stderr).toContain("error: the image docker://docker.io/library/debian:12 is not for");
  });
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 2));
}
