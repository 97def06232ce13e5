/**
 * Images that are put into an engine for guests: named by what went into them, labelled with whose they are and what the
 * operator calls them. So they are found again without any memory, and nothing is made twice.
 */
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import type { Engine } from "../engine/engine.ts";
import { type EngineImage, findImage, listImages } from "../engine/images.ts";
import { HOME_LABEL, ownLabel } from "../engine/labels.ts";
import { acquireLock } from "../lib/lock-file.ts";
import { homeMark, makePrivateDir } from "../lib/paths.ts";
import type { ImageCache } from "./image-cache.ts";

const REPOSITORY = "bot-bottle-image";
/** What the operator calls it. */
const WORD_LABEL = "bot-bottle.image.of";
/** Of its content where it came from; of a built one, of all that it was built from. */
const DIGEST_LABEL = "bot-bottle.image.digest";
const MADE_LABEL = "bot-bottle.image.made";

/**
 * Homes do not share names: what one removes is no other's.
 * @param key hex digits of a hash. All of them: of two images by one stranger half a hash could be made the same, and what
 *   was looked at would not be what runs.
 */
export function nameInEngine(key: string): string {
  return `${REPOSITORY}:${homeMark()}-${key}`;
}

export function imageLabels(word: string, digest: string): Readonly<Record<string, string>> {
  return {
    "bot-bottle.image": REPOSITORY,
    [HOME_LABEL]: homeMark(),
    [WORD_LABEL]: word,
    [DIGEST_LABEL]: digest,
    [MADE_LABEL]: new Date().toISOString(),
  };
}

export interface OwnImage extends EngineImage {
  readonly name: string;
  readonly word: string;
  readonly digest: string;
  readonly madeAt: Date;
}

/** Of this home, the youngest first. @throws UserError */
export async function ownImages(engine: Engine): Promise<readonly OwnImage[]> {
  const found = await listImages(engine, ownLabel());
  return found
    .flatMap((image) => {
      const name = image.tags
        .map((tag) => tag.replace(/^localhost\//, ""))
        .find((tag) => tag.startsWith(REPOSITORY));
      const { [WORD_LABEL]: word, [DIGEST_LABEL]: digest, [MADE_LABEL]: made } = image.labels;
      if (name === undefined || word === undefined || digest === undefined) return [];
      return [{ ...image, name, word, digest, madeAt: new Date(made ?? 0) }];
    })
    .sort((a, b) => b.madeAt.getTime() - a.madeAt.getTime());
}

export interface MakeRequest {
  readonly name: string;
  readonly word: string;
  readonly cache: ImageCache;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** What the engine has of that name, made first where it has nothing. @throws what `make` throws. */
export async function makeOnce(
  engine: Engine,
  { name, word, cache, progress, signal }: MakeRequest,
  make: () => Promise<void>,
): Promise<EngineImage> {
  const there = await findImage(engine, name);
  if (there !== undefined) return there;
  await makePrivateDir(cache.engine);
  const lock = await acquireLock(join(cache.engine, `${name.split(":").at(-1)}.lock`), {
    waitMs: Number.POSITIVE_INFINITY,
    onWait: ({ pid }) => progress(`waiting for process ${pid}, which makes the image ${word}`),
    ...(signal && { signal }),
  });
  try {
    const made = await findImage(engine, name);
    if (made !== undefined) return made;
    await make();
    const found = await findImage(engine, name);
    if (found === undefined) throw new Error(`the engine has no ${name}, which was just made`);
    return found;
  } finally {
    await lock.release();
  }
}
