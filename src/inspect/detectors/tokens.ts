import { isJwt } from "../checks/jwt.ts";
import type { Detector } from "../detector.ts";
import { upTo } from "./patterns.ts";

/** Tokens of no one provider. */
export const TOKENS: readonly Detector[] = [
  {
    // `{"` in base64url. The pieces are short enough for a whole token to stay under the longest match.
    id: "json-web-token",
    title: "JSON Web Token",
    group: "token",
    trigger: { kind: "keyword", keywords: ["eyJ"] },
    pattern:
      `eyJ${upTo("eyJ", "[A-Za-z0-9_-]", 12, 1200)}\\.[A-Za-z0-9_-]{0,4500}\\.[A-Za-z0-9_-]{16,1400}` +
      "(?:\\.[A-Za-z0-9_-]{1,900}\\.[A-Za-z0-9_-]{16,100})?",
    check: isJwt,
    source: "https://datatracker.ietf.org/doc/html/rfc7519#section-3",
  },
];
