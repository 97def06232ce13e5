/** Images as `.smolmachine` files: made once, of every kind of source, pinned, and nothing left of the making. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Artefact, prepareArtefact, readManifest } from "../../../src/backends/smolmachines/artefact.ts";
import { createSmolmachinesBackend } from "../../../src/backends/smolmachines/backend.ts";
import { readSmolvm } from "../../../src/backends/smolmachines/smolvm.ts";
import type { ImageSource } from "../../../src/contract/image.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { planFor, sh } from "../../support/bottle-guest.ts";
import { isRoot } from "../../support/real-bottle.ts";
import { useSmolvm } from "../../support/smolmachines-host.ts";
import { installSmolvm } from "../../support/smolvm.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "bbi-"));
  mkdirSync(join(folder, "root/opt"), { recursive: true });
  writeFileSync(join(folder, "root/opt/hello"), "hello-from-the-image\n");
  // As `docker save` writes it.
  const saved = join(folder, "saved");
  mkdirSync(saved);
  execFileSync("tar", [
    "-C",
    join(folder, "root"),
    "--owner=0",
    "--group=0",
    "-cf",
    join(saved, "layer.tar"),
    "opt",
  ]);
  const diffId = createHash("sha256")
    .update(readFileSync(join(saved, "layer.tar")))
    .digest("hex");
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const config = {
    architecture,
    os: "linux",
    config: {},
    rootfs: { type: "layers", diff_ids: [`sha256:${diffId}`] },
  };
  writeFileSync(join(saved, "config.json"), JSON.stringify(config));
  const manifest = [{ Config: "config.json", RepoTags: ["my-agent:latest"], Layers: ["layer.tar"] }];
  writeFileSync(join(saved, "manifest.json"), JSON.stringify(manifest));
  execFileSync("tar", [
    "-C",
    saved,
    "-cf",
    join(folder, "saved.tar"),
    "manifest.json",
    "config.json",
    "layer.tar",
  ]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function make(
  version: string,
  source: ImageSource,
  cache: string,
  failing: readonly string[] = [],
): Promise<Artefact & { readonly said: readonly string[] }> {
  const bin = installSmolvm(mkdtempSync(join(folder, "bin-")), version, { failing });
  const smolvm = (await readSmolvm(join(bin, "smolvm"))) ?? expect.fail("no smolvm");
  const said: string[] = [];
  const made = await prepareArtefact({ smolvm, source, cache, progress: (text) => said.push(text) });
  return { ...made, said };
}

const packed = (cache: string): readonly string[] =>
  readdirSync(join(cache, "smolmachines")).filter((name) => name.endsWith(".smolmachine"));

describe.runIf(isRoot)("an image for smolvm", () => {
  it.each(["0.8.0", "1.9.3"])(
    "of a folder is packed by %s once, and again only when it has changed",
    async (version) => {
      const cache = mkdtempSync(join(folder, "cache-"));
      const source: ImageSource = { kind: "folder", path: join(folder, "root") };
      const first = await make(version, source, cache);
      expect(first.said.some((text) => text.startsWith("image: smolvm packs dir:"))).toBe(true);
      expect(await readManifest(first.path)).toMatchObject({
        image: expect.stringMatching(/^localhost:\d+\/bottle-/),
      });
      // A release that cannot pack shows that it is not asked to.
      const second = await make(version, source, cache, ["pack"]);
      expect(second).toMatchObject({ path: first.path, sha256: first.sha256 });
      expect(packed(cache)).toHaveLength(1);
      appendFileSync(join(folder, "root/opt/hello"), "changed\n");
      expect((await make(version, source, cache)).sha256).not.toBe(first.sha256);
      expect(packed(cache)).toHaveLength(2);
      // Neither launcher nor layers nor locks that somebody holds.
      expect(
        readdirSync(join(cache, "smolmachines")).filter((name) => !/\.(json|smolmachine)$/.test(name)),
      ).toEqual([]);
      expect(readdirSync(join(cache, "images/work"))).toEqual([]);
    },
  );

  it("that two want at once is packed once", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const source: ImageSource = {
      kind: "registry",
      host: "docker.io",
      repository: "library/node",
      tag: "22",
    };
    const both = await Promise.all([make("0.8.0", source, cache), make("0.8.0", source, cache)]);
    expect(both[0]?.sha256).toBe(both[1]?.sha256);
    expect(
      both.flatMap(({ said }) => said).filter((text) => text.endsWith("this is done once")),
    ).toHaveLength(1);
  });

  it("that is not what was packed is refused, with the file to remove", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const source: ImageSource = {
      kind: "registry",
      host: "docker.io",
      repository: "library/node",
      tag: "22",
    };
    const { path } = await make("1.9.3", source, cache);
    appendFileSync(path, "more");
    await expect(make("1.9.3", source, cache)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("is not what was packed"),
      hint: expect.stringMatching(/^rm .*\.json$/),
    });
  });

  it("that cannot be packed says so in smolvm's words, and leaves nothing", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const source: ImageSource = {
      kind: "registry",
      host: "docker.io",
      repository: "library/node",
      tag: "22",
    };
    await expect(make("0.8.0", source, cache, ["pack"])).rejects.toThrow(
      "smolvm 0.8.0 could not pack the image: failed to pull image",
    );
    expect(readdirSync(join(cache, "smolmachines"))).toEqual([]);
  });

  it.each([
    ["0.8.0", "folder"],
    ["1.9.3", "docker-archive"],
  ] as const)("boots with %s of a %s, and its files are root's", async (version, kind) => {
    const used = useSmolvm(version);
    const scope = createScope();
    try {
      const backend = createSmolmachinesBackend();
      const path = join(folder, kind === "folder" ? "root" : "saved.tar");
      const plan = { ...planFor(backend), image: { kind, path } };
      const prepared = await backend.prepare({ plan, tools: [] }, () => {});
      const [stateDir, runtimeDir] = [mkdtempSync(join(folder, "s-")), mkdtempSync(join(folder, "r-"))];
      const link = await backend.reserve(
        prepared,
        { id: "t-image", plan, stateDir, runtimeDir, services: [] },
        scope,
      );
      const guest = await backend.boot(prepared, link, { plan, env: {} }, scope);
      expect(await sh(guest, "head -1 /opt/hello; stat -c %u:%g /opt/hello")).toBe(
        "hello-from-the-image\n0:0",
      );
    } finally {
      await scope.close();
      used.undo();
    }
  });
});
