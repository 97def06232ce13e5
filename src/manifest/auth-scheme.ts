/** How a manifest says that a credential is presented: `Bearer`, `token`, `Basic` or `header:<Name>`. */
import type { AuthScheme } from "../contract/policy.ts";
import { didYouMean } from "../lib/names.ts";
import { accept, type Parsed, reject } from "./parsed.ts";
import { suggestion } from "./problem.ts";

/** `{base64}` stands for the base64 of the secret, which for Basic is `user:password`. */
const SCHEMES: Readonly<Record<string, AuthScheme>> = {
  Bearer: { header: "authorization", format: "Bearer {}" },
  token: { header: "authorization", format: "token {}" },
  Basic: { header: "authorization", format: "Basic {base64}" },
};

const HEADER_NAME = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/;

/** Headers that frame or route the request: a secret there would be sent elsewhere, or not at all. */
const NOT_FOR_CREDENTIALS = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

export function parseAuthScheme(text: string): Parsed<AuthScheme> {
  const scheme = Object.hasOwn(SCHEMES, text) ? SCHEMES[text] : undefined;
  if (scheme !== undefined) return accept(scheme);
  if (!text.startsWith("header:")) {
    const known = [...Object.keys(SCHEMES), "header:<Name>"];
    return reject(`must be one of ${known.join(", ")}${suggestion(didYouMean(text, known.slice(0, -1)))}`);
  }
  const header = text.slice("header:".length).toLowerCase();
  if (!HEADER_NAME.test(header))
    return reject("needs a header's name after header:, such as header:X-Api-Key");
  if (NOT_FOR_CREDENTIALS.has(header)) return reject(`the header ${header} cannot carry a credential`);
  return accept({ header, format: "{}" });
}
