/** Images from Debian's docker-registry, from layouts of umoci and from archives of skopeo. */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { ImageSource } from "../../../src/contract/image.ts";
import { prepareRootImage, type RootImage } from "../../../src/image/root-image.ts";
import { removeTree } from "../../../src/lib/remove-tree.ts";
import { parseImageSource } from "../../../src/manifest/image-source.ts";
import { rawArchive, withPax } from "../../support/archive-bytes.ts";
import { hasImageTools, type Layout, makeLayout, skopeoCopy } from "../../support/oci.ts";
import { LOGIN, type OciRegistry, startOciRegistry } from "../../support/oci-registry.ts";
import { readerOf, SMALL_DISK } from "../../support/raw-disk.ts";

const LAYERS = [
  rawArchive(
    { name: "etc/", flag: "5", mode: 0o755 },
    { name: "etc/os-release", content: "ID=test\n" },
    { name: "gone", content: "below" },
    { name: "cache/", flag: "5", mode: 0o755 },
    { name: "cache/old", content: "old" },
    { name: "big", content: Buffer.alloc(3_000_000, "big ") },
    withPax({ path: "n".repeat(200) }, { name: "x", content: "long" }),
  ),
  rawArchive(
    { name: ".wh.gone" },
    { name: "cache/new", content: "new" },
    { name: "cache/.wh..wh..opq" },
    { name: "same", flag: "1", target: "etc/os-release" },
  ),
];

let area: string;
let cache: string;
let layout: Layout;
const environment = { ...process.env };

beforeAll(async () => {
  if (!hasImageTools) return;
  layout = await makeLayout(LAYERS, {
    config: [
      "--config.env=GREETING=hello",
      "--config.user=1000:1000",
      "--config.workingdir=/etc",
      "--config.cmd=sh",
    ],
  });
});
afterAll(() => layout?.remove());

beforeEach(() => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  cache = join(area, "cache");
  process.env["HOME"] = area;
  delete process.env["DOCKER_CONFIG"];
  delete process.env["XDG_RUNTIME_DIR"];
  delete process.env["REGISTRY_AUTH_FILE"];
});
afterEach(async () => {
  Object.assign(process.env, environment);
  await removeTree(area);
});

function sourceOf(text: string): ImageSource {
  const parsed = parseImageSource(text);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.value;
}

function prepare(text: string, said: string[] = [], refresh = false): Promise<RootImage> {
  return prepareRootImage(
    { source: sourceOf(text), tools: [], cache, diskBytes: SMALL_DISK, refresh },
    (line) => said.push(line),
  );
}

async function expectTheImage(image: RootImage): Promise<void> {
  const disk = readerOf(image.disk);
  await disk.check();
  expect(image.config).toEqual({
    env: expect.arrayContaining(["GREETING=hello"]),
    user: "1000:1000",
    cwd: "/etc",
    entrypoint: [],
    cmd: ["sh"],
    architecture: process.arch === "x64" ? "amd64" : process.arch,
  });
  expect(await disk.ask("stat /gone")).toBe("");
  expect(await disk.ask("stat /cache/old")).toBe("");
  expect((await disk.bytes("/cache/new")).toString()).toBe("new");
  expect((await disk.bytes("/same")).toString()).toBe("ID=test\n");
  expect((await disk.bytes("/big")).equals(Buffer.alloc(3_000_000, "big "))).toBe(true);
}

/** What `docker login` leaves. */
function logIn(registry: OciRegistry, password: string = LOGIN.password): void {
  const auth = Buffer.from(`${LOGIN.user}:${password}`).toString("base64");
  mkdirSync(join(area, ".docker"), { recursive: true });
  writeFileSync(join(area, ".docker/config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
}

function trust(registry: OciRegistry): string {
  const folder = join(area, ".config/containers/certs.d", registry.host);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "ca.crt"), registry.ca?.certificate ?? "");
  return folder;
}

