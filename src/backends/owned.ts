/**
 * What the backends have of bottles. Apart from the backends themselves, which are much to load for who only looks.
 */
import type { Looking, OwnedResource } from "../contract/backend.ts";
import type { BackendName } from "../contract/isolation.ts";
import { enumerateOfEngine } from "./docker/owned.ts";
import { enumerateGroups } from "./namespace/owned.ts";

type Look = (looking?: Looking) => Promise<readonly OwnedResource[]>;

/** `qemu` has nothing: what it makes is in the bottle's own folders, and ends with its keeper. */
const LOOKS: Readonly<Record<Exclude<BackendName, "qemu">, Look>> = {
  namespace: enumerateGroups,
  docker: enumerateOfEngine,
  smolmachines: async (looking) => (await import("./smolmachines/leftovers.ts")).enumerateMachines(looking),
};

/**
 * Everything of every bottle that any backend has.
 * @param onFailure told of a backend that cannot be asked; it fails the whole look when absent.
 */
export async function ownedResources(
  looking: Looking = {},
  onFailure?: (backend: string, error: unknown) => void,
): Promise<readonly OwnedResource[]> {
  const looks = Object.entries(LOOKS).map(async ([backend, look]) => {
    try {
      return await look(looking);
    } catch (error) {
      if (onFailure === undefined) throw error;
      onFailure(backend, error);
      return [];
    }
  });
  return (await Promise.all(looks)).flat();
}
