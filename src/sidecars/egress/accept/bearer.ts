/**
 * Where the link is open to more than this bottle's guest, a client must know the bottle's bearer. Compared
 * by digest, in constant time: neither length nor prefix can be found out by trying.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { type Refusal, refuse } from "../denial.ts";

export type BearerCheck = (proxyAuthorization: string | undefined) => Refusal | undefined;

export function bearerCheck(bearer: string | undefined): BearerCheck {
  if (bearer === undefined) return () => undefined;
  const expected = digest(bearer);
  return (header) => {
    const given = credentialOf(header ?? "");
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined;
    return refuse(
      "bearer-required",
      "this proxy serves one bottle, and the request does not carry its bearer",
      "Proxy-Authorization: Bearer, or Basic with the bearer as password",
    );
  };
}

/** From `Bearer x`, or the password of `Basic`: what a client makes of http://user:password@proxy. */
function credentialOf(header: string): string | undefined {
  const [, scheme = "", value = ""] = /^(bearer|basic) +([^ ]+) *$/i.exec(header) ?? [];
  if (scheme.toLowerCase() !== "basic") return scheme === "" ? undefined : value;
  const pair = Buffer.from(value, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
