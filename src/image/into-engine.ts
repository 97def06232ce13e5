/**
 * From where an image comes from to an image of the engine's that a container can be made of. What the engine has already
 * is taken as it is; what a Dockerfile makes, the engine builds; everything else is read and checked here, as it is for
 * a disk, and handed over in the form of `docker save`. The result is an id: what a name stands for may change.
 */
import type { Progress } from "../contract/backend.ts";
import type { ImageSource } from "../contract/image.ts";
import { type Engine, engineInfo } from "../engine/engine.ts";
import { type EngineImage, findImage, loadImages, nameInArchive, removeImage } from "../engine/images.ts";
import { type PackEntry, packEntries } from "../lib/archive/pack-tar.ts";
import { UserError } from "../lib/errors.ts";
import { ownUid } from "../lib/paths.ts";
import { imageWord } from "../plan/image-word.ts";
import { sha256Of } from "./digest.ts";
import { buildDockerfile } from "./dockerfile-image.ts";
import { imageNamed } from "./engine-image.ts";
import { imageLabels, makeOnce, nameInEngine } from "./engine-store.ts";
import { type ImageCache, imageCacheIn, readName, withWorkDir, writeName } from "./image-cache.ts";
import { hostArchitecture } from "./oci-image.ts";
import { openSource, stampOf } from "./open-source.ts";
import type { SourceImage } from "./source-image.ts";
import { configurationOf, unpackLayers } from "./unpacked-layers.ts";

/** Part of every name: raised when the same image would come to another one than before. */
const FORMAT = 1;

export interface IntoEngineRequest {
  readonly source: ImageSource;
  /** The operator's cache folder. */
  readonly cache: string;
  readonly progress: Progress;
  /** Asks the source again, where the last answer would do. */
  readonly refresh?: boolean;
  readonly signal?: AbortSignal;
}

/** @throws UserError when it cannot be had, is malformed or hostile, or is for another processor. */
export async function putIntoEngine(engine: Engine, request: IntoEngineRequest): Promise<EngineImage> {
  await engineInfo(engine);
  const image = await found(engine, request);
  const { architecture } = image;
  if (architecture === "" || architecture === hostArchitecture()) return image;
  throw new UserError(
    `the image ${imageWord(request.source)} is for linux/${architecture}, not linux/${hostArchitecture()}`,
  );
}

async function found(engine: Engine, request: IntoEngineRequest): Promise<EngineImage> {
  const { source, ...rest } = request;
  const cache = imageCacheIn(request.cache);
  switch (source.kind) {
    case "engine":
      return imageNamed(engine, source.name);
    case "dockerfile":
      return buildDockerfile(engine, { ...rest, cache, dockerfile: source.path });
    case "kept":
    case "built-in":
      throw new UserError(`${imageWord(source)} is a disk, and a container has none`, {
        hint: "name another image, or use --backend qemu",
      });
    case "folder":
    case "registry":
    case "oci-layout":
    case "docker-archive":
      return load(engine, cache, request);
  }
}

async function load(engine: Engine, cache: ImageCache, request: IntoEngineRequest): Promise<EngineImage> {
  const { source, progress, signal, refresh = false } = request;
  if (source.kind === "folder" && ownUid() !== 0) {
    throw new UserError(`whose files in ${source.path} are root's cannot be told by an ordinary user`, {
      hint: "make an archive or an OCI layout of it, with owners, and name that",
    });
  }
  const word = imageWord(source);
  // Where that tells that nothing has changed, it need not be read again.
  const stamp = await stampOf(source);
  const known = await readName(cache, word);
  if (known !== undefined && stamp !== undefined && known.stamp === stamp && !refresh) {
    const image = await findImage(engine, nameOf(known.digest));
    if (image !== undefined) return image;
  }
  return withWorkDir(cache, async (workDir) => {
    const image = await openSource(source, { cache, workDir, progress, refresh, ...(signal && { signal }) });
    const name = nameOf(image.digest);
    const made = await makeOnce(engine, { ...request, cache, name, word }, () =>
      handOver(engine, { image, name, word, workDir, progress, ...(signal && { signal }) }),
    );
    const resolvedAt = new Date().toISOString();
    await writeName(cache, { name: word, digest: image.digest, stamp: stamp ?? "", resolvedAt });
    return made;
  });
}

function nameOf(digest: string): string {
  return nameInEngine(sha256Of(JSON.stringify([FORMAT, digest])).slice("sha256:".length));
}

interface HandingOver {
  readonly image: SourceImage;
  readonly name: string;
  readonly word: string;
  readonly workDir: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

async function handOver(
  engine: Engine,
  { image, name, word, workDir, progress, signal }: HandingOver,
): Promise<void> {
  progress(`unpacking ${image.layers.length} layers`);
  const layers = await unpackLayers(image, workDir, signal);
  progress(`loading ${word} into ${engine.program}`);
  const config = JSON.stringify(configurationOf(image, layers, imageLabels(word, image.digest)));
  const configName = `${sha256Of(config).slice("sha256:".length)}.json`;
  const nameIn = (i: number): string => `${i}/layer.tar`;
  const manifest = [
    { Config: configName, RepoTags: [nameInArchive(engine, name)], Layers: layers.map((_, i) => nameIn(i)) },
  ];
  const file = (at: string, text: string): PackEntry => ({
    ...({ kind: "content", mode: 0o644 } as const),
    ...{ name: Buffer.from(at), content: Buffer.from(text) },
  });
  const entries: readonly PackEntry[] = [
    file(configName, config),
    ...layers.map(({ file: path }, i): PackEntry => {
      return { kind: "disk", name: Buffer.from(nameIn(i)), path: Buffer.from(path) };
    }),
    file("manifest.json", JSON.stringify(manifest)),
  ];
  await loadImages(engine, { input: packEntries(entries), ...(signal && { signal }) });
  const there = await findImage(engine, name);
  if (JSON.stringify(there?.layers) === JSON.stringify(layers.map(({ digest }) => digest))) return;
  await removeImage(engine, name);
  throw new UserError(`${engine.program} made something else of ${word} than what was handed to it`);
}
