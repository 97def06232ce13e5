/**
 * Images as `.smolmachine` files in the cache, each under the id of the image that it is made of, so that one image is
 * there once whatever it is called:
 *
 *     smolmachines/<key>.smolmachine   the file; its time says when it was last wanted
 *     smolmachines/<key>.json          its pin: smolvm writes no signature into it, so its sha256 is asked for at each use
 *     smolmachines/<name>.name.json    what a name of it, or a source that has not changed, came to
 */
import { createHash } from "node:crypto";
import { rename, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import type { CachedPart } from "../../contract/backend.ts";
import { JUST_WANTED_MS } from "../../image/stored-images.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { bytesOnDisk, cachedRecord, namesIn, statOf } from "../../lib/on-disk.ts";
import { homeOf, makePrivateDir, writeFileAtomic } from "../../lib/paths.ts";
import { readMade } from "./machine.ts";
import { hashOf } from "./pack-file.ts";
import type { Smolvm } from "./smolvm.ts";
import { STATE_NAME } from "./state-folder.ts";

const keyText = z.string().regex(/^[0-9a-f]{32}$/);
const pinSchema = z.strictObject({
  version: z.literal(2),
  /** What it was called when it was packed. */
  image: z.string(),
  digest: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().positive(),
  smolvm: z.string(),
});
type Pin = z.infer<typeof pinSchema>;

const nameSchema = z.strictObject({ version: z.literal(1), image: z.string(), key: keyText });

export interface Artefact {
  readonly path: string;
  readonly sha256: string;
  /** The image's own, as whoever read it says. */
  readonly digest: string;
}

export interface ArtefactStore {
  readonly folder: string;
  /** The artefact of the image of that id. @throws UserError when the file is not what was put there. */
  ofImage(id: string): Promise<Artefact | undefined>;
  /** What a name came to, last time. @throws UserError likewise */
  ofName(name: string): Promise<Artefact | undefined>;
  /** Puts in what was packed, in place of whatever is there. Only while {@link lockFor} that id is held. */
  put(file: string, id: string, made: Pick<Pin, "image" | "digest" | "bytes">): Promise<Artefact>;
  /** @param image the operator's word. */
  remember(name: string, image: string, id: string): Promise<void>;
  /** The path of the lock for whoever makes what `what` names. */
  lockFor(what: string): string;
}

/** Releases do not promise each other anything about the files they write. */
export async function openArtefacts(cache: string, smolvm: Pick<Smolvm, "text">): Promise<ArtefactStore> {
  const folder = folderIn(cache);
  await makePrivateDir(folder);
  const keyOf = (what: string): string =>
    createHash("sha256").update(`${smolvm.text}\0${process.arch}\0${what}`).digest("hex").slice(0, 32);
  const pinFile = (key: string): string => join(folder, `${key}.json`);
  const nameFile = (name: string): string => join(folder, `${keyOf(name)}.name.json`);

  const byKey = async (key: string): Promise<Artefact | undefined> => {
    const pin = await cachedRecord(pinFile(key), pinSchema);
    return pin && checked(folder, key, pin);
  };
  return {
    folder,
    ofImage: (id) => byKey(keyOf(id)),
    async ofName(name) {
      const known = await cachedRecord(nameFile(name), nameSchema);
      return known && byKey(known.key);
    },
    async put(file, id, made) {
      const key = keyOf(id);
      const path = fileOf(folder, key);
      const pin: Pin = { version: 2, ...made, sha256: await hashOf(file), smolvm: smolvm.text };
      await rename(file, path);
      await writeFileAtomic(pinFile(key), `${JSON.stringify(pin, null, 2)}\n`);
      await sweep(folder);
      return { path, sha256: pin.sha256, digest: pin.digest };
    },
    async remember(name, image, id) {
      const record = { version: 1, image, key: keyOf(id) };
      await writeFileAtomic(nameFile(name), `${JSON.stringify(record)}\n`);
    },
    lockFor: (what) => join(folder, `${keyOf(what)}.lock`),
  };
}

function folderIn(cache: string): string {
  return join(cache, "smolmachines");
}

function fileOf(folder: string, key: string): string {
  return join(folder, `${key}.smolmachine`);
}

async function checked(folder: string, key: string, pin: Pin): Promise<Artefact | undefined> {
  const path = fileOf(folder, key);
  try {
    const sha256 = await hashOf(path);
    if (sha256 !== pin.sha256)
      throw new UserError(`${path} is not what was packed of ${pin.image}`, { hint: `rm ${path}` });
    const now = new Date();
    await utimes(path, now, now);
    return { path, sha256, digest: pin.digest };
  } catch (error) {
    // Pruned: it is packed again.
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Removes pins and names of files that were pruned. */
async function sweep(folder: string): Promise<void> {
  const all = await namesIn(folder);
  const there = new Set(all.filter((name) => name.endsWith(".smolmachine")));
  for (const name of all) {
    if (!name.endsWith(".json")) continue;
    const path = join(folder, name);
    const key = name.endsWith(".name.json")
      ? (await cachedRecord(path, nameSchema))?.key
      : name.slice(0, -".json".length);
    if (!there.has(`${key}.smolmachine`)) await rm(path, { force: true });
  }
}

/**
 * The files there are, the last wanted first. Old are those of another release of smolvm, those of which every name is one
 * that nobody wants or that has come to a younger one since; never one that a bottle's machine was made of.
 * @param wanted operators' words for images; undefined where that is not known.
 */
export async function cachedArtefacts(
  cache: string,
  smolvm: Pick<Smolvm, "text"> | undefined,
  wanted: ReadonlySet<string> | undefined,
): Promise<readonly CachedPart[]> {
  const folder = folderIn(cache);
  const names = await namesIn(folder);
  const words = await wordsByKey(folder, names);
  const inUse = await pathsInUse();
  const files = await Promise.all(
    names.flatMap((name) => {
      const [, key] = /^([0-9a-f]{32})\.smolmachine$/.exec(name) ?? [];
      return key === undefined ? [] : [describe(folder, key)];
    }),
  );
  const found = files.flatMap((file) => file ?? []).sort((a, b) => b.wantedMs - a.wantedMs);
  const current = new Set<string>();
  return found.map(({ key, path, bytes, wantedMs, pin }) => {
    const called = [...new Set([...(words.get(key) ?? []), ...(pin === undefined ? [] : [pin.image])])];
    const isWanted =
      pin !== undefined &&
      pin.smolvm === smolvm?.text &&
      called.some((word) => (wanted === undefined || wanted.has(word)) && !current.has(word));
    if (pin?.smolvm === smolvm?.text) for (const word of called) current.add(word);
    const isOld = !isWanted && !inUse.has(path) && Date.now() - wantedMs > JUST_WANTED_MS;
    return { what: `image of micro-VMs, ${called.join(", ") || "never finished"},`, path, bytes, isOld };
  });
}

async function describe(folder: string, key: string) {
  const path = fileOf(folder, key);
  const status = await statOf(path);
  if (status === undefined) return undefined;
  const pin = await cachedRecord(join(folder, `${key}.json`), pinSchema);
  return { key, path, bytes: await bytesOnDisk(path), wantedMs: status.mtimeMs, pin };
}

async function wordsByKey(
  folder: string,
  files: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const words = new Map<string, string[]>();
  for (const file of files.filter((name) => name.endsWith(".name.json"))) {
    const known = await cachedRecord(join(folder, file), nameSchema);
    if (known === undefined) continue;
    words.set(known.key, [...(words.get(known.key) ?? []), known.image]);
  }
  return words;
}

/** What machines of this operator's bottles were made of: some releases read it again at each start. */
async function pathsInUse(): Promise<ReadonlySet<string>> {
  const { state } = homeOf();
  const ids = await namesIn(state);
  // Of what is no bottle's, or cannot be read, nothing would be started.
  const made = ids.map((id) => readMade(join(state, id, STATE_NAME)).catch(() => undefined));
  return new Set((await Promise.all(made)).flatMap((each) => each?.argv ?? []));
}
