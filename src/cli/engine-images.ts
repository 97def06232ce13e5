/** What a docker-compatible engine of this host has for guests of this home, where there is one that answers. */
import { type Engine, engineInfo, findEngine } from "../engine/engine.ts";
import { type OwnImage, ownImages } from "../image/engine-store.ts";
import { UserError } from "../lib/errors.ts";

export interface EngineShelf {
  readonly engine: Engine;
  readonly images: readonly OwnImage[];
}

/** Undefined when there is no engine, or none that answers: of it, nothing can be said. */
export async function engineShelf(): Promise<EngineShelf | undefined> {
  const engine = findEngine();
  if (engine === undefined) return undefined;
  try {
    await engineInfo(engine);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
  return { engine, images: await ownImages(engine) };
}

/** For programs. */
export function shelfEntry({ name, id, word, digest, bytes, madeAt, env, layers }: OwnImage) {
  return {
    where: "engine",
    key: name,
    id,
    name: word,
    names: [word],
    digest,
    bytes,
    createdAt: madeAt,
    env,
    layers: layers.length,
  };
}
