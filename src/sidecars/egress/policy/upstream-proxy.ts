/** The proxy through which egress leaves, as requests are sent to it. */
import type { SecureContext } from "node:tls";
import type { EgressPolicy } from "../../../contract/sidecar.ts";
import { UserError } from "../../../lib/errors.ts";
import { canonicalHost, hostInUrl } from "../target/authority.ts";
import { rootsOfOne } from "../upstream/roots.ts";

export interface UpstreamProxy {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Secret: `Proxy-Authorization`. */
  readonly authorization: string | undefined;
  /** For people. */
  readonly name: string;
  /** It opens TLS itself. */
  readonly opens: { readonly roots: SecureContext; readonly sealed: ReadonlySet<string> } | undefined;
}

/**
 * Whom to believe of an upstream that is reached through a proxy which opens TLS: it alone. So that neither somebody
 * who has taken its port nor one that has ceased to look into things is noticed too late: both are refused.
 */
export function openedRoots(
  proxy: UpstreamProxy | undefined,
  { host }: { readonly host: string },
): SecureContext | undefined {
  return proxy?.opens === undefined || proxy.opens.sealed.has(host) ? undefined : proxy.opens.roots;
}

/** @throws UserError when its host is none. */
export function compileProxy(proxy: EgressPolicy["upstreamProxy"]): UpstreamProxy | undefined {
  if (proxy === undefined) return undefined;
  const bare = proxy.host.includes(":") ? `[${proxy.host}]` : proxy.host;
  const host = canonicalHost(bare);
  if (host === undefined) throw new UserError("upstreamProxy: the host is neither a name nor an address");
  const { port, tls, authorization, opens } = proxy;
  return {
    ...{ host, port, tls, authorization },
    name: opens === undefined ? `${hostInUrl(host)}:${port}` : "pipelock",
    opens: opens && { roots: rootsOfOne(opens.authority), sealed: new Set(opens.sealed) },
  };
}
