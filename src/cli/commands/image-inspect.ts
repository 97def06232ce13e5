/** `bottle image inspect`. */
import { listImages, type StoredImage } from "../../image/stored-images.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { imageWord } from "../../plan/image-word.ts";
import { bytesText } from "../bytes-text.ts";
import { imageFrom } from "../image-argument.ts";
import { print, printJson } from "../output.ts";

export async function imageInspect(wanted: string, flags: { readonly json?: true }): Promise<number> {
  const images = await listImages(cacheOf());
  const found = images.filter((image) => isMeant(image, wanted));
  if (found.length === 0) {
    throw new UserError(`there is no image ${printable(wanted)} in the cache`, { hint: "bottle image list" });
  }
  if (flags.json) printJson(found.map(({ record, ...image }) => ({ ...record, ...image })));
  else
    found.forEach((image, i) => {
      if (i > 0) print("");
      for (const [title, text] of linesOf(image)) print(`${title.padEnd(14)}${printable(text, 1_000)}`);
    });
  return 0;
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
