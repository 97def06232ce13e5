/**
 * An image as a `.smolmachine` in the cache. smolvm writes no signature into it, so its sha256 is pinned when it is
 * made and asked for again whenever a machine is made of it. Two that want the same one make it once.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, readFile, rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import * as z from "zod";
import type { Progress } from "../../contract/backend.ts";
import type { ImageSource } from "../../contract/image.ts";
import { imageCacheIn, withWorkDir } from "../../image/image-cache.ts";
import { openSource, stampOf } from "../../image/open-source.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { acquireLock } from "../../lib/lock-file.ts";
import { ownUid, writeFileAtomic } from "../../lib/paths.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { createScope } from "../../lib/scope.ts";
import { imageWord } from "../../plan/image-word.ts";
import { packCommand } from "./commands.ts";
import { callerIn, must, type Smolvm } from "./smolvm.ts";
import { makeStateFolder } from "./state-folder.ts";
import { withRegistry } from "./throwaway-registry.ts";

/** A large image over a slow line. */
const PACK_TIMEOUT_MS = 45 * 60_000;
const OUTPUT = "image";
/** How often it is told that it still goes on. */
const TELL_EVERY_MS = 15_000;
/** 64 bytes: docs/smolmachines.md has the fields. */
const FOOTER_BYTES = 64;
const MAGIC = "SMOLPACK";
/** A manifest is some hundred bytes. */
const MAX_MANIFEST_BYTES = 1024 * 1024;

const pinSchema = z.strictObject({
  version: z.literal(1),
  image: z.string(),
  digest: z.string(),
  file: z.string().regex(/^[0-9a-f]{1,64}\.smolmachine$/),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.number().int().positive(),
  smolvm: z.string(),
});
type Pin = z.infer<typeof pinSchema>;

const manifestSchema = z.looseObject({ image: z.string(), digest: z.string() });

export interface Artefact {
  readonly path: string;
  readonly sha256: string;
  /** The image's own id. */
  readonly digest: string;
}

interface PackRequest {
  readonly smolvm: Smolvm;
  readonly source: ImageSource;
  /** The operator's cache folder. */
  readonly cache: string;
  readonly progress: Progress;
}

/**
 * A name in a registry is smolvm's to fetch. Everything else is read and checked here, and served to it; what it is
 * called in the cache is then its content's digest.
 * @throws UserError with smolvm's words, or when the cache holds something else than was put there.
 */
export async function prepareArtefact({ smolvm, source, cache, progress }: PackRequest): Promise<Artefact> {
  const folder = join(cache, "smolmachines");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const word = imageWord(source);
  const once = (key: string, make: (work: string) => Promise<void>): Promise<Artefact> =>
    packOnce({ folder, word, smolvm, progress, key: keyOf(smolvm, key) }, make);
  if (source.kind === "registry") {
    const reference = word.slice("docker://".length);
    return once(word, (work) => pack(smolvm, reference, work));
  }
  if (source.kind === "folder" && ownUid() !== 0) {
    throw new UserError(`whose files in ${source.path} are root's cannot be told by an ordinary user`, {
      hint: "make an archive or an OCI layout of it, with owners, and name that",
    });
  }
  // Where that tells that nothing has changed, it need not be read again.
  const stamp = await stampOf(source);
  const known = stamp === undefined ? undefined : keyOf(smolvm, `${word}\0${stamp}`);
  const there = known === undefined ? undefined : await pinned(join(folder, `${known}.json`));
  if (there !== undefined) return checked(folder, join(folder, `${known}.json`), there);
  const images = imageCacheIn(cache);
  return withWorkDir(images, async (workDir) => {
    const image = await openSource(source, { cache: images, workDir, progress, refresh: false });
    const made = await once(image.digest, (work) =>
      withRegistry(image, workDir, (reference) => pack(smolvm, reference, work)),
    );
    if (known !== undefined)
      await copyFile(join(folder, `${keyOf(smolvm, image.digest)}.json`), join(folder, `${known}.json`));
    return made;
  });
}

/** Releases do not promise each other anything about the files they write. */
function keyOf(smolvm: Smolvm, what: string): string {
  return createHash("sha256").update(`${smolvm.text}\0${process.arch}\0${what}`).digest("hex").slice(0, 32);
}

interface Packing {
  readonly folder: string;
  readonly key: string;
  readonly word: string;
  readonly smolvm: Smolvm;
  readonly progress: Progress;
}

