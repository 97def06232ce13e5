import { isIPv6 } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalHost, hostInUrl, parseAuthority } from "../../../src/sidecars/egress/target/authority.ts";

describe("a host's one spelling", () => {
  it.each([
    ["Example.COM", "example.com"],
    ["example.com.", "example.com"],
    ["a_b.example.com", "a_b.example.com"],
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["10.1.2.3", "10.1.2.3"],
    ["[::1]", "::1"],
    ["[2001:DB8:0:0:0:0:0:1]", "2001:db8::1"],
    ["[::ffff:10.0.0.1]", "::ffff:a00:1"],
    ["localhost", "localhost"],
  ])("takes %s as %s", (text, host) => {
    expect(canonicalHost(text)).toBe(host);
  });

  it.each([
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "a..",
    "-a.com",
    "a-.com",
    `${"a".repeat(64)}.com`,
    `${"a.".repeat(130)}com`,
    "bücher.example",
    "\u212aubernetes.io",
    "user@host.com",
    "host.com/path",
    "host com",
    "host.com\0",
    "%68ost.com",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "010.0.0.1",
    "127.0.0.1.",
    "1.2.3.4.5",
    "256.1.1.1",
    "example.123",
    "example.0x1f",
    "::1",
    "[::1",
    "[fe80::1%eth0]",
    "[::1%25lo]",
    "[127.0.0.1]",
    "[]",
  ])("does not take %j", (text) => {
    expect(canonicalHost(text)).toBeUndefined();
  });

  it("is its own spelling, and only ever lower-case ASCII", () => {
    const text = fc.oneof(
      fc.domain(),
      fc.domain().map((name) => name.toUpperCase()),
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.string({ unit: fc.constantFrom(..."aZ09.-_[]:%@xK\u212a"), maxLength: 20 }),
    );
    fc.assert(
      fc.property(text, (given) => {
        const host = canonicalHost(given);
        if (host === undefined) return;
        expect(canonicalHost(hostInUrl(host))).toBe(host);
        expect(host).toMatch(/^[a-z0-9._:-]+$/);
      }),
      { numRuns: 2_000 },
    );
  });

  it("never differs from the host that a URL parser would dial", () => {
    const text = fc.oneof(
      fc.domain(),
      fc.string({ unit: fc.constantFrom(..."0123456789xXaf."), minLength: 1, maxLength: 14 }),
    );
    let compared = 0;
    fc.assert(
      fc.property(text, (given) => {
        const host = canonicalHost(given);
        if (host === undefined || isIPv6(host)) return;
        compared++;
        const url = new URL(`http://${given}/`).hostname;
        expect(url.endsWith(".") ? url.slice(0, -1) : url).toBe(host);
      }),
      { numRuns: 3_000 },
    );
    expect(compared).toBeGreaterThan(500);
  });
});

describe("an authority", () => {
  it.each([
    ["host.com", "host.com", undefined],
    ["host.com:443", "host.com", 443],
    ["[::1]:8080", "::1", 8080],
    ["10.0.0.1:80", "10.0.0.1", 80],
  ])("splits %s", (text, host, port) => {
    expect(parseAuthority(text)).toEqual({ host, port });
  });

  it.each([
    "host.com:",
    "host.com:x",
    "host.com:123456",
    "host:1:2",
    "a@b.com:443",
    ":443",
    "::1:443",
    "h,i",
  ])("does not take %s", (text) => {
    expect(parseAuthority(text)).toBeUndefined();
  });
});