describe.skipIf(!hasImageTools)("an image in a file", () => {
  it("comes out of an OCI layout as umoci wrote it", async () => {
    await expectTheImage(await prepare(`oci:${layout.path}:${layout.ref}`));
    await expectTheImage(await prepare(`oci:${layout.path}`));
  });

  it("comes out of an archive as skopeo and docker save write it, compressed too", async () => {
    const archive = join(area, "saved.tar");
    await skopeoCopy(`oci:${layout.path}:${layout.ref}`, `docker-archive:${archive}:team/dev:1`);
    const plain = await prepare(`docker-archive:${archive}`);
    await expectTheImage(plain);
    writeFileSync(`${archive}.gz`, gzipSync(readFileSync(archive)));
    const compressed = await prepare(`docker-archive:${archive}.gz:team/dev:1`);
    expect(compressed.key).toBe(plain.key);
    await expect(prepare(`docker-archive:${archive}:other`)).rejects.toThrow(/holds no image other/);
  });

  it("comes out of an archive with a layout in it", async () => {
    const archive = join(area, "oci.tar");
    await skopeoCopy(`oci:${layout.path}:${layout.ref}`, `oci-archive:${archive}:dev`);
    await expectTheImage(await prepare(`docker-archive:${archive}`));
  });

  it("has layers in zstd, where this Node can read them", async () => {
    const other = join(area, "zstd");
    const compress = ["--dest-compress", "--dest-compress-format=zstd"];
    await skopeoCopy(`oci:${layout.path}:${layout.ref}`, `dir:${join(area, "plain")}`, ["--dest-decompress"]);
    await skopeoCopy(`dir:${join(area, "plain")}`, `oci:${other}:dev`, compress);
    expect(readFileSync(join(other, "index.json"), "utf8")).toContain("manifests");
    const image = prepare(`oci:${other}:dev`);
    if ("createZstdDecompress" in (await import("node:zlib"))) await expectTheImage(await image);
    else await expect(image).rejects.toThrow(/cannot read layers compressed with zstd/);
  });

  it("is refused when one byte of a layer has changed", async () => {
    const copy = await makeLayout(LAYERS);
    const blobs = join(copy.path, "blobs/sha256");
    const largest = readdirSync(blobs)
      .map((name) => ({ name, bytes: readFileSync(join(blobs, name)) }))
      .sort((a, b) => b.bytes.length - a.bytes.length)[0];
    const bytes = largest?.bytes ?? Buffer.alloc(0);
    bytes[bytes.length - 6] = (bytes.at(-6) ?? 0) ^ 1;
    chmodSync(join(blobs, largest?.name ?? ""), 0o600);
    writeFileSync(join(blobs, largest?.name ?? ""), bytes);
    await expect(prepare(`oci:${copy.path}:${copy.ref}`)).rejects.toThrow(
      /does not hash to its name|is damaged/,
    );
    expect(readdirSync(join(cache, "images/roots")).filter((name) => !name.includes(".lock"))).toEqual([]);
    copy.remove();
  });
});

