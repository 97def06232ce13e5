/**
 * What a bottle can leave behind when everything that would have undone it was killed (I9), found from the
 * names on disk and in the kernel. Running bottles, kept work and logs are never among it.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { backends } from "../backends/registry.ts";
import type { OwnedResource } from "../contract/backend.ts";
import { UserError } from "../lib/errors.ts";
import { isBottleId } from "../lib/names.ts";
import { runtimeDir } from "../lib/paths.ts";
import { removeTree } from "../lib/remove-tree.ts";
import { bottlePaths, listBottleIds, readRecord, writeRecord } from "./bottle-record.ts";
import { tryConnectKeeper } from "./control-client.ts";

export type Leftover =
  | OwnedResource
  | {
      readonly backend: null;
      readonly bottle: string;
      /**
       * - `sockets`: the runtime directory
       * - `unfinished`: a state directory without a usable record: nothing ran in it yet
       * - `crashed`: the parts of a state directory that only a running bottle needs; the workspace stays
       */
      readonly kind: "sockets" | "unfinished" | "crashed";
      readonly name: string;
    };

/** Of a state directory: what only a running bottle needs. */
const TRANSIENT = ["root", "egress-root", "token", "keeper.lock"] as const;

export async function findLeftovers(): Promise<readonly Leftover[]> {
  const running = new Map<string, Promise<boolean>>();
  const isRunning = (id: string): Promise<boolean> => {
    const known =
      running.get(id) ?? tryConnectKeeper(bottlePaths(id), id).then((keeper) => keeper !== undefined);
    running.set(id, known);
    return known;
  };
  const found: Leftover[] = [];
  for (const backend of backends) found.push(...(await backend.enumerate()));
  for (const bottle of (await readdir(runtimeDir())).filter(isBottleId)) {
    found.push({ backend: null, bottle, kind: "sockets", name: join(runtimeDir(), bottle) });
  }
  for (const bottle of await listBottleIds()) {
    const paths = bottlePaths(bottle);
    const record = await readRecord(paths).catch(() => undefined);
    if (record === undefined) found.push({ backend: null, bottle, kind: "unfinished", name: paths.state });
    else if (record.ended === undefined)
      found.push({ backend: null, bottle, kind: "crashed", name: paths.state });
  }
  const orphaned = await Promise.all(found.map(async (leftover) => !(await isRunning(leftover.bottle))));
  return found.filter((_, i) => orphaned[i]);
}

export async function removeLeftover(leftover: Leftover): Promise<void> {
  if (leftover.backend !== null) {
    await backends.find(({ name }) => name === leftover.backend)?.remove(leftover);
    return;
  }
  switch (leftover.kind) {
    case "sockets":
    case "unfinished":
      await removeTree(leftover.name);
      return;
    case "crashed": {
      const paths = bottlePaths(leftover.bottle);
      for (const name of TRANSIENT) await removeTree(join(paths.state, name));
      const record = await readRecord(paths);
      await writeRecord(paths, { ...record, ended: { at: new Date().toISOString(), exit: "crashed" } });
      return;
    }
  }
}

/** Everything of one bottle that does not run, but its log. @throws UserError when there is no such bottle. */
export async function removeBottle(id: string): Promise<void> {
  const paths = bottlePaths(id);
  if ((await tryConnectKeeper(paths, id)) !== undefined) throw new UserError(`bottle ${id} is running`);
  for (const backend of backends) {
    for (const resource of await backend.enumerate())
      if (resource.bottle === id) await backend.remove(resource);
  }
  await removeTree(paths.runtime);
  await removeTree(paths.state);
}
