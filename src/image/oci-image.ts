/**
 * What an image says of itself, read from its JSON: an index leads to the manifest for this machine, a manifest to a
 * configuration and layers. Contract: each part is fetched by the digest that the one before named, is bounded in
 * size, and is checked before it is parsed.
 * Source: OCI image specification 1.1; Docker image manifest version 2, schema 2.
 */
import * as z from "zod";
import type { ImageConfig } from "../contract/image.ts";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { checkBytes, isDigest } from "./digest.ts";

/** Docker makes at most 127, the kernel's overlay mounts at most 500. */
const MAX_LAYERS = 512;
/** An index in an index in an index: nobody makes more. */
const MAX_INDEX_DEPTH = 3;
/** One layer, as it is transferred. */
const MAX_LAYER_BYTES = 64 * 1024 ** 3;
/** Platforms times what is attested of each. */
const MAX_INDEX_ENTRIES = 4_096;

const digest = z.string().refine(isDigest, "is no sha256 or sha512 digest");
const text = z.string().max(32_768);

const descriptor = z.looseObject({
  mediaType: z.string().max(256).optional(),
  digest,
  size: z.number().int().min(0).max(MAX_LAYER_BYTES),
  platform: z.looseObject({ architecture: text, os: text, variant: text.optional() }).optional(),
  annotations: z.record(z.string(), z.string()).nullish(),
});
export type Descriptor = z.output<typeof descriptor>;

/** One digest, two images, by who reads it (CVE-2021-41190): what was looked at under a pin would not be what runs. */
const notAlso = z.never("can be read as another part").optional();

const index = z.looseObject({
  manifests: z.array(descriptor).max(MAX_INDEX_ENTRIES),
  config: notAlso,
  layers: notAlso,
});
const manifest = z.looseObject({
  schemaVersion: z.literal(2),
  config: descriptor,
  layers: z.array(descriptor).max(MAX_LAYERS),
  manifests: notAlso,
});

const texts = z.array(text).max(4_096).nullish();
const configuration = z.looseObject({
  architecture: text,
  os: text,
  config: z
    .looseObject({
      Env: texts,
      User: text.nullish(),
      WorkingDir: text.nullish(),
      Entrypoint: texts,
      Cmd: texts,
    })
    .nullish(),
  rootfs: z.looseObject({ diff_ids: z.array(digest).max(MAX_LAYERS) }),
  layers: notAlso,
  manifests: notAlso,
});

/** One layer as its image names it; where it lies is for the one who fetched the manifest to know. */
export interface LayerDescriptor {
  /** As it is stored, compressed or not. */
  readonly blob?: { readonly digest: string; readonly size: number };
  /** Of the tar in it. */
  readonly diffId: string;
}

export interface ParsedConfig {
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
}

export type PartKind = "manifest" | "configuration";

/** A manifest: what registries accept for one. A configuration has a line for each step of its making. */
export const MAX_PART_BYTES: Readonly<Record<PartKind, number>> = {
  manifest: 4 * 1024 * 1024,
  configuration: 8 * 1024 * 1024,
};

/** Fetches what a descriptor names; no more than {@link MAX_PART_BYTES}. Need not check it. */
export type FetchPart = (part: Descriptor, kind: PartKind) => Promise<Buffer>;

/** From an index or a manifest to one image for this machine. */
export async function readImage(
  top: { readonly bytes: Buffer; readonly digest: string },
  fetchPart: FetchPart,
  architecture: string = hostArchitecture(),
): Promise<{ digest: string; config: ImageConfig; layers: readonly LayerDescriptor[] }> {
  let here = top;
  for (let depth = 0; ; depth++) {
    const json = parseJson("manifest", here.bytes);
    if (!isIndex(json)) break;
    if (depth === MAX_INDEX_DEPTH) throw new UserError("the image's indexes lie too deep in one another");
    const chosen = choosePlatform(parsePart("index", index, json).manifests, architecture);
    const bytes = checkBytes("the manifest", await fetchPart(chosen, "manifest"), chosen.digest, chosen.size);
    here = { bytes, digest: chosen.digest };
  }
  const json = parseJson("manifest", here.bytes);
  if (isVersion1(json)) {
    throw new UserError("the image has a manifest of version 1, which names no layer by its content", {
      hint: "push it again with a docker or podman of this decade",
    });
  }
  const { config, layers } = parsePart("manifest", manifest, json);
  const bytes = checkBytes(
    "the configuration",
    await fetchPart(config, "configuration"),
    config.digest,
    config.size,
  );
  const parsed = parseConfig(bytes, architecture);
  if (parsed.diffIds.length !== layers.length) {
    throw new UserError("the image's manifest and its configuration name different numbers of layers");
  }
  return {
    digest: here.digest,
    config: parsed.config,
    layers: layers.map(({ digest, size }, i) => ({
      blob: { digest, size },
      diffId: parsed.diffIds[i] ?? digest,
    })),
  };
}

/** @throws UserError when it is malformed, or the image is for another system. */
export function parseConfig(bytes: Buffer, architecture: string = hostArchitecture()): ParsedConfig {
  const { config, rootfs, ...rest } = parsePart(
    "configuration",
    configuration,
    parseJson("configuration", bytes),
  );
  if (rest.os !== "linux" || rest.architecture !== architecture) {
    throw new UserError(
      `the image is for ${printable(`${rest.os}/${rest.architecture}`)}, not linux/${architecture}`,
    );
  }
  return {
    config: {
      env: config?.Env ?? [],
      user: config?.User ?? "",
      cwd: config?.WorkingDir ?? "",
      entrypoint: config?.Entrypoint ?? [],
      cmd: config?.Cmd ?? [],
      architecture: rest.architecture,
    },
    diffIds: rootfs.diff_ids,
  };
}

/** The entries of a layout's `index.json`. */
export function parseIndex(bytes: Buffer): readonly Descriptor[] {
  return parsePart("index", index, parseJson("index", bytes)).manifests;
}

/** As the OCI calls this machine's processor. */
export function hostArchitecture(): string {
  return process.arch === "x64" ? "amd64" : process.arch;
}

function choosePlatform(manifests: readonly Descriptor[], architecture: string): Descriptor {
  const fitting = manifests.filter(
    ({ platform }) => platform?.os === "linux" && platform.architecture === architecture,
  );
  // Of several variants the plainest: arm64 before arm64/v9.
  const [chosen] = fitting.sort((a, b) => variantOf(a).localeCompare(variantOf(b)));
  if (chosen !== undefined) return chosen;
  const [only, ...more] = manifests;
  if (only !== undefined && more.length === 0 && only.platform === undefined) return only;
  const there = manifests.flatMap(({ platform }) =>
    platform ? [`${platform.os}/${platform.architecture}`] : [],
  );
  throw new UserError(
    `the image is not there for linux/${architecture}, only for ${printable([...new Set(there)].join(", ") || "nothing")}`,
  );
}

function variantOf({ platform }: Descriptor): string {
  return platform?.variant === "v8" ? "" : (platform?.variant ?? "");
}

function isIndex(json: unknown): boolean {
  return typeof json === "object" && json !== null && "manifests" in json && !("layers" in json);
}

function isVersion1(json: unknown): boolean {
  return typeof json === "object" && json !== null && "schemaVersion" in json && json.schemaVersion === 1;
}

export function parseJson(what: string, bytes: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new UserError(`the image's ${what} is no JSON`, { cause });
  }
}

export function parsePart<T>(what: string, schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = printable(issue?.path.join(".") ?? "");
  throw new UserError(`the image's ${what} is malformed: ${where} ${printable(issue?.message ?? "")}`);
}
