/**
 * The host's side of what the guest dials: for each service a listening Unix socket in a folder of the keeper's, handed
 * to the sidecar as it is for a namespace guest. The guest's connections come over SSH and are led there; while
 * nobody has the socket they are refused at once (I1, I7).
 */
import { join } from "node:path";
import type { InheritedListeners, Link, ListenerRole, ServiceName } from "../../contract/backend.ts";
import { LISTENER_ROLES, SERVICE_PORTS } from "../../contract/backend.ts";
import { listenFor } from "../../jail/born-listener.ts";
import type { Scope } from "../../lib/scope.ts";

export interface ServiceLink extends Link {
  /** By guest port: where the sidecar listens now. */
  readonly sockets: ReadonlyMap<number, () => string | undefined>;
}

export function openServiceLink(
  services: readonly ServiceName[],
  runtimeDir: string,
  scope: Scope,
): ServiceLink {
  let closed = false;
  scope.defer("service sockets", () => {
    closed = true;
  });
  const current = new Map<number, string>();
  const generations = new Map<ServiceName, number>();

  const open = async (name: ServiceName): Promise<InheritedListeners> => {
    if (closed) throw new Error(`the guest is gone, and with it the listeners for ${name}`);
    const generation = (generations.get(name) ?? 0) + 1;
    generations.set(name, generation);
    const listeners = rolesOf(name).map(async (role) => {
      const path = join(runtimeDir, `${name}-${role}-${generation}`);
      const { server } = await listenFor(path, scope);
      server.on("error", () => {});
      // Until its sidecar has the handle, nobody is there to serve: better refused than left waiting.
      server.on("connection", (socket) => socket.destroy());
      const port = SERVICE_PORTS[name][role];
      if (port !== undefined) current.set(port, path);
      return [role, server] as const;
    });
    return new Map(await Promise.all(listeners));
  };

  return {
    endpoints: Object.fromEntries(
      services.map((name) => [
        name,
        {
          listen: { kind: "inherited" as const, roles: rolesOf(name), open: () => open(name) },
          guestUrl: `http://127.0.0.1:${SERVICE_PORTS[name].main}`,
        },
      ]),
    ),
    needsBearer: false,
    sockets: new Map(
      services.flatMap((name) =>
        rolesOf(name).map((role) => {
          const port = SERVICE_PORTS[name][role] ?? 0;
          return [port, () => current.get(port)] as const;
        }),
      ),
    ),
  };
}

function rolesOf(name: ServiceName): readonly ListenerRole[] {
  return LISTENER_ROLES.filter((role) => SERVICE_PORTS[name][role] !== undefined);
}
