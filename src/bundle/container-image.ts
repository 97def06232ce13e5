/**
 * Images that are built from this very package. A tag is a hash of what the image is made of, so that a new version of
 * the product never runs an old one, and nothing is built twice, also when two want it at once.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { complaint, type Engine } from "../engine/call.ts";
import { buildImage, imageHasProgram } from "../engine/images.ts";
import { makeOnce } from "../image/engine-store.ts";
import { imageCacheIn } from "../image/image-cache.ts";
import { packEntries } from "../lib/archive/pack-tar.ts";
import { UserError } from "../lib/errors.ts";
import { packagePath } from "../lib/package-root.ts";
import { cacheOf } from "../lib/paths.ts";
import { broughtPipelock } from "./pipelock-program.ts";

/** Another base, for both images: a mirror's, or one made without a network. Node 20.19 or newer must be in it. */
const BASE_VARIABLE = "BOT_BOTTLE_IMAGE_BASE";
/** Of the parts of dist/ that no container runs. */
const LEFT_OUT = /\.map$|^demo/;
/** Pulling a base and installing a few packages. */
const BUILD_MS = 15 * 60_000;

/** By the name that a file has in the build's context: where it is. */
type Context = ReadonlyMap<string, string>;

/** @returns the image's name. @throws UserError with the last of what the build said. */
export async function ensureSidecarsImage(engine: Engine, progress: Progress): Promise<string> {
  const dockerfile = "containers/sidecars.Dockerfile";
  const context = new Map([
    ...(await filesOf(packagePath("dist"), "dist")),
    ["package.json", packagePath("package.json")],
    ...["guest-init.mjs", "guest-look.mjs"].map(
      (name) => [`runtime/${name}`, packagePath(`dist/programs/${name}`)] as const,
    ),
    ...(await terminalLibrary()),
  ]);
  return ensureImage(engine, { repository: "bot-bottle-sidecars", dockerfile, context }, progress);
}

/** The guest of a bottle that names no image of its own. */
export function ensureAgentImage(engine: Engine, progress: Progress): Promise<string> {
  const dockerfile = "containers/agent.Dockerfile";
  return ensureImage(engine, { repository: "bot-bottle-agent", dockerfile, context: new Map() }, progress);
}

/**
 * Whether a contained pipelock is anywhere to be had: the host's, which a Linux host's container can run, or one that
 * the image's base brought. @throws UserError where there is none, before anything of the bottle starts.
 */
export async function refuseWithoutPipelock(engine: Engine, image: string): Promise<void> {
  if (broughtPipelock() !== undefined) return;
  if (await imageHasProgram(engine, image, "pipelock")) return;
  throw new UserError(
    `the bottle has egress.pipelock, and neither this host nor the image ${image} has one`,
    {
      hint: `put pipelock on your PATH (Linux), or name a base image that has it: ${BASE_VARIABLE}=…`,
    },
  );
}

async function ensureImage(
  engine: Engine,
  parts: { readonly repository: string; readonly dockerfile: string; readonly context: Context },
  progress: Progress,
): Promise<string> {
  const base = engine.env[BASE_VARIABLE] ?? "";
  const files: Context = new Map([...parts.context, ["Dockerfile", packagePath(parts.dockerfile)]]);
  const hash = createHash("sha256").update(base);
  for (const [name, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1)))
    hash.update(`${name}\0`).update(await readFile(path));
  const tag = `${parts.repository}:${hash.digest("hex").slice(0, 16)}`;
  const cache = imageCacheIn(cacheOf());
  await makeOnce(engine, { name: tag, word: tag, cache, progress }, async () => {
    progress(`building the image ${tag}`);
    const spec = {
      ...{ file: "Dockerfile", tag, labels: { "bot-bottle.image": parts.repository } },
      args: base === "" ? {} : { BASE: base },
    };
    const entries = [...files].map(([name, path]) => ({
      ...({ kind: "disk", name: Buffer.from(name), path: Buffer.from(path) } as const),
    }));
    // Its sidecars are not the operator, whatever the operator's umask is.
    const result = await buildImage(engine, spec, BUILD_MS, {
      input: packEntries(entries, { readable: true }),
    });
    if (result.code !== 0) throw complaint(engine, ["build"], result);
  });
  return tag;
}

async function filesOf(folder: string, name: string): Promise<readonly (readonly [string, string])[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !LEFT_OUT.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path) => [join(name, path.slice(folder.length + 1)), path] as const);
}

/** node-pty and its prebuilt binary, where the guest's first program finds them. */
async function terminalLibrary(): Promise<readonly (readonly [string, string])[]> {
  const require = createRequire(import.meta.url);
  const found: (readonly [string, string])[] = [];
  for (const name of ["@lydell/node-pty", `@lydell/node-pty-linux-${process.arch}`]) {
    try {
      const folder = dirname(require.resolve(`${name}/package.json`));
      found.push(...(await filesOf(folder, `runtime/node_modules/${name}`)));
    } catch {
      // No prebuilt binary for Linux here: terminals are refused by name, the rest works.
    }
  }
  return found;
}
