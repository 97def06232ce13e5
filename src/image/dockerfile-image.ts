/**
 * An image that the operator's own Dockerfile makes, built by the engine once for each content: of the Dockerfile, of
 * the folder it lies in, and of the images that it stands on. Its name in the engine is a hash of those, so it is there
 * whole or not at all, and what is there is what was asked for.
 *
 * The build is the engine's: it runs on the operator's machine, with the engine's network and without the bottle's walls.
 */
import { createHash } from "node:crypto";
import type { Progress } from "../contract/backend.ts";
import { type Engine, engineInfo } from "../engine/engine.ts";
import { buildImage, type EngineImage, findImage, pullImage, removeImage } from "../engine/images.ts";
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { type BuildContext, contextDigest, openContext } from "./build-context.ts";
import { basesOf, type Instruction, instructionsOf } from "./dockerfile-text.ts";
import { imageLabels, makeOnce, nameInEngine } from "./engine-store.ts";
import type { ImageCache } from "./image-cache.ts";

/** Part of every name: raised when the same inputs would come to another image than before. */
const FORMAT = 1;
/** A compiler that is compiled in a step. */
const BUILD_MS = 2 * 60 * 60_000;
/** Of what a failed step said. */
const SHOWN_LINES = 5;

export interface DockerfileRequest {
  readonly dockerfile: string;
  readonly cache: ImageCache;
  readonly progress: Progress;
  /** Asks registries anew for the images it stands on. */
  readonly refresh?: boolean;
  readonly signal?: AbortSignal;
}

/** What its image would be called now. @throws UserError */
export async function dockerfileName(engine: Engine, dockerfile: string): Promise<string> {
  return nameOf(engine, openContext(dockerfile));
}

/** @throws UserError naming the step that failed, and where in the Dockerfile that is. */
export async function buildDockerfile(engine: Engine, request: DockerfileRequest): Promise<EngineImage> {
  const { dockerfile, progress, signal } = request;
  await engineInfo(engine);
  const context = openContext(dockerfile);
  await fetchBases(engine, context, request);
  const name = await nameOf(engine, context, signal);
  return makeOnce(engine, { ...request, name, word: `dockerfile:${dockerfile}` }, async () => {
    progress(`building ${dockerfile}, once`);
    const steps = instructionsOf(context.text);
    let at: Step | undefined;
    const result = await buildImage(
      engine,
      { file: context.file, tag: name, labels: imageLabels(`dockerfile:${dockerfile}`, name), args: {} },
      BUILD_MS,
      {
        input: context.pack(),
        ...(signal && { signal }),
        onLine(line) {
          const step = stepIn(line);
          if (step === undefined) return;
          at = step;
          progress(`building: step ${step.number} of ${step.of}: ${printable(step.text)}`);
        },
      },
    );
    if (result.code !== 0) throw failure(dockerfile, at, steps, result.stderr);
    // What was read for the name may have been changed before it was read for the build.
    if ((await nameOf(engine, context, signal)) === name) return;
    await removeImage(engine, name);
    throw new UserError(`${dockerfile}, or what lies beside it, was changed while it was built`, {
      hint: "start it again",
    });
  });
}

async function nameOf(engine: Engine, context: BuildContext, signal?: AbortSignal): Promise<string> {
  const bases = basesOf(instructionsOf(context.text));
  const ids = await Promise.all(bases.map(async (base) => (await findImage(engine, base))?.id ?? null));
  const inputs = [FORMAT, await contextDigest(context, signal), context.file, bases, ids];
  return nameInEngine(createHash("sha256").update(JSON.stringify(inputs)).digest("hex"));
}

/** So that it is known which they are. One that cannot be had is for the build to stumble over. */
async function fetchBases(engine: Engine, context: BuildContext, request: DockerfileRequest): Promise<void> {
  for (const base of basesOf(instructionsOf(context.text))) {
    request.signal?.throwIfAborted();
    if (request.refresh !== true && (await findImage(engine, base)) !== undefined) continue;
    request.progress(`fetching ${printable(base)}`);
    await pullImage(engine, base);
  }
}

interface Step {
  readonly number: string;
  readonly of: string;
  readonly text: string;
}

/** `Step 2/7 : RUN …` of docker, `STEP 2/7: RUN …` of podman, `#8 [build 2/7] RUN …` of docker's newer builder. */
function stepIn(line: string): Step | undefined {
  const [, number, of, text] =
    /^(?:\[\d+\/\d+\] )?step (\d+)\/(\d+) ?: (.+)/i.exec(line) ??
    /^#\d+ \[(?:\S+ )?\s*(\d+)\/(\d+)\] (.+)/.exec(line) ??
    [];
  if (number === undefined || of === undefined || text === undefined) return undefined;
  return { number, of, text: text.replace(/\s+/g, " ").trim() };
}

function failure(
  dockerfile: string,
  at: Step | undefined,
  steps: readonly Instruction[],
  said: string,
): UserError {
  // Colours of theirs.
  const lines = said
    .replace(/\u001b\[[0-9;]*m/g, "")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !IDLE_TALK.test(line));
  const words = lines.slice(-SHOWN_LINES).map((line) => printable(line));
  const line = steps.find(({ keyword, words }) => `${keyword} ${words}` === at?.text)?.line;
  const place = line === undefined ? dockerfile : `${dockerfile}:${line}`;
  const step = at === undefined ? "" : `, step ${at.number} of ${at.of} (${printable(at.text)})`;
  return new UserError(`${place} cannot be built${step}\n  ${words.join("\n  ")}`, {
    hint: "nothing was kept of it but what the engine remembers of the steps before; mend it and start again",
  });
}

/** Of docker's older builder, about itself. */
const IDLE_TALK =
  /^DEPRECATED: The legacy builder|^Install the buildx component|^https:\/\/docs\.docker\.com\/go\/buildx|^---> |^Removing intermediate container|^Sending build context/;
