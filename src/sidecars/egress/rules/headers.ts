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

/** Programs send the same names again and again. */
const canonicalNames = new Map<string, string>();
const REMEMBERED_NAMES = 512;
/** Longer ones are nobody's every day's. */
const REMEMBERED_LENGTH = 48;

export function canonicalName(name: string): string {
  let canonical = canonicalNames.get(name);
  if (canonical !== undefined) return canonical;
  const lower = name.toLowerCase();
  canonical = /[^a-z0-9-]/.test(lower) ? lower.replace(/[^a-z0-9-]/g, "-") : lower;
  if (name.length <= REMEMBERED_LENGTH) {
    if (canonicalNames.size >= REMEMBERED_NAMES) canonicalNames.clear();
    canonicalNames.set(name, canonical);
  }
  return canonical;
}

/** RFC 9110, section 5.1. */
export const isHeaderName = (name: string): boolean => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name);
/** What a field may have in it (section 5.5): no line break, no NUL, no other control character but the tabulator. */
export const isFieldText = (text: string): boolean => !/[^	 -~-ÿ]/.test(text);

/** Undefined for a header that travels from end to end and means nothing here. */
export const kindOf = (canonical: string): HeaderKind | undefined => KINDS.get(canonical);
export const isConnectionHeader = (canonical: string): boolean => kindOf(canonical) === "connection";
/** One that a rule can see and a credential can travel in. */
export const isEndToEnd = (canonical: string): boolean => {
  const kind = kindOf(canonical);
  return kind !== "connection" && kind !== "framing";
};
