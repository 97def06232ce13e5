/** How a manifest says that a credential is presented: `Bearer`, `token`, `Basic` or `header:<Name>`. */
import type { AuthScheme } from "../contract/policy.ts";
import { didYouMean } from "../lib/names.ts";
import { accept, type Parsed, reject } from "../lib/parsed.ts";
import { parseHeaderName } from "./header-name.ts";
import { suggestion } from "./problem.ts";

/** `{base64}` stands for the base64 of the secret, which for Basic is `user:password`. */
const SCHEMES: Readonly<Record<string, AuthScheme>> = {
  Bearer: { header: "authorization", format: "Bearer {}" },
  token: { header: "authorization", format: "token {}" },
  Basic: { header: "authorization", format: "Basic {base64}" },
};

export function parseAuthScheme(text: string): Parsed<AuthScheme> {
  const scheme = Object.hasOwn(SCHEMES, text) ? SCHEMES[text] : undefined;
  if (scheme !== undefined) return accept(scheme);
  if (!text.startsWith("header:")) {
    const known = [...Object.keys(SCHEMES), "header:<Name>"];
    return reject(`must be one of ${known.join(", ")}${suggestion(didYouMean(text, known.slice(0, -1)))}`);
  }
  const header = parseHeaderName(text.slice("header:".length));
  return header.ok ? accept({ header: header.value, format: "{}" }) : header;
}
