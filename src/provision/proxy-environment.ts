/** The variables by which programs in the guest find egress: the only way out there is. */

/** Servers that the agent starts for itself are reached directly; there is nothing else to reach directly. */
const LOOPBACK = ["localhost", "127.0.0.1", "::1"] as const;

/** In both cases: curl reads `http_proxy` in lower case only, others only upper case. */
export function proxyEnvironment(
  proxyUrl: string,
  noProxy: readonly string[] = [],
): Readonly<Record<string, string>> {
  const direct = [...new Set([...LOOPBACK, ...noProxy])].join(",");
  return {
    HTTP_PROXY: proxyUrl,
    http_proxy: proxyUrl,
    HTTPS_PROXY: proxyUrl,
    https_proxy: proxyUrl,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node's own fetch and http: from 22.21 and 24.5. Older ones ignore proxies altogether.
    NODE_USE_ENV_PROXY: "1",
  };
}
