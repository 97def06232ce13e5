/** An image in a folder of the OCI's layout, as skopeo, umoci and buildah write it. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { codeOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { checkBytes, digestParts } from "./digest.ts";
import { type Descriptor, MAX_PART_BYTES, parseIndex, readImage } from "./oci-image.ts";
import type { SourceImage } from "./source-image.ts";

const REF_NAME = "org.opencontainers.image.ref.name";

/** Where parts of a layout lie: a folder, or an archive. */
export interface LayoutFiles {
  /** For people. */
  readonly place: string;
  /** @throws UserError when it is not there or longer than `limit`. */
  read(name: string, limit: number): Promise<Buffer>;
  open(name: string): AsyncIterable<Buffer>;
}

/** @throws UserError when it is no layout, `ref` is not in it, or it has several and `ref` says nothing. */
export async function readLayout(files: LayoutFiles, ref: string | undefined): Promise<SourceImage> {
  const entry = chooseEntry(
    parseIndex(await files.read("index.json", MAX_PART_BYTES.manifest)),
    ref,
    files.place,
  );
  const bytes = await files.read(blobName(entry.digest), MAX_PART_BYTES.manifest);
  const top = { bytes: checkBytes("the manifest", bytes, entry.digest, entry.size), digest: entry.digest };
  const image = await readImage(top, (part, kind) => files.read(blobName(part.digest), MAX_PART_BYTES[kind]));
  return {
    digest: image.digest,
    config: image.config,
    layers: image.layers.map((layer) => ({
      ...layer,
      open: () => files.open(blobName(layer.blob?.digest ?? layer.diffId)),
    })),
  };
}

function chooseEntry(entries: readonly Descriptor[], ref: string | undefined, place: string): Descriptor {
  const named = (entry: Descriptor): string | undefined => entry.annotations?.[REF_NAME];
  const fitting =
    ref === undefined
      ? entries
      : entries.filter(
          (entry) => named(entry) === ref || named(entry)?.endsWith(`:${ref}`) || entry.digest === ref,
        );
  const [only, ...more] = fitting;
  // Without a name one of several may still be the one for this machine.
  if (only !== undefined && (more.length === 0 || new Set(fitting.map(({ digest }) => digest)).size === 1))
    return only;
  const names = entries.map((entry) => named(entry) ?? entry.digest).join(", ");
  throw new UserError(
    ref === undefined
      ? `${place} holds ${entries.length} images`
      : `${place} holds ${more.length === 0 ? "no image" : "several images"} ${printable(ref)}`,
    { hint: `name one of them after a colon: ${printable(names, 1_000) || "there is none"}` },
  );
}

function blobName(digest: string): string {
  const { algorithm, hex } = digestParts(digest);
  return `blobs/${algorithm}/${hex}`;
}

/** @throws UserError when `path` is no folder that can be read. */
export function folderFiles(path: string): LayoutFiles {
  return {
    place: path,
    async read(name, limit) {
      try {
        const file = await open(join(path, name));
        try {
          return await readBounded(file.createReadStream({ autoClose: false }), limit, join(path, name));
        } finally {
          await file.close();
        }
      } catch (cause) {
        if (cause instanceof UserError) throw cause;
        throw new UserError(`cannot read ${join(path, name)}: ${codeOf(cause) ?? String(cause)}`, {
          hint: "an OCI layout is a folder with index.json and blobs/ in it",
          cause,
        });
      }
    },
    open: (name) => createReadStream(join(path, name)),
  };
}

/** @throws UserError when there is more than `limit`. */
export async function readBounded(
  stream: AsyncIterable<Buffer>,
  limit: number,
  what: string,
): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > limit) throw new UserError(`${printable(what)} is longer than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
