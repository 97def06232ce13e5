import { createHmac } from "node:crypto";
import { draw } from "./draw.ts";
import { known, type SecretExample } from "./example.ts";

/** A JSON Web Token over `header` and `claims`, signed with a key nobody has. */
export function signedJwt(header: object, claims: object): string {
  const signed = [header, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", draw("alnum", 32)).update(signed).digest("base64url")}`;
}

const JWT_IO = [
  [
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
    "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ",
  ].join("."),
  "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
].join(".");

export const TOKEN_EXAMPLES: Readonly<Record<string, SecretExample>> = {
  "json-web-token": known(
    "https://datatracker.ietf.org/doc/html/rfc7519#section-3.1",
    [
      signedJwt({ alg: "HS256", typ: "JWT" }, { sub: "42", name: "Somebody", iat: 1700000000 }),
      signedJwt(
        { typ: "JWT", kid: draw("alnum", 24), alg: "RS256" },
        { iss: "https://issuer.example.org", scope: "all" },
      ),
      // Encrypted (RFC 7516): five parts, the second a wrapped key.
      [
        Buffer.from('{"alg":"RSA-OAEP","enc":"A256GCM"}').toString("base64url"),
        draw("url", 342),
        draw("url", 16),
        draw("url", 400),
        draw("url", 22),
      ].join("."),
    ],
    [
      JWT_IO,
      signedJwt({ alg: "none" }, { sub: "42" }),
      signedJwt({ typ: "JWT" }, { sub: "42" }),
      `eyJ${draw("url", 40)}.${draw("url", 60)}.${draw("url", 43)}`,
      `${Buffer.from('{"alg":"HS256"}').toString("base64url")}.e30.`,
      "eyJhbGciOiJIUzI1NiJ9.payload.signature",
    ],
  ),
};
