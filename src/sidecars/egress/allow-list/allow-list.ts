/**
 * Default deny: a host is reachable when a route names it, else when a `*.` route covers it (one label or
 * more below the name, never the name itself; the longest name wins). Decided before anything is resolved,
 * so a refused name never reaches a resolver.
 */
import { allow, refuse, type Verdict } from "../denial.ts";
import type { CompiledPolicy, HostRoutes } from "../policy/compile.ts";

export function routesOf(policy: CompiledPolicy, host: string): Verdict<HostRoutes> {
  const found = policy.exact.get(host) ?? coveringWildcard(policy, host);
  if (found !== undefined) return allow(found);
  return refuse("host-not-allowed", `no route of this bottle leads to ${host}`, `no route for ${host}`);
}

function coveringWildcard(policy: CompiledPolicy, host: string): HostRoutes | undefined {
  if (policy.wildcard.size === 0) return undefined;
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    const routes = policy.wildcard.get(host.slice(dot + 1));
    if (routes !== undefined) return routes;
  }
  return undefined;
}
