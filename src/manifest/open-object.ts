/** Opens a file that the index lists, after asking who could have written it and where it really lies. */
import type { IndexEntry, ManifestIndex } from "./index-scan.ts";
import { type ObjectFile, readObjectFile, refusedFile } from "./object-file.ts";
import type { ManifestKind } from "./object-schema.ts";
import { containedIn, ownershipFault } from "./trust.ts";

/** `path` is `entry`'s file. */
export function openObject<K extends ManifestKind>(
  index: ManifestIndex,
  kind: K,
  entry: IndexEntry,
  path: string,
): ObjectFile<K> {
  if (entry.source === "repository") {
    const place = containedIn(index.repository ?? "/", path);
    if (place.kind === "outside") {
      return refusedFile(
        path,
        "is a link that leads out of the repository's .bot-bottle: it is not followed",
      );
    }
    return readObjectFile(kind, path, place.kind === "inside" ? place.realPath : path);
  }
  const file = readObjectFile(kind, path);
  const fault = file.stat === undefined ? undefined : ownershipFault(file.stat, path, index.uid);
  return fault === undefined ? file : refusedFile(path, fault);
}
