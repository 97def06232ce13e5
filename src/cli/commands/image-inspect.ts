/** `bottle image inspect`. */
import type { OwnImage } from "../../image/engine-store.ts";
import { listImages, type StoredImage } from "../../image/stored-images.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { imageWord } from "../../plan/image-word.ts";
import { bytesText } from "../bytes-text.ts";
import { engineShelf, shelfEntry } from "../engine-images.ts";
import { imageFrom } from "../image-argument.ts";
import { print, printJson } from "../output.ts";

export async function imageInspect(wanted: string, flags: { readonly json?: true }): Promise<number> {
  const [images, shelf] = await Promise.all([listImages(cacheOf()), engineShelf()]);
  const found = images.filter((image) => isMeant(image, wanted));
  const inEngine = (shelf?.images ?? []).filter((image) => isMeantInEngine(image, wanted));
  if (found.length + inEngine.length === 0) {
    throw new UserError(
      `there is no image ${printable(wanted)} in the cache${shelf === undefined ? "" : " or the engine"}`,
      { hint: "bottle image list" },
    );
  }
  if (flags.json) {
    printJson([
      ...found.map(({ record, ...image }) => ({ where: "cache", ...record, ...image })),
      ...inEngine.map(shelfEntry),
    ]);
  } else {
    [...found.map(linesOf), ...inEngine.map(linesOfEngine)].forEach((lines, i) => {
      if (i > 0) print("");
      for (const [title, text] of lines) print(`${title.padEnd(14)}${printable(text, 1_000)}`);
    });
  }
  return 0;
}

function isMeantInEngine({ id, name, digest, word }: OwnImage, wanted: string): boolean {
  const starts = (text: string): boolean => text.replace(/^sha256:/, "").startsWith(wanted);
  if (/^[0-9a-f]{4,64}$/.test(wanted) && (starts(id) || starts(digest))) return true;
  return [id, name, digest].includes(wanted) || word === wordOf(wanted);
}

function linesOfEngine({
  id,
  name,
  digest,
  word,
  bytes,
  madeAt,
  layers,
  env,
  volumes,
}: OwnImage): [string, string][] {
  return [
    ["image", word],
    ["digest", digest],
    ["in the engine", `${name}, ${id}, ${bytesText(bytes)}`],
    ["made", `${madeAt.toISOString()} of ${layers.length} layers`],
    ...volumes.map((place): [string, string] => ["volume", place]),
    ...Object.entries(env).map((each): [string, string] => ["environment", each.join("=")]),
  ];
}

function isMeant({ key, record, names }: StoredImage, wanted: string): boolean {
  if (/^[0-9a-f]{4,64}$/.test(wanted)) {
    if (key.startsWith(wanted) || record.digest.startsWith(`sha256:${wanted}`)) return true;
  }
  if (record.digest === wanted) return true;
  const word = wordOf(wanted);
  return names.includes(word) || record.name === word;
}

function wordOf(text: string): string {
  try {
    return imageWord(imageFrom(text));
  } catch (error) {
    if (error instanceof UserError) return text;
    throw error;
  }
}

function linesOf({
  key,
  record,
  names,
  disk,
  bytes,
  lastWantedAt,
  bottles,
}: StoredImage): [string, string][] {
  const { config } = record;
  const dropped = Object.entries(record.droppedAttributes).map(([name, count]) => `${name} (${count})`);
  return [
    ["image", names.length > 0 ? names.join(", ") : `${record.name}, as it was`],
    ["digest", record.digest],
    ["key", key],
    ["disk", `${disk}, ${bytesText(bytes)} of ${bytesText(record.diskBytes)}`],
    ["made", `${record.createdAt} of ${record.layers} layers with ${record.entries} entries`],
    ["last wanted", lastWantedAt.toISOString()],
    ["tools", record.tools.join(", ") || "none"],
    ["bottles", bottles.join(", ") || "none"],
    ["for", `linux/${config.architecture}`],
    ["user", config.user || "root"],
    ["folder", config.cwd || "/"],
    ["entrypoint", JSON.stringify(config.entrypoint)],
    ["command", JSON.stringify(config.cmd)],
    ...config.env.map((line): [string, string] => ["environment", line]),
    ...(dropped.length === 0 ? [] : [["left out", dropped.join(", ")] as [string, string]]),
  ];
}
