import { describe, expect, it } from "vitest";
import { sha256Of } from "../../../src/image/digest.ts";
import { type Descriptor, parseConfig, readImage } from "../../../src/image/oci-image.ts";

/** Parts that name each other by what they hash to. */
const parts = new Map<string, Buffer>();

function put(json: unknown): { digest: string; size: number } {
  const bytes = Buffer.from(typeof json === "string" ? json : JSON.stringify(json));
  const digest = sha256Of(bytes);
  parts.set(digest, bytes);
  return { digest, size: bytes.length };
}

const LAYER = { digest: `sha256:${"1".repeat(64)}`, size: 5 };
const DIFF = `sha256:${"2".repeat(64)}`;

const config = (more: object = {}) =>
  put({
    architecture: "amd64",
    os: "linux",
    config: { Env: ["A=b"] },
    rootfs: { type: "layers", diff_ids: [DIFF] },
    ...more,
  });
const manifest = (more: object = {}) => put({ schemaVersion: 2, config: config(), layers: [LAYER], ...more });
const index = (manifests: readonly object[]) => put({ schemaVersion: 2, manifests });
const on = (architecture: string, part: object, variant?: string) => ({
  ...part,
  platform: { os: "linux", architecture, ...(variant && { variant }) },
});

async function read(top: { digest: string }, fetched: string[] = []) {
  const bytes = parts.get(top.digest) ?? Buffer.alloc(0);
  return readImage(
    { bytes, digest: top.digest },
    async (part: Descriptor) => {
      fetched.push(part.digest);
      return parts.get(part.digest) ?? Buffer.from("not this");
    },
    "amd64",
  );
}

describe("an image's manifest", () => {
  it("names its configuration and layers", async () => {
    const top = manifest();
    expect(await read(top)).toEqual({
      digest: top.digest,
      config: { env: ["A=b"], user: "", cwd: "", entrypoint: [], cmd: [], architecture: "amd64" },
      layers: [{ blob: LAYER, diffId: DIFF }],
    });
  });

  it("is found through indexes, for this machine, the plainest variant first", async () => {
    const [mine, other] = [manifest(), manifest({ annotations: { a: "b" } })];
    const attestation = { ...put("{}"), platform: { os: "unknown", architecture: "unknown" } };
    const top = index([attestation, on("arm64", other), on("amd64", other, "v3"), on("amd64", mine)]);
    expect((await read(top)).digest).toBe(mine.digest);
    expect((await read(index([index([mine])]))).digest).toBe(mine.digest);
  });

  const refused: readonly (readonly [string, () => { digest: string }, RegExp])[] = [
    [
      "is for other machines only",
      () => index([on("s390x", manifest())]),
      /not there for linux\/amd64, only for linux\/s390x/,
    ],
    ["is for another system", () => manifest({ config: config({ os: "windows" }) }), /for windows\/amd64/],
    [
      "is for another processor",
      () => manifest({ config: config({ architecture: "riscv64" }) }),
      /for linux\/riscv64/,
    ],
    ["is an index of nothing", () => index([]), /only for nothing/],
    ["lies in too many indexes", () => index([index([index([index([manifest()])])])]), /too deep/],
    ["is of version 1", () => put({ schemaVersion: 1, fsLayers: [] }), /version 1/],
    // CVE-2021-41190: whoever looked at one reading of it said nothing of the other.
    [
      "is an index and a manifest",
      () => manifest({ manifests: [on("amd64", manifest())] }),
      /can be read as another part/,
    ],
    [
      "is an index with a configuration",
      () => put({ schemaVersion: 2, manifests: [on("amd64", manifest())], config: config() }),
      /can be read as another part/,
    ],
    [
      "has a configuration that is a manifest too",
      () => manifest({ config: config({ schemaVersion: 2, layers: [LAYER] }) }),
      /can be read as another part/,
    ],
    ["is no JSON", () => put("{"), /is no JSON/],
    ["is no UTF-8", () => put("\ud800"), /is malformed|is no JSON/],
    ["is a list", () => put([]), /malformed/],
    [
      "names a layer by no digest",
      () => manifest({ layers: [{ digest: "../../etc/passwd", size: 1 }] }),
      /digest/,
    ],
    [
      "names a layer by a short digest",
      () => manifest({ layers: [{ digest: "sha256:12", size: 1 }] }),
      /digest/,
    ],
    ["has a layer of less than nothing", () => manifest({ layers: [{ ...LAYER, size: -1 }] }), /size/],
    ["has a layer of a petabyte", () => manifest({ layers: [{ ...LAYER, size: 1e15 }] }), /size/],
    ["has 513 layers", () => manifest({ layers: Array.from({ length: 513 }, () => LAYER) }), /layers/],
    [
      "has more layers than its configuration",
      () => manifest({ layers: [LAYER, LAYER] }),
      /different numbers of layers/,
    ],
    ["has no configuration", () => put({ schemaVersion: 2, layers: [] }), /config/],
    [
      "has a configuration without layers",
      () => manifest({ config: put({ architecture: "amd64", os: "linux" }) }),
      /rootfs/,
    ],
    [
      "has a configuration that was changed",
      () => manifest({ config: { ...config(), digest: DIFF } }),
      /does not hash to its name|than announced/,
    ],
    [
      "has a configuration of another length",
      () => manifest({ config: { ...config(), size: 3 } }),
      /longer than announced/,
    ],
    ["has a variable that is no text", () => manifest({ config: config({ config: { Env: [1] } }) }), /Env/],
  ];

  it.each(refused)("is refused when it %s", async (_, top, text) => {
    await expect(read(top())).rejects.toThrow(text);
  });

  it("is asked for no more parts than the one image needs", async () => {
    const fetched: string[] = [];
    await read(index([on("arm64", manifest({ annotations: {} })), on("amd64", manifest())]), fetched);
    expect(fetched).toHaveLength(2);
  });
});

describe("an image's configuration", () => {
  it("may leave out everything that it wants of its programs", () => {
    const bytes = Buffer.from(
      JSON.stringify({ architecture: "amd64", os: "linux", config: null, rootfs: { diff_ids: [] } }),
    );
    expect(parseConfig(bytes, "amd64").config).toMatchObject({ env: [], user: "", cmd: [] });
  });
});
