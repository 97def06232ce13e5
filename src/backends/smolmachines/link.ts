/**
 * How a machine gets to its bundle, made: a room, sockets or an address of its own, by its way; and behind that the
 * sidecars, as processes of this host or in a container whose ports are published on the bottle's own address alone.
 */
import { platform as hostPlatform } from "node:os";
import { openContainedBundle } from "../../bundle/contained-bundle.ts";
import type { BundleContainer } from "../../bundle/container.ts";
import {
  type Endpoint,
  type Link,
  type ReserveRequest,
  SERVICE_PORTS,
  type ServiceName,
} from "../../contract/backend.ts";
import type { Engine } from "../../engine/engine.ts";
import { openLink } from "../../jail/inside-listeners.ts";
import type { Scope } from "../../lib/scope.ts";
import { takeAlias } from "./alias.ts";
import { stopCommand } from "./commands.ts";
import { leadIn } from "./lead-in.ts";
import { MACHINE_PREFIX } from "./machine.ts";
import { canOpenRoom, openRoom, type Room, watchOver } from "./room.ts";
import { environmentIn, type Smolvm } from "./smolvm.ts";
import { openSockets, type ServedSocket, socketsFor } from "./sockets.ts";
import { makeStateFolder, type StateFolder } from "./state-folder.ts";
import { type Way, wayFor } from "./way.ts";

export interface SmolmachinesLink extends Link {
  readonly id: string;
  readonly way: Way;
  /** The guest's way to its bundle. */
  readonly alias: string | undefined;
  readonly room: Room | undefined;
  readonly sockets: readonly ServedSocket[];
  readonly folder: StateFolder;
  readonly runtimeDir: string;
}

export interface SmolmachinesHost {
  /** False: as if there were no network namespaces here. */
  readonly rooms?: boolean;
}

/** An engine, and the image of the sidecars. */
export interface BundleImage {
  readonly engine: Engine;
  readonly image: string;
}

export function machineName(id: string): string {
  return `${MACHINE_PREFIX}${id}`;
}

/** @param contained where the sidecars are in a container. */
export async function reserveLink(
  smolvm: Smolvm,
  contained: BundleImage | undefined,
  request: ReserveRequest,
  host: SmolmachinesHost,
  scope: Scope,
): Promise<SmolmachinesLink> {
  const { id, runtimeDir, services } = request;
  const folder = await makeStateFolder(request.stateDir, scope);
  const roomy = host.rooms !== false && hostPlatform() === "linux" && (await canOpenRoom());
  const way = wayFor(smolvm, roomy);
  const machine = { name: machineName(id), folder };
  const stop = [smolvm.path, ...stopCommand(machine.name)];
  const env = environmentIn(folder.short, smolvm.traits);
  const room = roomy ? await openRoom(machine, stop, env, scope) : undefined;
  if (room === undefined) await watchOver(machine, stop, env, scope);
  const alias = way.kind === "alias" || contained !== undefined ? await takeAlias(scope) : undefined;
  const bundle =
    contained === undefined || alias === undefined
      ? undefined
      : await publishedBundle(contained, request, alias, scope);
  const common = { id, way, room, folder, runtimeDir };
  switch (way.kind) {
    case "sockets": {
      // What is led into a container comes in by its one port.
      const all = socketsFor(services, runtimeDir);
      const sockets = bundle === undefined ? all : all.filter(({ role }) => role === "main");
      const endpoints = await openSockets(sockets, scope);
      return { ...common, ...(await behind(endpoints, bundle, scope)), sockets, alias: undefined };
    }
    case "room": {
      if (room === undefined) throw new Error("a way through a room, and no room");
      const place = { pid: room.pid, ownUser: room.ownUser, address: way.address };
      const { endpoints } = openLink(place, services, scope);
      return {
        ...{ ...common, ...(await behind(endpoints, bundle, scope)) },
        ...{ behindFilter: true, sockets: [], alias: undefined },
      };
    }
    case "alias": {
      if (alias === undefined) throw new Error("a way by an address, and no address");
      return {
        ...common,
        ...(bundle ?? { endpoints: endpointsOn(alias, services) }),
        ...{ needsBearer: true, behindFilter: true, sockets: [], alias },
      };
    }
  }
}

interface PublishedBundle extends Required<Pick<Link, "endpoints" | "startContained">> {
  /** Where each service's port of the container's was published. */
  readonly places: ReadonlyMap<ServiceName, { readonly host: string; readonly port: number }>;
}

/** In its container it listens on all of its addresses: what is published there leads to one of them. */
const ANY = "0.0.0.0";

async function publishedBundle(
  { engine, image }: BundleImage,
  request: ReserveRequest,
  alias: string,
  scope: Scope,
): Promise<PublishedBundle> {
  const { services } = request;
  const ports = services.map((name) => ({ name, on: alias, port: SERVICE_PORTS[name].main }));
  const publish = ports.map(({ on, port }) => ({ on, port }));
  const bundle = await openContainedBundle(engine, image, request, { publish }, scope);
  const places = new Map<ServiceName, { host: string; port: number }>();
  for (const { name, on, port } of ports)
    places.set(name, { host: alias, port: await bundle.published({ on, port }) });
  const endpoints = [...places].map(([name, { host, port }]) => [
    name,
    containedEndpoint(bundle, name, `http://${host}:${port}`),
  ]);
  return { endpoints: Object.fromEntries(endpoints), startContained: bundle.start, places };
}

function containedEndpoint(bundle: BundleContainer, name: ServiceName, guestUrl: string): Endpoint {
  const main = { kind: "tcp" as const, host: ANY, port: SERVICE_PORTS[name].main };
  return { listen: { kind: "contained", places: { main }, start: () => bundle.start(name) }, guestUrl };
}

/**
 * The link as the guest sees it, whatever is behind it. Who dials what a container publishes need not be the guest:
 * then everybody shows the bearer.
 */
async function behind(
  inherited: Link["endpoints"],
  bundle: PublishedBundle | undefined,
  scope: Scope,
): Promise<Link> {
  if (bundle === undefined) return { endpoints: inherited, needsBearer: false };
  await leadIn(inherited, bundle.places, scope);
  const endpoints = Object.entries(inherited).map(([name, { guestUrl }]) => {
    const contained = bundle.endpoints[name as ServiceName];
    if (contained === undefined) throw new Error(`${name} is in no container`);
    return [name, { ...contained, guestUrl }];
  });
  return {
    endpoints: Object.fromEntries(endpoints),
    needsBearer: true,
    startContained: bundle.startContained,
  };
}

function endpointsOn(host: string, services: readonly ServiceName[]): Link["endpoints"] {
  return Object.fromEntries(
    services.map((name) => {
      const port = SERVICE_PORTS[name].main;
      return [name, { listen: { kind: "tcp" as const, host, port }, guestUrl: `http://${host}:${port}` }];
    }),
  );
}

/** Ranges that the machine's own filter is to let through. */
export function allowed(link: SmolmachinesLink): readonly string[] {
  const { way, alias } = link;
  switch (way.kind) {
    case "sockets":
      return [];
    case "room":
      return way.allow;
    case "alias":
      return [`${alias}/32`];
  }
}
