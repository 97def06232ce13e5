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
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareArtefact } from "../../../src/backends/smolmachines/artefact.ts";
import { type Artefact, cachedArtefacts } from "../../../src/backends/smolmachines/artefact-store.ts";
import { createSmolmachinesBackend } from "../../../src/backends/smolmachines/backend.ts";
import { hashOf, readManifest } from "../../../src/backends/smolmachines/pack-file.ts";
import { pack } from "../../../src/backends/smolmachines/packing.ts";
import { readSmolvm } from "../../../src/backends/smolmachines/smolvm.ts";
import { withRegistry } from "../../../src/backends/smolmachines/throwaway-registry.ts";
import type { ImageSource } from "../../../src/contract/image.ts";
import { sha256Of } from "../../../src/image/digest.ts";
import { imageCacheIn, withWorkDir } from "../../../src/image/image-cache.ts";
import { openSource } from "../../../src/image/open-source.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { imageWord } from "../../../src/plan/image-word.ts";
import { rawArchive } from "../../support/archive-bytes.ts";
import { planFor, sh } from "../../support/bottle-guest.ts";
import { lastingTracesOf, useSmolvm } from "../../support/smolmachines-host.ts";
import { because, installSmolvm, standInLack } from "../../support/smolvm.ts";

/** Of egress alone. */
const SOCKETS = ["egress-main.sock", "egress-tls.sock", "egress-http.sock"];
const NODE: ImageSource = { kind: "registry", host: "docker.io", repository: "library/node", tag: "22" };

const lack = standInLack();
if (lack !== undefined) console.warn(`SKIPPED: images for smolvm: ${lack}`);

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

