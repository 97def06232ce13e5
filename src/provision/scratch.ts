/** Files and folders of the host's that live for one step: under the bottle's own directory, gone afterwards. */
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { removeTree } from "../lib/remove-tree.ts";

/** A new 0700 folder below `parent` for the time of `use`. */
export async function withScratchDir<T>(parent: string, use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(parent, ".provision-"));
  try {
    return await use(dir);
  } finally {
    await removeTree(dir);
  }
}

/** A file with this content and mode, in a folder of its own. */
export function withScratchFile<T>(
  parent: string,
  content: string,
  mode: number,
  use: (path: string) => Promise<T>,
): Promise<T> {
  return withScratchDir(parent, async (dir) => {
    const path = join(dir, "file");
    await writeFile(path, content);
    await chmod(path, mode);
    return use(path);
  });
}
