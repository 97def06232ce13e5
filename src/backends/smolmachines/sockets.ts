/**
 * Unix sockets of this host's that a guest without a network finds among its files. The keeper listens, and hands the
 * listening sockets to the sidecars; one whose sidecar died refuses at once.
 */
import { rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import {
  type InheritedListeners,
  LISTENER_ROLES,
  type Link,
  type ListenerRole,
  SERVICE_PORTS,
  type ServiceName,
} from "../../contract/backend.ts";
import { UserError } from "../../lib/errors.ts";
import { checkSocketPath } from "../../lib/paths.ts";
import type { Scope } from "../../lib/scope.ts";
import type { MountedSocket } from "./commands.ts";

/** Root's in the guest: who is to reach them is led there by a relay. */
const GUEST_FOLDER = "/run/bottle";

export interface ServedSocket extends MountedSocket {
  readonly service: ServiceName;
  readonly role: ListenerRole;
  /** On the guest's loopback. */
  readonly port: number;
}

export function socketsFor(services: readonly ServiceName[], runtimeDir: string): readonly ServedSocket[] {
  if (runtimeDir.includes(":"))
    throw new UserError(`smolvm cannot take sockets from ${runtimeDir}: it has a colon in its name`, {
      hint: "set XDG_RUNTIME_DIR to another directory",
    });
  return services.flatMap((service) =>
    LISTENER_ROLES.flatMap((role) => {
      const port = SERVICE_PORTS[service][role];
      if (port === undefined) return [];
      const name = `${service}-${role}.sock`;
      return [{ service, role, port, host: join(runtimeDir, name), guest: `${GUEST_FOLDER}/${name}` }];
    }),
  );
}

/** Listens on all of them. */
export async function openSockets(
  sockets: readonly ServedSocket[],
  scope: Scope,
): Promise<Link["endpoints"]> {
  const unclaimed = new Map<ServedSocket, Server>();
  scope.defer("the bundle's sockets", async () => {
    for (const server of unclaimed.values()) server.close();
    for (const { host } of sockets) await rm(host, { force: true });
  });
  for (const socket of sockets) unclaimed.set(socket, await listenAt(socket.host));
  const open = async (service: ServiceName): Promise<InheritedListeners> => {
    const listeners = new Map<ListenerRole, Server>();
    for (const socket of sockets.filter((each) => each.service === service)) {
      const first = unclaimed.get(socket);
      unclaimed.delete(socket);
      listeners.set(socket.role, first ?? (await listenAt(socket.host)));
    }
    return listeners;
  };
  return Object.fromEntries(
    [...new Set(sockets.map(({ service }) => service))].map((service) => [
      service,
      {
        listen: {
          kind: "inherited" as const,
          roles: sockets.filter((each) => each.service === service).map(({ role }) => role),
          open: () => open(service),
        },
        guestUrl: `http://127.0.0.1:${SERVICE_PORTS[service].main}`,
      },
    ]),
  );
}

/** Closing a server removes the path that it was bound to; under another name the socket stays, for its sidecar. */
async function listenAt(path: string): Promise<Server> {
  const boundPath = checkSocketPath(`${path}~`);
  await rm(boundPath, { force: true });
  const server = createServer();
  // Until its sidecar has it, nobody is there to serve: better refused than left waiting.
  server.on("connection", (socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(boundPath, resolve);
  });
  server.on("error", () => {});
  await rename(boundPath, path);
  return server;
}
