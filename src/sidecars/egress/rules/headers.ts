/**
 * Which headers mean what, decided on one spelling of their names. Whatever is neither letter nor digit counts
 * as `-`: servers that hand headers on as variables (CGI, WSGI) cannot tell `X_Api_Key` from `X-Api-Key`, and
 * some make an underscore of every other sign too.
 */

/** About this connection only (RFC 9110, section 7.6.1); never passed on. */
const CONNECTION_HEADERS: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-authentication-info",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

/** Said again by egress itself, from what it has understood. */
const FRAMING_HEADERS: ReadonlySet<string> = new Set(["content-length", "expect", "host"]);

/** With these a server acts on another method or path than the one in the request line. */
const OVERRIDE_HEADERS: ReadonlySet<string> = new Set([
  "x-http-method-override",
  "x-http-method",
  "x-method-override",
  "x-original-url",
  "x-rewrite-url",
]);

export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9-]/g, "-") : lower;
}

/** RFC 9110, section 5.1. */
export const isHeaderName = (name: string): boolean => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
export const isConnectionHeader = (canonical: string): boolean => CONNECTION_HEADERS.has(canonical);
export const isFramingHeader = (canonical: string): boolean => FRAMING_HEADERS.has(canonical);
export const isOverrideHeader = (canonical: string): boolean => OVERRIDE_HEADERS.has(canonical);
