/** Every kind of source, opened. */
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import type { ImageSource } from "../contract/image.ts";
import { ArchiveError } from "../lib/archive/tar-format.ts";
import { UserError } from "../lib/errors.ts";
import { fileStamp } from "../lib/file-stamp.ts";
import { imageWord } from "../plan/image-word.ts";
import { readArchive } from "./archive-image.ts";
import { buildRecipe, recipeStamp } from "./built-in-recipe.ts";
import { dockerfileStamp, engineImageId, readBuiltImage, readEngineImage } from "./engine-image.ts";
import { readFolder } from "./folder-image.ts";
import type { ImageCache } from "./image-cache.ts";
import { folderFiles, readLayout } from "./layout-image.ts";
import { readRegistryImage } from "./registry/registry-image.ts";
import type { SourceImage } from "./source-image.ts";

export interface OpenOptions {
  readonly cache: ImageCache;
  /** For what has to be unpacked first; gone when the image was applied. */
  readonly workDir: string;
  readonly progress: Progress;
  /** What is made here is made anew. */
  readonly refresh: boolean;
  readonly signal?: AbortSignal;
}

/** @throws UserError when it cannot be had or is malformed. */
export async function openSource(source: ImageSource, options: OpenOptions): Promise<SourceImage> {
  const { cache, workDir, progress, signal } = options;
  try {
    switch (source.kind) {
      case "folder":
        progress(`reading ${source.path}`);
        return await readFolder(source.path, signal);
      case "docker-archive":
        progress(`reading ${source.path}`);
        return await readArchive(source.path, source.ref, workDir, signal);
      case "engine":
        return await readEngineImage(source.name, workDir, progress, signal);
      case "dockerfile":
        return await readBuiltImage({
          ...{ dockerfile: source.path, cache, workDir, progress, refresh: options.refresh },
          ...(signal && { signal }),
        });
      case "oci-layout":
        return await readLayout(folderFiles(source.path), source.ref);
      case "built-in":
        return await buildRecipe({
          cache,
          workDir,
          progress,
          refresh: options.refresh,
          ...(signal && { signal }),
        });
      case "registry":
        return await readRegistryImage(source, { cache, workDir, progress, ...(signal && { signal }) });
      case "kept":
        throw new Error("a kept disk is not made");
    }
  } catch (error) {
    if (!(error instanceof ArchiveError)) throw error;
    throw new UserError(`${imageWord(source)} is refused: ${error.message}`, { cause: error });
  }
}

/**
 * What stays the same while the source does, found without reading it; undefined when only reading it tells. A name
 * in a registry is asked for once, and again by `bottle image build`.
 */
export async function stampOf(source: ImageSource): Promise<string | undefined> {
  switch (source.kind) {
    case "registry":
      return "";
    case "built-in":
      return recipeStamp();
    case "engine":
      return engineImageId(source.name);
    case "dockerfile":
      return dockerfileStamp(source.path);
    case "docker-archive":
      return fileStamp(source.path);
    case "oci-layout":
      return fileStamp(join(source.path, "index.json"));
    case "folder":
    case "kept":
      return undefined;
  }
}
