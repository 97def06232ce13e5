import { describe, expect, it } from "vitest";
import { isCredentialName, opaqueIn, secretIn } from "../../../src/manifest/secret-text.ts";

// Built here, so that no scanner takes this file for a leak.
const AWS = `${"AKIA"}${"QWERTYUIOPASDFG2"}`;
const OPAQUE = ["q7Rk2", "Vt9xW", "4mZp8", "Lc3Yb", "6Nd"].join("");
const HEX = ["9f2c", "81d0", "37ab", "5e64", "c7f1", "0b98"].join("");

describe("a name", () => {
  it.each([
    ...[
      "Authorization",
      "X-Auth",
      "X-Api-Key",
      "apikey",
      "API_KEY",
      "GITHUB_TOKEN",
      "token",
      "Cookie",
      "key",
    ],
    ...["CLIENT_SECRET", "password", "PASSWD", "ACCESS_KEY", "private-key", "X-Signature", "tokens-of-mine"],
  ])("%s is a credential's, however harmless its value looks", (name) => {
    expect(isCredentialName(name)).toBe(true);
  });

  it.each([
    ...[
      "author",
      "X-Author",
      "GIT_AUTHORS",
      "MAX_TOKENS",
      "max-tokens",
      "TOKENIZERS_PARALLELISM",
      "keyboard",
    ],
    ...["LOG_LEVEL", "lang", "X-Team", "monkey"],
  ])("%s is none", (name) => {
    expect(isCredentialName(name)).toBe(false);
  });
});

describe("a value", () => {
  it("is a secret in prose only by its form, and elsewhere also when it could have been drawn at random", () => {
    expect(secretIn(`use ${AWS}, please`)).toBeDefined();
    for (const text of [OPAQUE, HEX]) {
      expect(secretIn(`as of commit ${text}`)).toBeUndefined();
      expect(opaqueIn(`https://a.test/s/${text}/mcp`)).toBe("random-looking text");
    }
  });

  it.each([
    "https://mcp.example.com/v1/mcp?lang=en",
    "@modelcontextprotocol/server-filesystem@2025.11.25",
    "/home/node/workspace/node_modules/.bin/some-longish-server-name",
    "--allowed-directories=/home/node/workspace",
    "postgresql-17-documentation",
  ])("%s is none", (text) => {
    expect(opaqueIn(text)).toBeUndefined();
  });
});
