import type { Endpoint, ListenerRole } from "../contract/backend.ts";
import type { ListenPlace } from "../lib/listening.ts";

/** Where a sidecar is told to listen for what comes in that role; undefined when nothing does. */
export function listenPlace({ listen }: Endpoint, role: ListenerRole): ListenPlace | undefined {
  switch (listen.kind) {
    case "inherited":
      return listen.roles.includes(role) ? { kind: "inherited" } : undefined;
    case "contained":
      return listen.places[role];
    default:
      return role === "main" ? listen : undefined;
  }
}

/** @throws Error for an endpoint without one, which no link has. */
export function mainPlace(endpoint: Endpoint): ListenPlace {
  const place = listenPlace(endpoint, "main");
  if (place === undefined) throw new Error("an endpoint without a place to listen");
  return { ...place };
}