describe.skipIf(!hasImageTools)("a registry on this host", () => {
  let registry: OciRegistry;
  beforeAll(async () => {
    if (!hasImageTools) return;
    registry = await startOciRegistry();
    const to = `docker://${registry.host}/team/dev:1`;
    await skopeoCopy(`oci:${layout.path}:${layout.ref}`, to, ["--dest-tls-verify=false"]);
  });
  afterAll(() => registry?.stop());

  it("gives an image by its tag, and the same one by its digest", async () => {
    const said: string[] = [];
    const byTag = await prepare(`${registry.host}/team/dev:1`, said);
    await expectTheImage(byTag);
    expect(said[0]).toContain("team/dev");
    const byDigest = await prepare(`docker://${registry.host}/team/dev@${byTag.digest}`);
    expect(byDigest.disk).toBe(byTag.disk);
    // Not asked again: the registry may be away.
    const again: string[] = [];
    await prepare(`${registry.host}/team/dev:1`, again);
    expect(again).toEqual([]);
  });

  it("names what is not there", async () => {
    await expect(prepare(`${registry.host}/team/dev:9`)).rejects.toThrow(
      /has no docker:\/\/localhost.*team\/dev:9/,
    );
    await expect(prepare(`${registry.host}/no/such:1`)).rejects.toThrow(/has no/);
    const absent = `sha256:${"0".repeat(64)}`;
    await expect(prepare(`${registry.host}/team/dev@${absent}`)).rejects.toThrow(/has no/);
  });

  it("is found out when it answers with another layer than it named", async () => {
    const digest = (await prepare(`${registry.host}/team/dev:1`)).digest;
    const layers = layersOf(digest);
    const blob = blobPath(registry, layers[0] ?? "");
    const honest = readFileSync(blob);
    try {
      const forged = Buffer.from(honest);
      forged[20] = (forged[20] ?? 0) ^ 1;
      writeFileSync(blob, forged);
      rmSync(cache, { recursive: true });
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toThrow(/does not hash to its name/);
      writeFileSync(blob, honest.subarray(0, 1_000));
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toThrow(
        /has less of .* than it says|broke off/,
      );
      writeFileSync(blob, Buffer.concat([honest, Buffer.alloc(10)]));
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toThrow(/longer than announced/);
    } finally {
      writeFileSync(blob, honest);
    }
    await expectTheImage(await prepare(`${registry.host}/team/dev:1`));
  });

  it("goes on where a download was broken off", async () => {
    const { digest } = await prepare(`${registry.host}/team/dev:1`);
    const [first = ""] = layersOf(digest);
    const blobs = join(cache, "images/blobs/sha256");
    const whole = readFileSync(join(blobs, first.slice(7)));
    rmSync(join(cache, "images/roots"), { recursive: true });
    rmSync(join(blobs, first.slice(7)));
    writeFileSync(join(blobs, `${first.slice(7)}.part`), whole.subarray(0, 1_000));
    await expectTheImage(await prepare(`${registry.host}/team/dev:1`, [], true));
    expect(
      createHash("sha256")
        .update(readFileSync(join(blobs, first.slice(7))))
        .digest("hex"),
    ).toBe(first.slice(7));
    expect(readdirSync(blobs).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  /** Named by a manifest in the registry's own storage. */
  function layersOf(digest: string): string[] {
    const manifest: unknown = JSON.parse(readFileSync(blobPath(registry, digest), "utf8"));
    return (manifest as { layers: { digest: string }[] }).layers.map((layer) => layer.digest);
  }
});

function blobPath(registry: OciRegistry, digest: string): string {
  const hex = digest.slice(7);
  return join(registry.storage, "docker/registry/v2/blobs/sha256", hex.slice(0, 2), hex, "data");
}

describe.skipIf(!hasImageTools).each(["basic", "token"] as const)(
  "a registry with TLS and a login by %s",
  (auth) => {
    let registry: OciRegistry;
    beforeAll(async () => {
      if (!hasImageTools) return;
      registry = await startOciRegistry(auth);
      const home = mkdtempSync(join(tmpdir(), "bottle-test-"));
      const certificates = join(home, "certs");
      mkdirSync(certificates);
      writeFileSync(join(certificates, "ca.crt"), registry.ca?.certificate ?? "");
      await skopeoCopy(`oci:${layout.path}:${layout.ref}`, `docker://${registry.host}/team/dev:1`, [
        `--dest-cert-dir=${certificates}`,
        `--dest-creds=${LOGIN.user}:${LOGIN.password}`,
      ]);
      rmSync(home, { recursive: true });
    });
    afterAll(() => registry?.stop());

    it("gives it to who is logged in", async () => {
      trust(registry);
      logIn(registry);
      registry.tokenRequests.length = 0;
      await expectTheImage(await prepare(`${registry.host}/team/dev:1`));
      const scopes = new Set(registry.tokenRequests.map(({ query }) => query.get("scope")));
      expect([...scopes]).toEqual(auth === "token" ? ["repository:team/dev:pull"] : []);
    });

    it("refuses who is not, and says how to log in", async () => {
      trust(registry);
      const refused = {
        message: expect.stringContaining("does not let you have"),
        hint: expect.stringContaining("docker login"),
      };
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toMatchObject(refused);
      logIn(registry, "wrong");
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toMatchObject(refused);
    });

    it("is not believed when nobody vouches for its certificate", async () => {
      logIn(registry);
      registry.tokenRequests.length = 0;
      await expect(prepare(`${registry.host}/team/dev:1`)).rejects.toMatchObject({
        message: expect.stringContaining("cannot reach"),
        hint: expect.stringContaining("ca.crt"),
      });
      expect(registry.tokenRequests).toEqual([]);
    });

    it("is shown what a credential helper knows, which hears of it on its stdin", async () => {
      trust(registry);
      const bin = join(area, "bin");
      mkdirSync(bin);
      const helper = `#!/bin/sh\nread -r server\necho "$# $1 $server" >>${area}/asked\n[ "$server" = "${registry.host}" ] || exit 1\nprintf '{"Username":"${LOGIN.user}","Secret":"%s"}' "${LOGIN.password}"\n`;
      writeFileSync(join(bin, "docker-credential-test"), helper, { mode: 0o755 });
      process.env["PATH"] = `${bin}:${environment["PATH"]}`;
      mkdirSync(join(area, ".docker"));
      writeFileSync(
        join(area, ".docker/config.json"),
        JSON.stringify({ credHelpers: { [registry.host]: "test" } }),
      );
      await expectTheImage(await prepare(`${registry.host}/team/dev:1`));
      expect(readFileSync(join(area, "asked"), "utf8").split("\n")[0]).toBe(`1 get ${registry.host}`);
    });
  },
);
