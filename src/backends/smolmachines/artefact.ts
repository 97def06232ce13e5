/** An image as a `.smolmachine` in the cache: found there, or packed. Two that want the same one pack it once. */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Progress } from "../../contract/backend.ts";
import type { ImageSource } from "../../contract/image.ts";
import { imageCacheIn, withWorkDir } from "../../image/image-cache.ts";
import { openSource, stampOf } from "../../image/open-source.ts";
import { UserError } from "../../lib/errors.ts";
import { acquireLock } from "../../lib/lock-file.ts";
import { ownUid } from "../../lib/paths.ts";
import { imageWord } from "../../plan/image-word.ts";
import { type Artefact, type ArtefactStore, openArtefacts } from "./artefact-store.ts";
import { readManifest } from "./pack-file.ts";
import { PACK_TIMEOUT_MS, pack } from "./packing.ts";
import type { Smolvm } from "./smolvm.ts";
import { withRegistry } from "./throwaway-registry.ts";

/** How often it is told that it still goes on. */
const TELL_EVERY_MS = 15_000;

interface PackRequest {
  readonly smolvm: Smolvm;
  readonly source: ImageSource;
  /** The operator's cache folder. */
  readonly cache: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/**
 * A name in a registry is smolvm's to fetch, once: what came is known by its registry and the digest that its file bears.
 * Everything else is read and checked here, known by its content's digest, and served to smolvm.
 * @throws UserError with smolvm's words, or when the cache holds something else than was put there; the signal's reason.
 */
export async function prepareArtefact(request: PackRequest): Promise<Artefact> {
  const { smolvm, source, cache } = request;
  const store = await openArtefacts(cache, smolvm);
  const word = imageWord(source);
  if (source.kind === "folder" && ownUid() !== 0) {
    throw new UserError(`whose files in ${source.path} are root's cannot be told by an ordinary user`, {
      hint: "make an archive or an OCI layout of it, with owners, and name that",
    });
  }
  // Where that tells that nothing has changed, it need not be read again.
  const stamp = await stampOf(source);
  const name = stamp === undefined ? undefined : `${word}\0${stamp}`;
  const known = name === undefined ? undefined : await store.ofName(name);
  if (known !== undefined) return known;
  const packing: Packing = { ...request, store, word };
  if (source.kind === "registry") return fetched(packing, source.host, name ?? word);
  const made = await served(packing);
  if (name !== undefined) await store.remember(name, word, made.digest);
  return made;
}

interface Packing extends PackRequest {
  readonly store: ArtefactStore;
  readonly word: string;
}

/** Which image it is is known when it is there. */
async function fetched(packing: Packing, host: string, name: string): Promise<Artefact> {
  const { store, word, cache } = packing;
  const reference = word.slice("docker://".length);
  return locked(packing, name, async () => {
    const since = await store.ofName(name);
    if (since !== undefined) return since;
    return withWorkDir(imageCacheIn(cache), async (work) => {
      const file = await told(packing, () => pack({ ...packing, reference, work }));
      const { digest } = await readManifest(file);
      // A registry may say of anything that it has this digest: that counts among its own images, and takes no place of others.
      const id = `${host}\0${digest}`;
      // Remembered while nobody else who waits for the name looks for it.
      const made = await locked(
        packing,
        id,
        async () => (await store.ofImage(id)) ?? put(packing, file, id, digest),
      );
      await store.remember(name, word, id);
      return made;
    });
  });
}

async function served(packing: Packing): Promise<Artefact> {
  const { store, source, cache, progress, signal } = packing;
  const images = imageCacheIn(cache);
  return withWorkDir(images, async (workDir) => {
    const image = await openSource(source, {
      ...{ cache: images, workDir, progress, refresh: false },
      ...(signal && { signal }),
    });
    const { digest } = image;
    return locked(packing, digest, async () => {
      const since = await store.ofImage(digest);
      if (since !== undefined) return since;
      const work = join(workDir, "pack");
      await mkdir(work, { mode: 0o700 });
      const file = await told(packing, () =>
        withRegistry(image, workDir, (reference) => pack({ ...packing, reference, work }), signal),
      );
      await readManifest(file);
      return put(packing, file, digest, digest);
    });
  });
}

async function put({ store, word }: Packing, file: string, id: string, digest: string): Promise<Artefact> {
  return store.put(file, id, { image: word, digest, bytes: (await stat(file)).size });
}

async function locked<T>(
  { store, word, progress, signal }: Packing,
  what: string,
  use: () => Promise<T>,
): Promise<T> {
  const lock = await acquireLock(store.lockFor(what), {
    waitMs: PACK_TIMEOUT_MS,
    onWait: ({ pid }) => progress(`image: process ${pid} is packing ${word} already`),
    ...(signal && { signal }),
  });
  try {
    return await use();
  } finally {
    await lock.release();
  }
}

async function told<T>({ word, progress }: Packing, work: () => Promise<T>): Promise<T> {
  const began = Date.now();
  const timer = setInterval(
    () => progress(`image: smolvm packs ${word} (${Math.round((Date.now() - began) / 1000)} s so far)`),
    TELL_EVERY_MS,
  );
  progress(`image: smolvm packs ${word}; this is done once`);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
