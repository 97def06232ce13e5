/**
 * Which headers mean what, decided on one spelling of their names. Whatever is neither letter nor digit counts
 * as `-`: servers that hand headers on as variables (CGI, WSGI) cannot tell `X_Api_Key` from `X-Api-Key`, and
 * some make an underscore of every other sign too.
 */

/**
 * `connection`: about this connection only (RFC 9110, section 7.6.1), never passed on. `framing`: said again by
 * egress itself, from what it has understood. `override`: with it a server acts on another method or path than
 * the one in the request line.
 */
export type HeaderKind = "connection" | "framing" | "override";

const KINDS: ReadonlyMap<string, HeaderKind> = new Map([
  ["connection", "connection"],
  ["http2-settings", "connection"],
  ["keep-alive", "connection"],
  ["proxy-authenticate", "connection"],
  ["proxy-authentication-info", "connection"],
  ["proxy-authorization", "connection"],
  ["proxy-connection", "connection"],
  ["te", "connection"],
  ["trailer", "connection"],
  ["transfer-encoding", "connection"],
  ["upgrade", "connection"],
  ["content-length", "framing"],
  ["expect", "framing"],
  ["host", "framing"],
  ["x-http-method", "override"],
  ["x-http-method-override", "override"],
  ["x-method-override", "override"],
  ["x-original-url", "override"],
  ["x-rewrite-url", "override"],
]);

export function canonicalName(name: string): string {
  const lower = name.toLowerCase();
  return /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9-]/g, "-") : lower;
}

/** RFC 9110, section 5.1. */
export const isHeaderName = (name: string): boolean => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);

/** Undefined for a header that travels from end to end and means nothing here. */
export const kindOf = (canonical: string): HeaderKind | undefined => KINDS.get(canonical);
export const isConnectionHeader = (canonical: string): boolean => kindOf(canonical) === "connection";
/** One that a rule can see and a credential can travel in. */
export const isEndToEnd = (canonical: string): boolean => {
  const kind = kindOf(canonical);
  return kind !== "connection" && kind !== "framing";
};
