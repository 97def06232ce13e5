/**
 * Pipelock's own configuration. Its keys are those that docs/configuration.md of its repository names and that its
 * releases since 2.3 know: it refuses a file with any other. What is strict here stays so whatever its defaults become.
 */
import { stringify } from "yaml";
import type { PipelockPolicy } from "../../contract/pipelock.ts";

/** Egress counts requests itself, by the bottle's limits; pipelock's 60 a minute and host would stop an `npm install`. */
const REQUESTS_PER_MINUTE = 6_000;
/** It reads a whole answer before it lets it go; its own 5 MB would refuse most packages. */
const MAX_RESPONSE_BYTES = 64 * 2 ** 20;
/** Its own limit, said: a larger body is refused. */
const MAX_BODY_BYTES = 5 * 2 ** 20;
/** Older releases end a tunnel then, whatever it is at: a day is longer than what egress lets one live unused. */
const TUNNEL_SECONDS = 86_400;
/** Egress' own for a tunnel without a byte. */
const IDLE_SECONDS = 1_800;
/** What the message itself needs. Every other header is searched, but those in which egress puts credentials. */
const STRUCTURAL_HEADERS = [
  "Connection",
  "Content-Length",
  "Host",
  "Keep-Alive",
  "Te",
  "Trailer",
  "Transfer-Encoding",
  "Upgrade",
];

export interface PipelockPlaces {
  readonly listen: string;
  readonly certificate: string;
  readonly key: string;
}

/** Pure. */
export function pipelockYaml(
  { listen, certificate, key }: PipelockPlaces,
  { hosts, sealed, addresses, credentialHeaders }: PipelockPolicy,
): string {
  return stringify({
    version: 1,
    mode: "strict",
    enforce: true,
    api_allowlist: [...hosts],
    fetch_proxy: { listen, monitoring: { max_requests_per_minute: REQUESTS_PER_MINUTE } },
    forward_proxy: {
      enabled: true,
      sni_verification: true,
      max_tunnel_seconds: TUNNEL_SECONDS,
      idle_timeout_seconds: IDLE_SECONDS,
    },
    tls_interception: {
      enabled: true,
      ca_cert: certificate,
      ca_key: key,
      passthrough_domains: [...sealed],
      max_response_bytes: MAX_RESPONSE_BYTES,
    },
    request_body_scanning: {
      enabled: true,
      action: "block",
      max_body_bytes: MAX_BODY_BYTES,
      scan_headers: true,
      header_mode: "all",
      ignore_headers: [...STRUCTURAL_HEADERS, ...credentialHeaders],
    },
    dlp: { scan_env: true, include_defaults: true },
    ssrf: { ip_allowlist: [...addresses] },
    logging: { format: "json", output: "stdout", include_allowed: false, include_blocked: true },
  });
}
