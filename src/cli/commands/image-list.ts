/** `bottle image list`. */
import { cachedParts } from "../../backends/registry.ts";
import type { CachedPart } from "../../contract/backend.ts";
import { listImages } from "../../image/stored-images.ts";
import { UserError } from "../../lib/errors.ts";
import { cacheOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { bytesText } from "../bytes-text.ts";
import { engineShelf, shelfEntry } from "../engine-images.ts";
import { printJson, printTable, tell } from "../output.ts";
import { neededImages, wantedImages } from "../wanted-images.ts";

export async function imageList(flags: { readonly json?: true }): Promise<number> {
  const [images, shelf] = await Promise.all([listImages(cacheOf()), engineShelf()]);
  const inEngine = shelf?.images ?? [];
  if (flags.json) {
    printJson([
      ...images.map(({ record, ...image }) => ({ where: "cache", ...record, ...image })),
      ...inEngine.map(shelfEntry),
    ]);
    return 0;
  }
  if (images.length + inEngine.length === 0) tell("no images; bottle image build makes one");
  else {
    printTable(
      ["KEY", "IMAGE", "DIGEST", "SIZE", "DISK", "TOOLS", "LAST WANTED", "BOTTLES"],
      [
        ...images.map(({ key, record, names, bytes, lastWantedAt, bottles }) => [
          key.slice(0, 12),
          printable(names[0] ?? record.name),
          record.digest.slice(0, 19),
          bytesText(bytes),
          bytesText(record.diskBytes),
          record.tools.map((to) => to.split("/").at(-1) ?? to).join(",") || "-",
          lastWantedAt.toISOString().slice(0, 16),
          bottles.join(",") || "-",
        ]),
        ...inEngine.map(({ id, word, digest, bytes, madeAt }) => [
          id.replace(/^sha256:/, "").slice(0, 12),
          printable(word),
          digest.slice(0, 19),
          bytesText(bytes),
          "in the engine",
          "-",
          madeAt.toISOString().slice(0, 16),
          "-",
        ]),
      ],
    );
  }
  const parts = await cachedParts(await needed());
  if (parts.length > 0) {
    const old = parts.filter(({ isOld }) => isOld);
    tell(
      `besides: ${parts.length} parts of machines, ${bytesText(sum(parts))}; ${old.length} of them old, ${bytesText(sum(old))}: bottle image prune`,
    );
  }
  return 0;
}

/** Undefined while a manifest cannot be read: then everything may be. */
async function needed(): Promise<ReadonlySet<string> | undefined> {
  try {
    return await neededImages(wantedImages());
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

function sum(parts: readonly CachedPart[]): number {
  return parts.reduce((all, { bytes }) => all + bytes, 0);
}
