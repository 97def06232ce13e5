/** Which bottles' disks stand on a disk of the cache: it is not removed while one of them is there. */
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isBottleId } from "../lib/names.ts";
import { namesIn, statOf } from "../lib/on-disk.ts";
import { makePrivateDir, writeFileAtomic } from "../lib/paths.ts";
import type { RootImage } from "./root-disk.ts";

const USERS = "bottles";

/** Says that a bottle's disk stands on this one, for as long as the bottle's folder `stateDir` is there. */
export async function holdRootImage(root: Pick<RootImage, "disk">, stateDir: string): Promise<void> {
  const users = join(dirname(root.disk), USERS);
  await makePrivateDir(users);
  await writeFileAtomic(join(users, basename(stateDir)), stateDir);
}

/** Ids of the bottles that are still there, running or kept. `dir`: the disk's own folder. */
export async function usersOf(dir: string): Promise<readonly string[]> {
  const users = join(dir, USERS);
  const held = (await namesIn(users)).filter(isBottleId).map(async (id) => {
    const stateDir = await readFile(join(users, id), "utf8");
    return (await statOf(stateDir)) !== undefined ? [id] : [];
  });
  return (await Promise.all(held)).flat();
}
