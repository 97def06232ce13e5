/** What every process in the guest finds in its environment. No credential is among it (I2). */
import { GUEST, type Link } from "../contract/backend.ts";
import type { BottlePlan } from "../contract/plan.ts";
import { mcpConfigOf } from "../plan/mcp-config.ts";
import { caEnvironment } from "../provision/ca-environment.ts";
import { proxyEnvironment } from "../provision/proxy-environment.ts";
import { endpointOf } from "./link-endpoint.ts";

/** @param egressBearer for a link that others could dial too. */
export function guestEnvironment(
  request: { readonly plan: BottlePlan; readonly env: Readonly<Record<string, string>> },
  link: Link,
  egressBearer: string,
): Readonly<Record<string, string>> {
  const { egress: _egress, ...direct } = link.endpoints;
  const mcpConfig = mcpConfigOf(request.plan);
  const proxy = new URL(endpointOf(link, "egress").guestUrl);
  if (link.needsBearer) Object.assign(proxy, { username: "bottle", password: egressBearer });
  return {
    ...proxyEnvironment(
      proxy.href.replace(/\/$/, ""),
      Object.values(direct).map(({ guestUrl }) => new URL(guestUrl).hostname),
    ),
    ...caEnvironment(),
    ...(direct["git-gate"] && { GIT_GATE_URL: direct["git-gate"].guestUrl }),
    ...(direct.supervise && { MCP_SUPERVISE_URL: `${direct.supervise.guestUrl}/mcp` }),
    ...Object.assign({}, ...(request.plan.presets ?? []).map(({ env }) => env)),
    ...request.plan.provider.env,
    ...request.env,
    BOTTLE: "1",
    BOTTLE_WORKSPACE: GUEST.workspace,
    ...(mcpConfig !== undefined && { BOTTLE_MCP_CONFIG: mcpConfig }),
  };
}
