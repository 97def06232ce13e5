/** `bottle image prune`. */

import { basename } from "node:path";
import { cachedParts } from "../../backends/registry.ts";
import type { CachedPart } from "../../contract/backend.ts";
import { removeImage } from "../../engine/images.ts";
import { keptImage, removeKept } from "../../image/kept-image.ts";
import { JUST_WANTED_MS, type Pruned, pruneImages } from "../../image/stored-images.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { confirm } from "../ask.ts";
import { bytesText } from "../bytes-text.ts";
import { type EngineShelf, engineShelf } from "../engine-images.ts";
import { imageFrom } from "../image-argument.ts";
import { print, printJson, tell } from "../output.ts";
import { neededImages, wantedImages } from "../wanted-images.ts";

export interface ImagePruneFlags {
  readonly dryRun?: true;
  readonly yes?: true;
  readonly json?: true;
}

export async function imagePrune(kept: readonly string[], flags: ImagePruneFlags): Promise<number> {
  if (kept.length > 0) return pruneKept(kept, flags);
  const request = { cache: cacheOf(), wanted: wantedImages() };
  const prune = async (dryRun: boolean): Promise<readonly Pruned[]> => {
    const needed = await neededImages(request.wanted);
    const old = (await cachedParts(needed)).filter(({ isOld }) => isOld);
    if (!dryRun) for (const { path } of old) await removeTree(path);
    const shelf = await engineShelf();
    return [
      ...(await pruneImages({ ...request, dryRun })),
      ...old.map(inShort),
      ...(shelf === undefined ? [] : await pruneShelf(shelf, needed, dryRun)),
    ];
  };
  const found = await prune(true);
  if (flags.json && (flags.dryRun || found.length === 0)) printJson(found);
  else if (found.length === 0)
    tell("nothing to remove: every image is wanted by a bottle, a manifest or just now");
  else if (!flags.json) show(found);
  if (flags.dryRun || found.length === 0) return 0;
  const total = bytesText(found.reduce((all, { bytes }) => all + bytes, 0));
  if (
    !flags.yes &&
    !(await confirm(`remove these ${found.length} (${total})?`, "add --yes to remove without being asked"))
  ) {
    return 0;
  }
  const removed = await prune(false);
  if (flags.json) printJson(removed);
  else tell(`removed ${removed.length}`);
  return 0;
}

function inShort({ what, path, bytes }: CachedPart): Pruned {
  return { what: `${what} ${basename(path)}`, bytes };
}

/** All but the youngest of what somebody wants. What a container is made of, the engine keeps. */
async function pruneShelf(
  { engine, images }: EngineShelf,
  wanted: ReadonlySet<string>,
  dryRun: boolean,
): Promise<readonly Pruned[]> {
  const current = new Set<string>();
  const pruned: Pruned[] = [];
  for (const { name, word, digest, bytes, madeAt } of images) {
    const isCurrent = wanted.has(word) && !current.has(word);
    current.add(word);
    if (isCurrent || Date.now() - madeAt.getTime() < JUST_WANTED_MS) continue;
    if (!dryRun && (await removeImage(engine, name)) !== undefined) continue;
    pruned.push({ what: `${word} ${digest}, in the engine`, bytes });
  }
  return pruned;
}

/** By name, one after the other. */
async function pruneKept(words: readonly string[], flags: ImagePruneFlags): Promise<number> {
  const names = words.map((word) => {
    const source = imageFrom(word);
    if (source.kind === "kept") return source.name;
    throw new UserError(`${printable(word)} is nothing that bottle commit kept`, {
      hint: "name those as kept:<name>; without a name everything goes that nobody needs",
      exitCode: 2,
    });
  });
  for (const name of names) await keptImage(cacheOf(), name);
  if (flags.dryRun) {
    if (flags.json) printJson(names.map((name) => ({ what: `kept:${name}` })));
    else for (const name of names) print(`kept:${name}`);
    return 0;
  }
  const question = `remove ${names.join(", ")} for good?`;
  if (!flags.yes && !(await confirm(question, "add --yes to remove without being asked"))) return 0;
  for (const name of names) await removeKept(cacheOf(), name);
  if (flags.json) printJson(names.map((name) => ({ what: `kept:${name}` })));
  else tell(`removed ${names.length}`);
  return 0;
}

function show(pruned: readonly Pruned[]): void {
  for (const { what, bytes } of pruned) print(`${bytesText(bytes).padStart(9)}  ${printable(what)}`);
}
