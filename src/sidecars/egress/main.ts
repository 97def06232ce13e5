/** The egress program; lib/sidecar-program.ts is its frame. */
import { LISTENER_ROLES, type ListenerRole } from "../../contract/backend.ts";
import { type EgressConfig, egressConfigSchema } from "../../contract/sidecar.ts";
import { runSidecar } from "../../lib/sidecar-program.ts";
import { startEgress } from "./egress.ts";

export function runEgress(): Promise<void> {
  return runSidecar({
    name: "egress",
    config: egressConfigSchema,
    roles: inheritedRoles,
    start: startEgress,
  });
}

function inheritedRoles({ listen, direct }: EgressConfig): readonly ListenerRole[] {
  const wanted: Partial<Record<ListenerRole, EgressConfig["listen"]>> = { main: listen, ...direct };
  return LISTENER_ROLES.filter((role) => wanted[role]?.kind === "inherited");
}
