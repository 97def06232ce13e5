/**
 * An image that only a docker-compatible engine of this host's has, read as what it saves: nothing is left in the engine,
 * and the archive goes with the folder that it was written to.
 */
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { type Engine, findEngine, imageId, saveImage } from "../engine/engine.ts";
import { UserError } from "../lib/errors.ts";
import { readArchive } from "./archive-image.ts";
import type { SourceImage } from "./source-image.ts";

/** @param workDir whoever gives it removes it. @throws UserError when there is no engine, or it has no such image. */
export async function readEngineImage(
  name: string,
  workDir: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<SourceImage> {
  const { engine, id } = await find(name);
  progress(`reading ${name} from ${engine.program}`);
  const archive = join(workDir, "saved.tar");
  // By its id: what it is called may be another one a moment later.
  await saveImage(engine, id, archive);
  return readArchive(archive, undefined, workDir, signal);
}

/** Its id, by which it is the same image wherever it is. @throws UserError likewise */
export async function engineImageId(name: string): Promise<string> {
  return (await find(name)).id;
}

async function find(name: string): Promise<{ readonly engine: Engine; readonly id: string }> {
  const engine = findEngine();
  if (engine === undefined)
    throw new UserError(`there is no docker-compatible engine to have ${name}`, {
      hint: "start one, or name the image another way: bottle image --help",
    });
  const id = await imageId(engine, name);
  if (id !== undefined) return { engine, id };
  throw new UserError(`${engine.program} has no image ${name}`, {
    hint: `${engine.program} image ls; for one in a registry leave docker-daemon: out`,
  });
}
