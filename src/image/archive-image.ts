/**
 * An image in one file, as `docker save` and `podman save` write it: the older kind with a folder for each layer,
 * the newer with an OCI layout in it, compressed or not.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as z from "zod";
import { split } from "../lib/archive/entry-path.ts";
import { readTar } from "../lib/archive/read-tar.ts";
import { codeOf, UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { sha256Of } from "./digest.ts";
import { MAGIC_BYTES, packingOf, RatioGuard, unpacking } from "./layer-stream.ts";
import { type LayoutFiles, readBounded, readLayout } from "./layout-image.ts";
import { MAX_PART_BYTES, parseConfig, parseJson, parsePart } from "./oci-image.ts";
import type { SourceImage } from "./source-image.ts";

/** A few files for each of 512 layers and each image that is in it. */
const MAX_MEMBERS = 20_000;
/** One link to a layer, as older ones have where two images share it; never a link to a link. */
const MAX_LINKS = 1;

const manifest = z
  .array(
    z.looseObject({
      Config: z.string().max(1_024),
      RepoTags: z.array(z.string().max(1_024)).max(1_000).nullish(),
      Layers: z.array(z.string().max(1_024)).max(512),
    }),
  )
  .max(1_000);
type ManifestEntry = z.output<typeof manifest>[number];

/**
 * @param workDir where a compressed archive is unpacked to; whoever gives it removes it.
 * @throws UserError when it is no such archive, or `ref` is not in it.
 */
export async function readArchive(
  path: string,
  ref: string | undefined,
  workDir: string,
  signal?: AbortSignal,
): Promise<SourceImage> {
  const plain = await unpacked(path, workDir, signal);
  const members = await membersOf(plain, path);
  const files = memberFiles(plain, path, members);
  if (!members.has("manifest.json")) {
    if (members.has("index.json")) return readLayout(files, ref);
    throw new UserError(`${path} is no image: it has neither manifest.json nor index.json`, {
      hint: "write it with docker save or podman save; for a folder that is the root itself use dir:",
    });
  }
  const json = parseJson("manifest.json", await files.read("manifest.json", MAX_PART_BYTES.manifest));
  const entry = chooseEntry(parsePart("manifest.json", manifest, json), ref, path);
  const configBytes = await files.read(entry.Config, MAX_PART_BYTES.configuration);
  const { config, diffIds } = parseConfig(configBytes);
  if (diffIds.length !== entry.Layers.length) {
    throw new UserError(`${path}: its manifest and its configuration name different numbers of layers`);
  }
  return {
    digest: sha256Of(configBytes),
    config,
    layers: entry.Layers.map((name, i) => {
      const diffId = diffIds[i];
      return { open: () => files.open(name), ...(diffId !== undefined && { diffId }) };
    }),
  };
}

function chooseEntry(
  entries: readonly ManifestEntry[],
  ref: string | undefined,
  path: string,
): ManifestEntry {
  const named = (entry: ManifestEntry): boolean =>
    ref === undefined ||
    (entry.RepoTags ?? []).some((tag) => tag === ref || tag.endsWith(`:${ref}`) || tag.endsWith(`/${ref}`));
  const [only, ...more] = entries.filter(named);
  if (only !== undefined && more.length === 0) return only;
  const names = entries.flatMap(({ RepoTags }) => RepoTags ?? []).join(", ");
  throw new UserError(
    ref === undefined
      ? `${path} holds ${entries.length} images`
      : `${path} holds ${only === undefined ? "no image" : "several images"} ${printable(ref)}`,
    { hint: `name one of them after a colon: ${printable(names, 1_000) || "there is none with a name"}` },
  );
}

interface Member {
  readonly offset: number;
  readonly size: number;
  /** Another member, as older archives have for a layer that two images share. */
  readonly link?: string;
}

async function membersOf(plain: string, path: string): Promise<ReadonlyMap<string, Member>> {
  const members = new Map<string, Member>();
  for await (const entry of readTar(createReadStream(plain))) {
    if (entry.type !== "file" && entry.type !== "symlink") continue;
    if (members.size >= MAX_MEMBERS) throw new UserError(`${path} has more than ${MAX_MEMBERS} files`);
    const name = nameOf(entry.name);
    const link = entry.type === "symlink" ? linkedName(name, entry.target) : undefined;
    members.set(name, { offset: entry.offset, size: entry.size, ...(link !== undefined && { link }) });
  }
  return members;
}

function nameOf(bytes: Buffer): string {
  return split(bytes)
    .map((part) => part.toString("utf8"))
    .join("/");
}

/** Resolved within the archive: what climbs above its top is the top. */
function linkedName(name: string, target: Buffer): string {
  const parts = name.split("/").slice(0, -1);
  for (const step of nameOf(target).split("/")) {
    if (step === "..") parts.pop();
    else parts.push(step);
  }
  return parts.join("/");
}

function memberFiles(plain: string, path: string, members: ReadonlyMap<string, Member>): LayoutFiles {
  const find = (name: string): Member => {
    let member = members.get(name);
    for (let links = 0; links < MAX_LINKS && member?.link !== undefined; links++)
      member = members.get(member.link);
    if (member === undefined || member.link !== undefined) {
      throw new UserError(`${path} has no ${printable(name)}, which its manifest names`);
    }
    return member;
  };
  const openMember = ({ offset, size }: Member): AsyncIterable<Buffer> =>
    // An end before the start is refused by the stream, not read as nothing.
    size === 0 ? Readable.from([]) : createReadStream(plain, { start: offset, end: offset + size - 1 });
  return {
    place: path,
    read: (name, limit) => readBounded(openMember(find(name)), limit, `${path}: ${name}`),
    open: (name) => openMember(find(name)),
  };
}

/** The archive itself, or a copy of it in `workDir` without its compression. */
async function unpacked(path: string, workDir: string, signal?: AbortSignal): Promise<string> {
  try {
    if (packingOf(await firstBytes(path)) === "none") return path;
    const to = join(workDir, "archive.tar");
    const ratio = new RatioGuard();
    const [packed, unpacker] = await unpacking(createReadStream(path), ratio);
    await pipeline(
      packed,
      unpacker,
      (source: AsyncIterable<Buffer>) => ratio.after(source),
      createWriteStream(to, { mode: 0o600 }),
      ...(signal ? [{ signal }] : []),
    );
    return to;
  } catch (cause) {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`cannot read ${path}: ${codeOf(cause) ?? String(cause)}`, {
      hint: "docker-archive: takes what docker save wrote",
      cause,
    });
  }
}

/** A tar begins with a name, which begins as nothing packed does. */
async function firstBytes(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAGIC_BYTES), 0, MAGIC_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}
