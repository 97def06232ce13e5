/** The proxy through which egress leaves, as requests are sent to it. */
import type { EgressPolicy } from "../../../contract/sidecar.ts";
import { UserError } from "../../../lib/errors.ts";
import { canonicalHost, hostInUrl } from "../target/authority.ts";

export interface UpstreamProxy {
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  /** Secret: `Proxy-Authorization`. */
  readonly authorization: string | undefined;
  /** For people. */
  readonly name: string;
}

/** @throws UserError when its host is none. */
export function compileProxy(proxy: EgressPolicy["upstreamProxy"]): UpstreamProxy | undefined {
  if (proxy === undefined) return undefined;
  const bare = proxy.host.includes(":") ? `[${proxy.host}]` : proxy.host;
  const host = canonicalHost(bare);
  if (host === undefined) throw new UserError("upstreamProxy: the host is neither a name nor an address");
  const { port, tls, authorization } = proxy;
  return { host, port, tls, authorization, name: `${hostInUrl(host)}:${port}` };
}
