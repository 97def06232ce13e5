/** `bottle image build`: what a start would do first, done now. */
import { type Engine, findEngine } from "../../engine/engine.ts";
import { putIntoEngine } from "../../image/into-engine.ts";
import { DEFAULT_DISK_BYTES, prepareRootImage } from "../../image/root-image.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { diskSize } from "../../manifest/scalars.ts";
import { imageWord } from "../../plan/image-word.ts";
import { providerNamed } from "../../providers/registry.ts";
import { imageFrom } from "../image-argument.ts";
import { print, printJson, progressLine } from "../output.ts";

export interface ImageBuildFlags {
  readonly provider: string;
  readonly disk?: string;
  /** For containers: no disk is made. */
  readonly engine?: true;
  readonly json?: true;
}

export async function imageBuild(image: string | undefined, flags: ImageBuildFlags): Promise<number> {
  const source = imageFrom(image ?? "built-in");
  const provider = providerNamed(flags.provider);
  const diskBytes = flags.disk === undefined ? DEFAULT_DISK_BYTES : diskBytesFrom(flags.disk);
  const progress = progressLine();
  const stop = new AbortController();
  const interrupt = (): void =>
    stop.abort(new UserError("interrupted; what was downloaded is kept", { exitCode: 130 }));
  process.once("SIGINT", interrupt);
  process.once("SIGTERM", interrupt);
  try {
    const cache = cacheOf();
    if (flags.engine) {
      const asked = { source, cache, progress: progress.show, refresh: true, signal: stop.signal };
      const { id, tags, bytes, layers } = await putIntoEngine(theEngine(), asked);
      progress.clear();
      if (flags.json) printJson({ name: imageWord(source), id, tags, bytes, layers });
      else print(id);
      return 0;
    }
    const tools = await provider.install(cache, progress.show, stop.signal);
    const root = await prepareRootImage(
      { source, tools, cache, diskBytes, refresh: true },
      progress.show,
      stop.signal,
    );
    progress.clear();
    if (flags.json) printJson(root);
    else print(root.digest);
    return 0;
  } finally {
    progress.clear();
    process.off("SIGINT", interrupt);
    process.off("SIGTERM", interrupt);
  }
}

function theEngine(): Engine {
  const engine = findEngine();
  if (engine !== undefined) return engine;
  throw new UserError("there is no docker-compatible engine", { hint: "bottle doctor" });
}

function diskBytesFrom(text: string): number {
  const parsed = diskSize.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new UserError(`--disk ${parsed.error.issues[0]?.message ?? "is no size"}`, { exitCode: 2 });
}
