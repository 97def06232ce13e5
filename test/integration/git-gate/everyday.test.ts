/** What people do with git, done by real clients with real upstreams: a bare repository behind sshd, and behind smart HTTP with a login. */
import { mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GitUpstream } from "../../../src/contract/git-gate.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  type GateSite,
  must,
  newFolder,
  OWN,
  repoPolicy,
  run,
  snapshot,
  startSite,
  type WorkingCopy,
  workingCopy,
} from "../../support/git-gate.ts";
import { newUpstream, overHttps, overSsh } from "../../support/git-upstreams.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

let ca: TestCa;
let sshd: Sshd;
const sshdFolder = newFolder();
const closing = closesAfterEach();
const HAS_LFS = (await run(["git", "lfs", "version"])).code === 0;

beforeAll(async () => {
  ca = await makeTestCa();
  if (HAS_SSHD) sshd = await startSshd(sshdFolder);
});
afterAll(async () => {
  if (HAS_SSHD) sshd.close();
  await ca.remove();
  await rm(sshdFolder, { recursive: true, force: true });
});

type Kind = readonly [string, (bare: string) => Promise<GitUpstream>];

const KINDS: readonly Kind[] = [
  [
    "https",
    async (bare) => {
      const { upstream, server } = await overHttps(ca, bare);
      closing.push(() => server.close());
      return upstream;
    },
  ],
  ...(HAS_SSHD ? [["ssh", async (bare: string) => overSsh(sshd, bare)] as const] : []),
];

const inBare = (bare: string, ...args: string[]): Promise<string> =>
  must(["git", "--git-dir", bare, ...args]);

