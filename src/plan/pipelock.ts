/** What a bottle with `egress.pipelock` has pipelock hold to, and what such a bottle cannot have besides. Pure. */
import type { PipelockPolicy } from "../contract/pipelock.ts";
import type { Route, UpstreamProxyPlace } from "../contract/policy.ts";
import { UserError } from "../lib/errors.ts";

/**
 * @param modelHosts the provider's: a conversation is long, streams, and is full of what pipelock takes for secrets;
 *   egress looks into it by rules of its own.
 */
export function pipelockPolicy(routes: readonly Route[], modelHosts: readonly string[]): PipelockPolicy {
  const distinct = (values: readonly string[]): string[] => [...new Set(values)];
  return {
    hosts: distinct(routes.map(({ host }) => host)),
    sealed: distinct(
      routes
        .filter(({ host, tls }) => tls === "passthrough" || modelHosts.includes(host))
        .map(({ host }) => host),
    ),
    addresses: distinct(routes.flatMap(({ allowAddresses }) => allowAddresses)),
    credentialHeaders: distinct(routes.flatMap(({ auth }) => (auth === undefined ? [] : [auth.header]))),
  };
}

/** @throws UserError naming what goes together with no pipelock. */
export function refusePipelockWith(routes: readonly Route[], proxy: UpstreamProxyPlace | undefined): void {
  if (proxy !== undefined)
    throw new UserError("egress.pipelock and egress.upstream_proxy are both where egress leaves through", {
      hint: "leave one of them out",
    });
  const led = routes.find(({ connectTo }) => connectTo !== undefined);
  if (led !== undefined)
    throw new UserError(
      `egress.pipelock connects to ${led.host} itself, so connect_to would lead around it`,
      { hint: "leave connect_to out, and have the name resolve to the right address on this machine" },
    );
  // Pipelock's *.a.b is also a.b.
  const opened = routes.filter(({ tls }) => tls === "terminate").map(({ host }) => host);
  const wide = routes.find(
    ({ host, tls }) => tls === "passthrough" && opened.includes(host.slice(2)) && host.startsWith("*."),
  );
  if (wide !== undefined)
    throw new UserError(`pipelock takes ${wide.host} for ${wide.host.slice(2)} too, whose TLS is opened`, {
      hint: "have both routes say the same on tls, or name the hosts below it",
    });
}