describe.skipIf(lack !== undefined)(`an image for smolvm${because(lack)}`, () => {
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
    const both = await Promise.all([make("0.8.0", NODE, cache), make("0.8.0", NODE, cache)]);
    expect(both[0]?.sha256).toBe(both[1]?.sha256);
    expect(
      both.flatMap(({ said }) => said).filter((text) => text.endsWith("this is done once")),
    ).toHaveLength(1);
  });

  it("is there once, by its own id, whatever it is called in a registry", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const images = imageCacheIn(cache);
    const archive: ImageSource = { kind: "docker-archive", path: join(folder, "saved.tar") };
    const [one, other] = await withWorkDir(images, async (workDir) => {
      const options = { cache: images, workDir, progress: () => {}, refresh: false };
      return withRegistry(await openSource(archive, options), workDir, async (reference) => {
        const [, host = "", repository = ""] = /^([^/]+)\/([^:]+):latest$/.exec(reference) ?? [];
        const answer = await fetch(`http://${host}/v2/${repository}/manifests/latest`);
        const digest = answer.headers.get("docker-content-digest") ?? "";
        const named: ImageSource = { kind: "registry", host, repository, tag: "latest" };
        const pinned: ImageSource = { kind: "registry", host, repository, digest };
        expect(imageWord(named)).not.toBe(imageWord(pinned));
        return [await make("1.9.3", named, cache), await make("1.9.3", pinned, cache)];
      });
    });
    expect(one?.digest).toMatch(/^sha256:[0-9a-f]{64}$/);
    expect(other).toMatchObject({ path: one?.path, digest: one?.digest, sha256: one?.sha256 });
    expect(packed(cache)).toHaveLength(1);
    expect(await hashOf(one?.path ?? "")).toBe(one?.sha256);
  });

  it("takes no other's place, whatever id its registry says that it has", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const archive: ImageSource = { kind: "docker-archive", path: join(folder, "saved.tar") };
    // As the archive's is known, and any registry's could be.
    const id = sha256Of(readFileSync(join(folder, "saved/config.json")));
    const claiming = async (content: string): Promise<Artefact> => {
      const layer = rawArchive({ name: "opt/hello", content });
      const manifest = JSON.stringify({ config: { digest: id }, layers: [{ digest: sha256Of(layer) }] });
      const registry = createServer(({ url }, response) =>
        response.end(url?.includes("/manifests/") ? manifest : layer),
      );
      await new Promise<void>((resolve) => registry.listen(0, "127.0.0.1", resolve));
      const host = `localhost:${(registry.address() as AddressInfo).port}`;
      try {
        return await make("1.9.3", { kind: "registry", host, repository: "dev", tag: "1" }, cache);
      } finally {
        registry.closeAllConnections();
        registry.close();
      }
    };
    const [hostile, honest] = [await claiming("hostile"), await claiming("honest")];
    expect([hostile.digest, honest.digest]).toEqual([id, id]);
    const read = await make("1.9.3", archive, cache);
    expect(new Set([hostile, honest, read].map(({ sha256 }) => sha256)).size).toBe(3);
  });

  it("goes when nobody wants it, or its smolvm is gone, and not while a bottle's machine is made of it", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const root: ImageSource = { kind: "folder", path: join(folder, "root") };
    const [ofNode, ofFolder] = [await make("1.9.3", NODE, cache), await make("1.9.3", root, cache)];
    const past = new Date(Date.now() - 3_600_000);
    const age = (): void => {
      for (const { path } of [ofNode, ofFolder]) utimesSync(path, past, past);
    };
    const old = async (version: string | undefined, ...wanted: readonly ImageSource[]) => {
      const smolvm = version === undefined ? undefined : { text: version };
      const parts = await cachedArtefacts(cache, smolvm, new Set(wanted.map(imageWord)));
      expect(parts).toHaveLength(2);
      return parts.flatMap(({ path, isOld }) => (isOld ? [path] : [])).sort();
    };
    const both = [ofNode.path, ofFolder.path].sort();
    expect(await old("1.9.3")).toEqual([]);
    age();
    expect(await old("1.9.3", NODE, root)).toEqual([]);
    expect(await old("1.9.3", NODE)).toEqual([ofFolder.path]);
    expect(await old("1.9.3")).toEqual(both);
    expect(await old("1.10.0", NODE, root)).toEqual(both);
    expect(await old(undefined, NODE, root)).toEqual(both);
    expect((await cachedArtefacts(cache, { text: "1.9.3" }, undefined)).some(({ isOld }) => isOld)).toBe(
      false,
    );
    // Taken from the cache, it was wanted just now.
    expect((await make("1.9.3", NODE, cache, ["pack"])).path).toBe(ofNode.path);
    expect(await old("1.9.3")).toEqual([ofFolder.path]);
    age();
    const used = useSmolvm("1.9.3");
    try {
      const machine = join(used.folder, "home/state/t-kept-00000/smolvm");
      mkdirSync(machine, { recursive: true });
      const argv = ["machine", "create", "--name", "bot-bottle-t-kept-00000", "--from", ofNode.path];
      writeFileSync(
        join(machine, "machine.json"),
        JSON.stringify({ version: 1, argv, smolvm: "1.9.3", ready: true }),
      );
      expect(await old("1.9.3")).toEqual([ofFolder.path]);
    } finally {
      used.undo();
    }
    // What is gone is packed again, and what was known of it is not in the way.
    rmSync(ofFolder.path);
    expect((await make("1.9.3", root, cache)).path).toBe(ofFolder.path);
  });

  it("that is not what was packed is refused, with the file to remove", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    const { path } = await make("1.9.3", NODE, cache);
    appendFileSync(path, "more");
    await expect(make("1.9.3", NODE, cache)).rejects.toMatchObject({
      name: "UserError",
      message: expect.stringContaining("is not what was packed"),
      hint: `rm ${path}`,
    });
    rmSync(path);
    expect((await make("1.9.3", NODE, cache)).said).toContainEqual(expect.stringContaining("smolvm packs"));
  });

  it("that cannot be packed says so in smolvm's words, and leaves nothing", async () => {
    const cache = mkdtempSync(join(folder, "cache-"));
    await expect(make("0.8.0", NODE, cache, ["pack"])).rejects.toThrow(
      "smolvm 0.8.0 could not pack the image: failed to pull image",
    );
    expect(readdirSync(join(cache, "smolmachines"))).toEqual([]);
  });

  it("that takes for ever is given up, with whatever smolvm began for it", async () => {
    const work = mkdtempSync(join(folder, "work-"));
    mkdirSync(join(work, "none"));
    const bin = installSmolvm(mkdtempSync(join(folder, "bin-")), "1.9.3", { failing: ["pack-hangs"] });
    const smolvm = (await readSmolvm(join(bin, "smolvm"))) ?? expect.fail("no smolvm");
    await expect(
      pack({ smolvm, reference: "docker.io/library/node:22", work, timeoutMs: 2_000 }),
    ).rejects.toThrow("did not end within 2000 ms");
    // Its pull was a process of its own.
    expect(await lastingTracesOf({ stateDir: work, runtimeDir: join(work, "none") })).toEqual([]);
  });

  it.each([
    ["0.8.0", "folder", "bot-bottle-t-image", "--net --allow-cidr 127.0.0.1/32"],
    [
      ...(["1.9.3", "docker-archive", "--name bot-bottle-t-image"] as const),
      SOCKETS.map((name) => `--mount-socket RUN/${name}:/run/bottle/${name}`).join(" "),
    ],
  ] as const)(
    "boots with %s of a %s, and its files are root's: smolvm hears this and nothing else",
    async (version, kind, name, network) => {
      const calls = join(mkdtempSync(join(folder, "calls-")), "log");
      const used = useSmolvm(version, { log: calls });
      const scope = createScope();
      try {
        const backend = createSmolmachinesBackend();
        const path = join(folder, kind === "folder" ? "root" : "saved.tar");
        const plan = { ...planFor(backend), image: { kind, path } };
        const prepared = await backend.prepare({ plan, tools: [] }, () => {});
        const [stateDir, runtimeDir] = [mkdtempSync(join(folder, "s-")), mkdtempSync(join(folder, "r-"))];
        const link = await backend.reserve(
          prepared,
          { id: "t-image", plan, stateDir, runtimeDir, services: ["egress"] },
          scope,
        );
        const guest = await backend.boot(prepared, link, { plan, env: {} }, scope);
        expect(await sh(guest, "head -1 /opt/hello; stat -c %u:%g /opt/hello")).toBe(
          "hello-from-the-image\n0:0",
        );
        await scope.close();
        const said = readFileSync(calls, "utf8")
          .replaceAll(/localhost:\d+\/bottle-[0-9a-f]+/g, "REGISTRY")
          .replaceAll(/\S+\/(?=image(?:\n|$))/g, "WORK/")
          .replaceAll(/\S+\.smolmachine/g, "PACKED")
          .replaceAll(stateDir, "STATE")
          .replaceAll(runtimeDir, "RUN");
        const calm = said.split("\n").map((line) => line.trim());
        const m = "--name bot-bottle-t-image";
        // Asked again until it runs.
        expect(calm.filter((line, i) => line !== calm[i - 1] && line !== "")).toEqual([
          "--version",
          "pack create --image REGISTRY:latest --output WORK/image",
          "machine ls --json",
          `machine create ${name} --from PACKED ${network}`,
          `machine start ${m}`,
          `machine status ${m} --json`,
          `machine exec ${m}`,
          "machine cp STATE/smolvm/incoming.tar bot-bottle-t-image:/opt/bottle/incoming.tar",
          `machine exec ${m}`,
          `machine exec ${m} -i`,
          `machine exec ${m}`,
          `machine stop ${m}`,
          "machine ls --json",
        ]);
      } finally {
        await scope.close();
        used.undo();
      }
    },
  );
});
