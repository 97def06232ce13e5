/** What the keeper tells supervise, and how it is started: by the first connection, since many agents never ask. */
import { join } from "node:path";
import type { SidecarRequest } from "../bundle/bundle.ts";
import { type HostPlaces, placeAt } from "../bundle/host-place.ts";
import { mainPlace } from "../bundle/listen-place.ts";
import type { SuperviseConfig } from "../contract/approvals.ts";
import type { Endpoint } from "../contract/backend.ts";
import { removeTree } from "../lib/remove-tree.ts";
import type { Scope } from "../lib/scope.ts";
import { recordNotice } from "./bottle-log.ts";
import { superviseInForce } from "./in-force.ts";
import type { Inbox } from "./inbox.ts";
import type { Reservation } from "./reservation.ts";

export function superviseRequest(
  parts: {
    readonly reservation: Reservation;
    readonly endpoint: Promise<Endpoint>;
    readonly inbox: Inbox;
    readonly bearer: string;
    readonly secrets: readonly string[];
    readonly places: HostPlaces;
  },
  scope: Scope,
): SidecarRequest {
  const { inbox, bearer, secrets } = parts;
  const { id, paths, log } = parts.reservation;
  const rootDir = join(paths.state, "supervise-root");
  scope.defer("supervise root", () => removeTree(rootDir));
  const policy = () => superviseInForce(inbox.state, secrets, inbox.requests());
  return {
    name: "supervise",
    id,
    place: placeAt(parts.places, rootDir),
    endpoint: parts.endpoint,
    policy,
    config: async (endpoint): Promise<SuperviseConfig> => ({
      bottle: id,
      listen: mainPlace(endpoint),
      bearer,
      // Where no listener is inherited, the guest knows it by another name than the guest's own loopback.
      hosts: [new URL(endpoint.guestUrl).hostname],
      policy: policy(),
    }),
    onNotice: (notice) => recordNotice(log, "supervise", notice),
    onAsk: (data) => inbox.ask(data),
  };
}
