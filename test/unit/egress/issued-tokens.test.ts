import { describe, expect, it } from "vitest";
import { DETECTORS } from "../../../src/inspect/detectors/index.ts";
import { compileInspector, type Inspector } from "../../../src/inspect/inspector.ts";
import { createIssuance } from "../../../src/sidecars/egress/inspection/issuance.ts";
import { createIssuedTokens, inHeader } from "../../../src/sidecars/egress/inspection/issued-tokens.ts";

const inspector = compileInspector({ detectors: DETECTORS, fingerprintKey: Buffer.alloc(32, 3) });

describe("the memory of issued tokens", () => {
  it("keeps the latest, and to how many they may go", () => {
    const tokens = createIssuedTokens();
    for (let i = 0; i < 3_000; i++) tokens.issue(`mark ${i}`, inHeader("a.test"));
    expect(tokens.mayGo("mark 2999", inHeader("a.test"))).toBe(true);
    expect(tokens.mayGo("mark 0", inHeader("a.test"))).toBe(false);
    for (let i = 0; i < 100; i++) tokens.issue("mark 2999", inHeader(`${i}.test`));
    expect(tokens.mayGo("mark 2999", inHeader("99.test"))).toBe(true);
    expect(tokens.mayGo("mark 2999", inHeader("a.test"))).toBe(false);
  });

  it("forgets none that is used while others come", () => {
    const tokens = createIssuedTokens();
    for (let i = 0; i < 3_000; i++) {
      tokens.issue("in use", inHeader("a.test"));
      tokens.issue(`mark ${i}`, inHeader("a.test"));
    }
    expect(tokens.mayGo("in use", inHeader("a.test"))).toBe(true);
  });

  it("does not take for issued what the guest had, and does not lose what was issued by its use", () => {
    const tokens = createIssuedTokens();
    tokens.seenFromGuest("old");
    tokens.issue("old", inHeader("a.test"));
    expect(tokens.mayGo("old", inHeader("a.test"))).toBe(false);
    tokens.issue("new", inHeader("a.test"));
    tokens.seenFromGuest("new");
    tokens.issue("new", inHeader("b.test"));
    expect(tokens.mayGo("new", inHeader("a.test"))).toBe(true);
    expect(tokens.mayGo("new", inHeader("b.test"))).toBe(true);
  });
});

describe("who may refer to an endpoint", () => {
  const refers = (host: string, realm: string): boolean => {
    const tokens = createIssuedTokens();
    createIssuance(inspector, tokens).answer(
      { host, path: "/v2/" },
      {
        ...{ status: 401, phrase: "", bodyless: false, trailers: false },
        headers: ["WWW-Authenticate", `Bearer realm="https://${realm}/token",service="x"`],
      },
    );
    return tokens.referrers(`${realm}/token`).includes(host);
  };

  it.each([
    ["quay.io", "quay.io"],
    ["registry-1.docker.io", "auth.docker.io"],
    ["registry.gitlab.com", "gitlab.com"],
    ["images.shop.co.uk", "shop.co.uk"],
    ["10.0.0.7", "10.0.0.7"],
  ])("%s to %s", (host, realm) => expect(refers(host, realm)).toBe(true));

  it.each([
    ["docker.io.evil.com", "auth.docker.io"],
    ["evildocker.io", "auth.docker.io"],
    ["evil.co.uk", "shop.co.uk"],
    ["evil.com.au", "shop.com.au"],
    ["10.0.0.7", "1.0.0.7"],
    ["localhost", "other"],
  ])("not %s to %s", (host, realm) => expect(refers(host, realm)).toBe(false));
});

describe("hostile answers", () => {
  /** How often something was looked into. */
  function looks(body: string): number {
    let count = 0;
    const counting: Inspector = {
      ...inspector,
      scan(text) {
        count += 1;
        return inspector.scan(text);
      },
    };
    const reader = createIssuance(counting, createIssuedTokens()).answer(
      { host: "a.test", path: "/" },
      {
        ...{ status: 200, phrase: "", bodyless: false, trailers: false },
        headers: ["Content-Type", "application/vnd.git-lfs+json; charset=utf-8"],
      },
    );
    for (let at = 0; at < body.length; at += 10_000) reader?.push(Buffer.from(body.slice(at, at + 10_000)));
    reader?.end();
    return count;
  }

  it.each<[string, string, number]>([
    ["nested without end", `{"token":${"[".repeat(32_000)}${"]".repeat(32_000)}}`, 0],
    ["nested and named", `${'{"token":'.repeat(6_000)}1${"}".repeat(6_000)}`, 0],
    [
      "full of hosts",
      JSON.stringify(Array.from({ length: 2_000 }, (_, i) => ({ href: `https://h${i}.test/` }))),
      16,
    ],
    ["full of addresses of one host", JSON.stringify(Array(1_000).fill({ href: "https://h.test/?a=b" })), 1],
    ["named like an object's insides", '{"__proto__": {"token": "x"}, "token": {"constructor": "y"}}', 1],
    ["larger than what is read", `{"token": "${"x".repeat(10_000_000)}"}`, 0],
  ])("%s cost no more looks than a bounded number", (_what, body, most) => {
    expect(looks(body)).toBe(most);
  });
});
