/**
 * An image that only a docker-compatible engine of this host's has, read as what it saves: the archive goes with the folder
 * that it was written to.
 */
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { type Engine, findEngine } from "../engine/engine.ts";
import { type EngineImage, findImage, saveImage } from "../engine/images.ts";
import { UserError } from "../lib/errors.ts";
import { readArchive } from "./archive-image.ts";
import { buildDockerfile, type DockerfileRequest, dockerfileName } from "./dockerfile-image.ts";
import type { SourceImage } from "./source-image.ts";

/** @param workDir whoever gives it removes it. @throws UserError when there is no engine, or it has no such image. */
export async function readEngineImage(
  name: string,
  workDir: string,
  progress: Progress,
  signal?: AbortSignal,
): Promise<SourceImage> {
  const engine = engineFor(name);
  return readSaved(engine, await imageNamed(engine, name), name, {
    workDir,
    progress,
    ...(signal && { signal }),
  });
}

/** What the Dockerfile makes, built first where it is not there. @throws UserError likewise, and when it cannot be built. */
export async function readBuiltImage(
  request: DockerfileRequest & { readonly workDir: string },
): Promise<SourceImage> {
  const { dockerfile } = request;
  const engine = engineFor(dockerfile);
  return readSaved(engine, await buildDockerfile(engine, request), dockerfile, request);
}

interface Reading {
  readonly workDir: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

async function readSaved(
  engine: Engine,
  { id }: EngineImage,
  name: string,
  { workDir, progress, signal }: Reading,
): Promise<SourceImage> {
  progress(`reading ${name} from ${engine.program}`);
  const archive = join(workDir, "saved.tar");
  // By its id: what it is called may be another one a moment later.
  await saveImage(engine, id, archive);
  return readArchive(archive, undefined, workDir, signal);
}

/** Its id, by which it is the same image wherever it is. @throws UserError likewise */
export async function engineImageId(name: string): Promise<string> {
  return (await imageNamed(engineFor(name), name)).id;
}

/** The same while the Dockerfile, its folder and what it stands on are. @throws UserError likewise */
export function dockerfileStamp(dockerfile: string): Promise<string> {
  return dockerfileName(engineFor(dockerfile), dockerfile);
}

function engineFor(name: string): Engine {
  const engine = findEngine();
  if (engine !== undefined) return engine;
  throw new UserError(`there is no docker-compatible engine to have ${name}`, {
    hint: "start one, or name the image another way: bottle image --help",
  });
}

/** @throws UserError */
export async function imageNamed(engine: Engine, name: string): Promise<EngineImage> {
  const image = await findImage(engine, name);
  if (image !== undefined) return image;
  throw new UserError(`${engine.program} has no image ${name}`, {
    hint: `${engine.program} image ls; for one in a registry leave docker-daemon: out`,
  });
}
