/** A bottle's bundle in a container: a network of its own, and in it, at a pinned address, the sidecars. */
import type { ReserveRequest, SidecarName } from "../contract/backend.ts";
import type { ContainerMount, PublishedPort } from "../engine/commands.ts";
import type { Engine } from "../engine/engine.ts";
import { hostUidOf } from "../jail/host-uid.ts";
import type { Scope } from "../lib/scope.ts";
import { type BundleContainer, runBundleContainer } from "./container.ts";
import { hostNames, openBundleNetwork } from "./container-network.ts";

/**
 * Both go with the scope. What the sidecars are told comes later, over their stdin.
 * @param image of the sidecars.
 * @throws UserError with the engine's words.
 */
export async function openContainedBundle(
  engine: Engine,
  image: string,
  request: Pick<ReserveRequest, "id" | "plan" | "services" | "sidecarHome">,
  link: { readonly mounts?: readonly ContainerMount[]; readonly publish?: readonly PublishedPort[] },
  scope: Scope,
): Promise<BundleContainer> {
  const { id, plan, services } = request;
  const network = await openBundleNetwork(engine, id, scope);
  const home = await (request.sidecarHome ?? { uid: hostUidOf(id, "sidecars"), mounts: [] });
  const daemons: readonly SidecarName[] = plan.pipelock === true ? [...services, "pipelock"] : services;
  return runBundleContainer(
    engine,
    {
      ...{ id, image, daemons },
      network: { kind: "named", name: network.name, address: network.address },
      hosts: hostNames(network),
      publish: link.publish ?? [],
      mounts: [
        ...(link.mounts ?? []),
        ...home.mounts.map(
          ({ from, to, writable }): ContainerMount => ({
            ...{ type: "bind", from, to },
            writable: writable === true,
          }),
        ),
      ],
      uid: home.uid,
    },
    scope,
  );
}
