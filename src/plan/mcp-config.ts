import { GUEST } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";

/** Where the guest has a list of MCP servers; undefined when there is none to list. */
export function mcpConfigOf(plan: Pick<BottlePlan, "supervise" | "userConfig">): string | undefined {
  const isThere = plan.supervise !== undefined || (plan.userConfig?.mcpServers.length ?? 0) > 0;
  return isThere ? GUEST.mcpConfig : undefined;
}
