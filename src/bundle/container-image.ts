/**
 * The image of the bundle's container, built from this very package. Its tag is a hash of what it is made of, so that a
 * new version of the product never runs old sidecars, and nothing is built twice.
 */
import { createHash } from "node:crypto";
import { cp, mkdtemp, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Progress } from "../contract/backend.ts";
import { buildImage, type Engine, imageId } from "../engine/engine.ts";
import { packagePath } from "../lib/package-root.ts";
import { removeTree } from "../lib/remove-tree.ts";

const REPOSITORY = "bot-bottle-sidecars";
/** Another base: a mirror's, or one that was made without a network. It must have Node 20.19 or newer. */
const BASE_VARIABLE = "BOT_BOTTLE_SIDECAR_BASE";
const DOCKERFILE = "containers/sidecars.Dockerfile";
/** Of the parts of dist/ that a sidecar never runs. */
const LEFT_OUT = /\.map$|^demo/;

/** @returns the image's name. @throws UserError with the last of what the build said. */
export async function ensureSidecarsImage(engine: Engine, progress: Progress): Promise<string> {
  const base = engine.env[BASE_VARIABLE];
  const names = await contents();
  const hash = createHash("sha256").update(base ?? "");
  for (const name of names) hash.update(`${name}\0`).update(await readFile(packagePath(name)));
  const tag = `${REPOSITORY}:${hash.digest("hex").slice(0, 16)}`;
  if ((await imageId(engine, tag)) !== undefined) return tag;
  progress(`building the sidecars' image ${tag}`);
  const context = await mkdtemp(join(tmpdir(), "bot-bottle-context-"));
  try {
    for (const name of names) await cp(packagePath(name), join(context, name), { recursive: true });
    await buildImage(engine, {
      context,
      file: join(context, DOCKERFILE),
      tag,
      labels: { "bot-bottle.image": "sidecars" },
      args: base === undefined || base === "" ? {} : { BASE: base },
    });
    return tag;
  } finally {
    await removeTree(context);
  }
}

/** Paths in the package, in a stable order. */
async function contents(): Promise<readonly string[]> {
  const built = await readdir(packagePath("dist"), { recursive: true, withFileTypes: true });
  const files = built
    .filter((entry) => entry.isFile() && !LEFT_OUT.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(packagePath("").length + 1));
  return [DOCKERFILE, "package.json", ...files.sort()];
}
