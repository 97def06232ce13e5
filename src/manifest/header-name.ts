/** Names of headers that a rule can see or a credential can travel in. */
import { accept, type Parsed, reject } from "../lib/parsed.ts";

/** RFC 9110, section 5.1; the length is a bound, and more than any header in use has. */
const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$/;

/** They frame, route or hop: egress writes or drops them itself. */
const NOT_END_TO_END: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** In lower case. */
export function parseHeaderName(text: string): Parsed<string> {
  if (!HEADER_NAME.test(text)) return reject("must be the name of a header, such as X-Api-Key");
  const header = text.toLowerCase();
  if (NOT_END_TO_END.has(canonicalHeader(header))) {
    return reject(`${header} is between client and proxy: it reaches no server, and no rule`);
  }
  return accept(header);
}

/** Servers that hand headers on as variables cannot tell `X_Key` from `X-Key`. */
export function canonicalHeader(header: string): string {
  return header.toLowerCase().replaceAll("_", "-");
}