async function packOnce(packing: Packing, make: (work: string) => Promise<void>): Promise<Artefact> {
  const { folder, key, word, progress } = packing;
  const pinFile = join(folder, `${key}.json`);
  const there = await pinned(pinFile);
  if (there !== undefined) return checked(folder, pinFile, there);
  const lock = await acquireLock(join(folder, `${key}.lock`), {
    waitMs: PACK_TIMEOUT_MS,
    onWait: ({ pid }) => progress(`image: process ${pid} is packing ${word} already`),
  });
  try {
    const since = await pinned(pinFile);
    if (since !== undefined) return await checked(folder, pinFile, since);
    return await keep(packing, pinFile, make);
  } finally {
    await lock.release();
  }
}

/** It boots a machine for that, whose sockets lie as deep as those of any other. */
async function pack(smolvm: Smolvm, reference: string, work: string): Promise<void> {
  const scope = createScope();
  try {
    const { short } = await makeStateFolder(work, scope);
    const packing = callerIn(smolvm, short)(packCommand(reference, join(work, OUTPUT)), {
      timeoutMs: PACK_TIMEOUT_MS,
    });
    await must("pack the image", smolvm, packing);
  } finally {
    await scope.close();
  }
}

async function keep(
  { folder, word, smolvm, progress }: Packing,
  pinFile: string,
  make: (work: string) => Promise<void>,
): Promise<Artefact> {
  const work = join(folder, `.${basename(pinFile, ".json")}`);
  const began = Date.now();
  const tell = (): void =>
    progress(`image: smolvm packs ${word} (${Math.round((Date.now() - began) / 1000)} s so far)`);
  progress(`image: smolvm packs ${word}; this is done once`);
  const timer = setInterval(tell, TELL_EVERY_MS);
  try {
    // Of one that was cut short: this one has the lock.
    await removeTree(work);
    await mkdir(work, { mode: 0o700 });
    await make(work);
    const output = join(work, OUTPUT);
    // `output` itself is a launcher; the image is beside it.
    const made = `${output}.smolmachine`;
    const { digest } = await readManifest(made);
    const sha256 = await hashOf(made);
    const { size } = await stat(made);
    const pin: Pin = {
      version: 1,
      image: word,
      digest,
      file: `${basename(pinFile, ".json")}.smolmachine`,
      sha256,
      bytes: size,
      smolvm: smolvm.text,
    };
    await rename(made, join(folder, pin.file));
    await writeFileAtomic(pinFile, `${JSON.stringify(pin, null, 2)}\n`);
    return { path: join(folder, pin.file), sha256, digest };
  } finally {
    clearInterval(timer);
    await removeTree(work);
  }
}

async function pinned(pinFile: string): Promise<Pin | undefined> {
  try {
    const parsed = pinSchema.safeParse(JSON.parse(await readFile(pinFile, "utf8")));
    return parsed.success ? parsed.data : undefined;
  } catch (error) {
    if (codeOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

async function checked(folder: string, pinFile: string, pin: Pin): Promise<Artefact> {
  const path = join(folder, pin.file);
  const sha256 = await hashOf(path).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return "nothing";
    throw error;
  });
  if (sha256 === pin.sha256) return { path, sha256, digest: pin.digest };
  throw new UserError(`${path} is not what was packed of ${pin.image}`, { hint: `rm ${pinFile}` });
}

async function hashOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** What the file says of itself, for its image's id. @throws UserError when it is no such file. */
export async function readManifest(path: string): Promise<z.infer<typeof manifestSchema>> {
  const file = await open(path, "r").catch((cause: unknown) => {
    throw new UserError(`smolvm left no ${path}`, { cause });
  });
  try {
    const { size } = await file.stat();
    const footer = Buffer.alloc(FOOTER_BYTES);
    await file.read(footer, 0, FOOTER_BYTES, Math.max(0, size - FOOTER_BYTES));
    // Of the five numbers from byte 12 on, the last two are where the manifest begins, and its length.
    const [at, length] = [footer.readBigUInt64LE(36), footer.readBigUInt64LE(44)].map(Number);
    const fits =
      at !== undefined && length !== undefined && at + length <= size && length <= MAX_MANIFEST_BYTES;
    if (footer.toString("latin1", 0, MAGIC.length) !== MAGIC || !fits)
      throw new UserError(`${path} is no .smolmachine file`);
    const text = Buffer.alloc(length);
    await file.read(text, 0, length, at);
    const parsed = manifestSchema.safeParse(JSON.parse(text.toString("utf8")));
    if (!parsed.success) throw new UserError(`${path} has no manifest that says what it is`);
    return parsed.data;
  } finally {
    await file.close();
  }
}
