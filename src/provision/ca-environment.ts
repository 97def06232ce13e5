/**
 * Which variable each client reads for the roots it trusts. Two shapes of file: additive clients get our CA
 * alone, the others replace their whole store and get a bundle. Java reads no variable and no PEM file.
 */

/** Guest paths of the two files that {@link provisionCa} writes. */
export const GUEST_CA = {
  /** The bottle's CA alone. */
  ca: "/etc/ssl/bottle/ca.pem",
  /** The system's roots and the bottle's CA: the system store itself, for clients that read no variable. */
  bundle: "/etc/ssl/certs/ca-certificates.crt",
} as const;

/** Added to the client's own roots. */
const ADDITIVE = [
  // Node, Bun, npm, and Deno from 2.8
  "NODE_EXTRA_CA_CERTS",
  "DENO_CERT",
] as const;

/** In place of the client's own roots. */
const REPLACING = [
  // OpenSSL and what is built on it or follows it: Python's ssl and httpx, uv, Go, Ruby, rustls' native roots
  "SSL_CERT_FILE",
  "REQUESTS_CA_BUNDLE",
  "PIP_CERT",
  "HTTPLIB2_CA_CERTS",
  "CURL_CA_BUNDLE",
  "GIT_SSL_CAINFO",
  "CARGO_HTTP_CAINFO",
  "AWS_CA_BUNDLE",
  "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
  "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
  "BUNDLE_SSL_CA_CERT",
  "NIX_SSL_CERT_FILE",
  "CODEX_CA_CERTIFICATE",
] as const;

/** Every variable that makes a client in the guest trust the bottle's CA. */
export function caEnvironment(
  paths: { readonly ca: string; readonly bundle: string } = GUEST_CA,
): Readonly<Record<string, string>> {
  return Object.fromEntries([
    ...ADDITIVE.map((name) => [name, paths.ca]),
    ...REPLACING.map((name) => [name, paths.bundle]),
  ]);
}
