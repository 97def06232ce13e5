/**
 * Where the link is open to more than this bottle's guest, a client must know the bottle's bearer. Compared by
 * digest, in constant time: neither length nor prefix can be found out by trying.
 */
import { createHash, timingSafeEqual } from "node:crypto";

export type BearerCheck = (authorization: string | undefined) => boolean;

export function bearerCheck(bearer: string | undefined): BearerCheck {
  if (bearer === undefined) return () => true;
  const expected = digest(bearer);
  return (header) => {
    const given = credentialOf(header ?? "");
    return given !== undefined && timingSafeEqual(digest(given), expected);
  };
}

/** From `Bearer x`, or the password of `Basic`: what git makes of http://user:password@gate. */
function credentialOf(header: string): string | undefined {
  const [, scheme = "", value = ""] = /^(bearer|basic) +([^ ]+) *$/i.exec(header) ?? [];
  if (scheme.toLowerCase() !== "basic") return scheme === "" ? undefined : value;
  const pair = Buffer.from(value, "base64").toString("utf8");
  return pair.includes(":") ? pair.slice(pair.indexOf(":") + 1) : undefined;
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
