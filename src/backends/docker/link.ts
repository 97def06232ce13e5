/**
 * The link of a `docker` guest: the sidecars' Unix sockets in a volume, one folder for each service. Nothing else of
 * any network is in the guest, and a sidecar that is down has nobody behind its socket (I1, I7).
 */

import type { BundleContainer } from "../../bundle/container.ts";
import {
  type ContainedPlace,
  type Endpoint,
  LISTENER_ROLES,
  type Link,
  type ListenerRole,
  SERVICE_PORTS,
  type ServiceName,
} from "../../contract/backend.ts";

/** Where the volume is, in both containers. */
export const LINK = "/run/bottle/link";
/** The guest's user is not the sidecars'; the volume is in no third container. */
const ANYBODY = 0o666;

export interface LinkSocket {
  readonly port: number;
  readonly path: string;
}

/** Every port of the guest's loopback, and the socket that it leads to. */
export function linkSockets(services: readonly ServiceName[]): readonly LinkSocket[] {
  return services.flatMap((service) =>
    rolesOf(service).map(({ role, port }) => ({ port, path: socketOf(service, role) })),
  );
}

export function openLink(bundle: BundleContainer, services: readonly ServiceName[]): Link {
  const endpointOf = (service: ServiceName): Endpoint => ({
    listen: {
      kind: "contained",
      places: Object.fromEntries(
        rolesOf(service).map(({ role }): [ListenerRole, ContainedPlace] => [
          role,
          { kind: "unix", path: socketOf(service, role), mode: ANYBODY },
        ]),
      ),
      start: () => bundle.start(service),
    },
    guestUrl: `http://127.0.0.1:${SERVICE_PORTS[service].main}`,
  });
  return {
    endpoints: Object.fromEntries(services.map((service) => [service, endpointOf(service)])),
    needsBearer: false,
    startContained: (name) => bundle.start(name),
  };
}

function socketOf(service: ServiceName, role: ListenerRole): string {
  return `${LINK}/${service}/${role}.sock`;
}

function rolesOf(service: ServiceName): readonly { readonly role: ListenerRole; readonly port: number }[] {
  const ports = SERVICE_PORTS[service];
  return LISTENER_ROLES.flatMap((role) => (ports[role] === undefined ? [] : [{ role, port: ports[role] }]));
}
