/**
 * Which routes are asked about a host, as egress chooses them: those of exactly this host, else those of the longest
 * `*.` route above it, which covers no internationalised name. test/unit/approvals holds both to the same answers.
 */
import type { Route } from "../contract/policy.ts";

/** @param host a name, or `*.` and a name for all that no other route names below it. In the routes' order. */
export function routesOfHost<R extends Pick<Route, "host">>(
  routes: readonly R[],
  host: string,
): readonly R[] {
  const own = routes.filter((route) => route.host === host);
  if (own.length > 0) return own;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
    const above = routes.filter((route) => route.host === `*${name.slice(dot)}`);
    if (above.length > 0) return /(?:^|\.)xn--/.test(name.slice(0, dot)) ? [] : above;
  }
  return [];
}