describe.each(KINDS)("over %s", (_, upstreamOf) => {
  async function serve(
    repo: Parameters<typeof repoPolicy>[0] = {},
  ): Promise<{ site: GateSite; bare: string }> {
    const bare = await newUpstream(closing);
    const site = await startSite({ upstream: await upstreamOf(bare), repo });
    closing.push(() => site.close());
    return { site, bare };
  }

  it("tags go where tags are listed, and come to everybody", async () => {
    const { site, bare } = await serve({
      refs: [...repoPolicy().refs, { pattern: "refs/tags/v*", force: false, delete: false }],
    });
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n" });
    await copy.git("tag", "-a", "v1", "-m", "the first");
    await copy.git("tag", "v1-plain");
    const pushed = await copy.try("push", "origin", "v1", "v1-plain", `HEAD:${OWN}/work`);
    expect(pushed).toMatchObject({ code: 0 });
    const [tag, plain] = [await copy.git("rev-parse", "v1"), await copy.git("rev-parse", "v1-plain")];
    expect(await inBare(bare, "rev-parse", "v1", "v1-plain")).toBe(`${tag}\n${plain}`);
    expect(await inBare(bare, "cat-file", "-t", "v1")).toBe("tag");
    const other = await site.clone();
    expect(await other.git("rev-parse", "v1", "v1-plain")).toBe(`${tag}\n${plain}`);
    const before = await snapshot(bare);
    await copy.git("tag", "release");
    expect((await copy.try("push", "origin", "release")).stderr).toContain("denied: ref-not-allowed");
    expect(await snapshot(bare)).toBe(before);
  });

  it("a worktree pushes and fetches like the repository that it belongs to", async () => {
    const { site, bare } = await serve();
    const copy = await site.clone();
    const side = workingCopy(join(copy.folder, "side"));
    await copy.git("worktree", "add", "-q", "-b", "side", side.folder);
    const id = await side.commit({ "side.txt": "s\n" });
    expect(await side.push("side")).toMatchObject({ code: 0 });
    expect(await inBare(bare, "rev-parse", `${OWN}/side`)).toBe(id);
    await copy.git("fetch", "-q");
    expect(await copy.git("rev-parse", `origin/${OWN.replace("refs/heads/", "")}/side`)).toBe(id);
    const before = await snapshot(bare);
    await side.commit({ ".github/workflows/x.yml": "on: push\n" });
    expect((await side.push("side")).stderr).toContain("denied: path-protected");
    expect(await snapshot(bare)).toBe(before);
  });

  it("a submodule is fetched and pushed through the gate, and then the commit that names its new one", async () => {
    const lib = await newUpstream(closing);
    const app = await newUpstream(closing);
    const url = "https://forge.example/team/lib.git";
    await addSubmodule(app, lib, url);
    const policy = { app: repoPolicy(), lib: repoPolicy() };
    const [ofApp, ofLib] = [await upstreamOf(app), await upstreamOf(lib)];
    const site = await startSite({
      upstream: ofApp,
      policy: { repos: policy },
      config: {
        repos: [
          { name: "app", spellings: [], upstream: ofApp },
          { name: "lib", spellings: [url], upstream: ofLib },
        ],
      },
    });
    closing.push(() => site.close());
    const instead = `url.${site.url}/lib.git.insteadOf=${url}`;
    const folder = join(site.folder, "whole");
    await must([
      ...["git", "-c", instead, "clone", "-q", "--recurse-submodules"],
      ...[`${site.url}/app.git`, folder],
    ]);
    expect(site.events("git.fetched").map(({ repo }) => repo)).toEqual(["app", "lib"]);
    const inside = workingCopy(join(folder, "lib"));
    expect(await inside.git("rev-parse", "HEAD")).toBe(await inBare(lib, "rev-parse", "main"));
    const id = await inside.commit({ "more.txt": "more\n" });
    const pushed = await inside.try("-c", instead, "push", "origin", `HEAD:${OWN}/more`);
    expect(pushed).toMatchObject({ code: 0 });
    expect(await inBare(lib, "rev-parse", `${OWN}/more`)).toBe(id);
    const whole = workingCopy(folder);
    await whole.git("add", "lib");
    await whole.git("commit", "-q", "-m", "a newer lib");
    expect(await whole.push("newer")).toMatchObject({ code: 0 });
    expect(await inBare(app, "rev-parse", `${OWN}/newer:lib`)).toBe(id);
  });

  it.runIf(HAS_LFS)(
    "git-lfs is told that its files do not travel here, and neither does what stands for them",
    async () => {
      const { site, bare } = await serve();
      const copy = await site.clone();
      // What git-lfs writes into a user's configuration, in this repository's own.
      mkdirSync(join(copy.folder, ".git", "hooks"), { recursive: true });
      await copy.git("lfs", "install", "--local");
      await copy.git("config", "lfs.locksverify", "false");
      await copy.git("lfs", "track", "*.bin");
      await copy.commit({ "big.bin": Buffer.alloc(100_000, 7) });
      expect(await copy.git("cat-file", "-p", "HEAD:big.bin")).toContain("git-lfs.github.com/spec/v1");
      const before = await snapshot(bare);
      const uploaded = await copy.push("lfs");
      expect(uploaded.code).not.toBe(0);
      expect(uploaded.stderr).toContain("denied: lfs-refused");
      const pushed = await copy.push("lfs", "--no-verify");
      expect(pushed.code).not.toBe(0);
      expect(pushed.stderr).toMatch(/denied: (?:lfs-pointer|attributes-filter)/);
      // With the filter gone, too, a pointer is one.
      await copy.git("reset", "-q", "--hard", "origin/main");
      await copy.commit({
        "pointer.txt": `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 5\n`,
      });
      expect((await copy.push("lfs", "--no-verify")).stderr).toContain("denied: lfs-pointer");
      expect(await snapshot(bare)).toBe(before);
    },
  );
});

/** As its owner did it, before there was a gate. */
async function addSubmodule(app: string, lib: string, url: string): Promise<void> {
  const folder = join(dirname(app), "owner");
  await must(["git", "clone", "-q", app, folder]);
  const owner: WorkingCopy = workingCopy(folder);
  owner.write(".gitmodules", `[submodule "lib"]\n\tpath = lib\n\turl = ${url}\n`);
  const head = await inBare(lib, "rev-parse", "main");
  await owner.git("update-index", "--add", "--cacheinfo", `160000,${head},lib`);
  await owner.git("add", ".gitmodules");
  await owner.git("commit", "-q", "-m", "with a submodule");
  await owner.git("push", "-q", "origin", "HEAD:main");
}
