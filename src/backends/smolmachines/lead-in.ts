/**
 * Connections of a guest's to listeners of its own, led to where the ports of its bundle's container were published.
 * Bytes alone: what they mean is for the sidecar that gets them.
 */
import { connect, type Server, type Socket } from "node:net";
import type { Link, ServiceName } from "../../contract/backend.ts";
import type { Scope } from "../../lib/scope.ts";

/** As many as egress takes by itself. */
const MAX_CONNECTIONS = 1_024;

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Until the scope closes. @param endpoints whose listeners can be opened here. */
export async function leadIn(
  endpoints: Link["endpoints"],
  places: ReadonlyMap<ServiceName, Place>,
  scope: Scope,
): Promise<void> {
  for (const [name, { listen }] of Object.entries(endpoints)) {
    const place = places.get(name as ServiceName);
    if (listen.kind !== "inherited" || place === undefined)
      throw new Error(`${name} cannot be led into a container`);
    for (const [role, server] of await listen.open()) {
      if (role === "main") lead(server, place, scope);
      else server.close();
    }
  }
}

function lead(server: Server, place: Place, scope: Scope): void {
  const open = new Set<Socket>();
  scope.defer("the way into the bundle's container", () => {
    server.close();
    for (const socket of open) socket.destroy();
  });
  // Each direction ends by itself, as it does without anybody between.
  Object.assign(server, { allowHalfOpen: true });
  server.removeAllListeners("connection").on("connection", (guest: Socket) => {
    guest.on("error", () => {});
    if (open.size >= MAX_CONNECTIONS) {
      guest.destroy();
      return;
    }
    open.add(guest);
    const bundle = connect({ ...place, allowHalfOpen: true });
    bundle.on("error", () => guest.destroy());
    guest.on("close", () => {
      open.delete(guest);
      bundle.destroy();
    });
    guest.pipe(bundle).pipe(guest);
  });
}
