/**
 * Default deny: a host is reachable when a route names it, else when a `*.` route covers it (one label or
 * more below the name, never the name itself; the longest name wins). Decided before anything is resolved,
 * so a refused name never reaches a resolver.
 *
 * What a `*` stands for is plain ASCII: an `xn--` label shows people another name than programs compare (with a
 * Cyrillic letter in it, say), so only a route that spells it out, which its author has seen, leads there.
 */
import { allow, refuse, type Verdict } from "../denial.ts";
import type { CompiledPolicy, HostRoutes } from "../policy/compile.ts";

export function routesOf(policy: CompiledPolicy, host: string): Verdict<HostRoutes> {
  const exact = policy.exact.get(host);
  if (exact !== undefined) return allow(exact);
  const wildcard = coveringWildcard(policy, host);
  if (wildcard === undefined) {
    return refuse("host-not-allowed", `no route of this bottle leads to ${host}`, `no route for ${host}`);
  }
  if (!/(?:^|\.)xn--/.test(wildcard.covered)) return allow(wildcard.routes);
  return refuse(
    "idn-not-named",
    `${host} is an internationalised name, which no wildcard covers: it may look like another one`,
    `a route for exactly ${host}`,
  );
}

/**
 * For who comes without the proxy: the guest's hosts file names whole hosts, so a wildcard covers nobody there.
 */
export function exactRoutesOf(policy: CompiledPolicy, host: string): Verdict<HostRoutes> {
  const exact = policy.exact.get(host);
  if (exact !== undefined) return allow(exact);
  const refusal = routesOf(policy, host);
  if (!refusal.allow) return refusal;
  return refuse(
    "proxy-required",
    `a wildcard covers ${host}, and what it covers is reached through the proxy alone`,
    `HTTPS_PROXY, or a route for exactly ${host}`,
  );
}

interface Covering {
  readonly routes: HostRoutes;
  /** What the `*` stands for. */
  readonly covered: string;
}

function coveringWildcard(policy: CompiledPolicy, host: string): Covering | undefined {
  if (policy.wildcard.size === 0) return undefined;
  for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
    const routes = policy.wildcard.get(host.slice(dot + 1));
    if (routes !== undefined) return { routes, covered: host.slice(0, dot) };
  }
  return undefined;
}
