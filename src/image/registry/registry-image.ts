/** An image in a registry: its manifest is asked for, its parts are brought into the cache. */
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Progress } from "../../contract/backend.ts";
import type { RegistryReference } from "../../contract/image.ts";
import { UserError } from "../../lib/errors.ts";
import { fewAtOnce } from "../../lib/few-at-once.ts";
import { checkBytes, sha256Of } from "../digest.ts";
import type { ImageCache } from "../image-cache.ts";
import { readBounded } from "../layout-image.ts";
import { MAX_PART_BYTES, readImage } from "../oci-image.ts";
import type { SourceImage } from "../source-image.ts";
import { RegistryClient } from "./client.ts";
import { type Downloaded, download, type Part } from "./download.ts";

const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
].join(", ");

/** At once: enough to fill a line, few enough that no registry minds. */
const DOWNLOADS_AT_ONCE = 3;

/** More than any image that a developer waits for. */
const MAX_IMAGE_BYTES = 64 * 1024 ** 3;

/** Between two lines of progress. */
const PROGRESS_MS = 500;

export interface RegistryOptions {
  readonly cache: ImageCache;
  /** In the cache too; for as long as the image is read. */
  readonly workDir: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** @throws UserError when it cannot be had, is malformed, or does not hash to its names. */
export async function readRegistryImage(
  reference: RegistryReference,
  { cache, workDir, progress, signal }: RegistryOptions,
): Promise<SourceImage> {
  const client = new RegistryClient(reference, signal);
  progress(`asking ${reference.host} for ${reference.repository}`);
  const fetchManifest = async (which: string): Promise<Buffer> => {
    const { body } = await client.get(`manifests/${which}`, { accept: MANIFEST_TYPES });
    return readBounded(body, MAX_PART_BYTES.manifest, "the manifest");
  };
  const wanted = reference.digest ?? reference.tag ?? "latest";
  const bytes = await fetchManifest(wanted);
  const digest = reference.digest ?? sha256Of(bytes);
  checkBytes("the manifest", bytes, digest);

  const quiet = { client, cache, workDir, onBytes: () => {}, ...(signal && { signal }) };
  const image = await readImage({ bytes, digest }, async (part, kind) => {
    // To a registry a configuration is a part like a layer.
    if (kind === "manifest") return fetchManifest(part.digest);
    const limit = MAX_PART_BYTES.configuration;
    if (part.size > limit) throw new UserError(`the image's configuration is longer than ${limit} bytes`);
    return readFile((await download(part, quiet)).path);
  });
  const parts = image.layers.flatMap(({ blob }) => blob ?? []);
  const downloaded = await downloadAll(parts, {
    client,
    cache,
    workDir,
    progress,
    ...(signal && { signal }),
  });
  return {
    digest: image.digest,
    config: image.config,
    layers: image.layers.map((layer) => {
      const part = downloaded.get(layer.blob?.digest ?? "");
      if (part === undefined) throw new Error("a layer that was not downloaded");
      return { ...layer, open: () => createReadStream(part.path), discard: part.discard };
    }),
  };
}

async function downloadAll(
  parts: readonly Part[],
  { client, cache, workDir, progress, signal }: RegistryOptions & { readonly client: RegistryClient },
): Promise<ReadonlyMap<string, Downloaded>> {
  const different = [...new Map(parts.map((part) => [part.digest, part])).values()];
  const total = different.reduce((all, { size }) => all + size, 0);
  if (total > MAX_IMAGE_BYTES)
    throw new UserError(`the image is larger than ${MAX_IMAGE_BYTES / 1024 ** 3} GiB`);
  let come = 0;
  let told = 0;
  const onBytes = (count: number): void => {
    come += count;
    if (performance.now() - told < PROGRESS_MS) return;
    told = performance.now();
    progress(`downloading: ${megabytes(Math.min(come, total))} of ${megabytes(total)} MB`);
  };
  const all = await fewAtOnce(different, { atOnce: DOWNLOADS_AT_ONCE, signal }, async (part, both) => {
    const one = await download(part, { client, cache, workDir, onBytes, signal: both });
    return [part.digest, one] as const;
  });
  return new Map(all);
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}
