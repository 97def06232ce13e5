import { isIP } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseAddressRange, parseHost, parseHostPort, parseRouteHost } from "../../../src/lib/host.ts";

const label = fc
  .stringMatching(/^[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?$/)
  // A label that claims to be punycode must be some; that has a test of its own.
  .filter((text) => !text.toLowerCase().startsWith("xn--"));
const name = fc
  .tuple(fc.array(label, { minLength: 1, maxLength: 4 }), fc.stringMatching(/^[A-Za-z]{2,8}$/))
  .map(([labels, last]) => [...labels, last].join("."));

describe("a host", () => {
  it("is accepted in every spelling and has one", () => {
    fc.assert(
      fc.property(name, (text) => {
        expect(parseHost(text)).toEqual({ ok: true, value: text.toLowerCase() });
        expect(parseRouteHost(`*.${text}`)).toEqual({ ok: true, value: `*.${text.toLowerCase()}` });
      }),
    );
  });

  it("is what a URL makes of it, or is refused: two programs never read one name differently", () => {
    const almostHost = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."abcxyzABC019.-_*:@/%[]#? \\äé\u3002\u00ad\uff0e") }),
      name,
      fc.ipV4(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.webUrl(),
      fc.string({ unit: "binary" }),
    );
    fc.assert(
      fc.property(almostHost, (text) => {
        const parsed = parseHost(text);
        if (!parsed.ok) return;
        const url = new URL(`https://${isIP(parsed.value) === 6 ? `[${parsed.value}]` : parsed.value}/`);
        expect(url.hostname.replace(/^\[|\]$/g, "")).toBe(parsed.value);
        // Nor is there another name that it could have been meant as.
        expect(new URL(`https://${isIP(text) === 6 ? `[${text}]` : text}/`).hostname).toBe(url.hostname);
        // Once normal it stays so.
        expect(parseHost(parsed.value)).toEqual(parsed);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["https://example.com", "must be a host alone, without a scheme such as https://"],
    ["me:secret@example.com", "must be a host alone, without user information"],
    ["example.com/path", "must be a host alone; paths go into matches"],
    ["example.com:443", "leave the port out: a route covers the host"],
    ["example.com.", "leave the dot at the end out"],
    ["bücher.example", 'write its ASCII form: "xn--bcher-kva.example"'],
    ["\u0430pple.com", 'write its ASCII form: "xn--pple-43d.com"'],
    ["１.２.３.４", 'write its ASCII form: "1.2.3.4"'],
    ["xn--zzzzzz--a.de", "is not a host name: one of its labels is no valid punycode"],
    ["xn--a.example", "is not a host name: one of its labels is no valid punycode"],
    ["127.1", "is not an IPv4 address in its usual form: four decimal numbers without leading zeros"],
    ["2130706433", "is not an IPv4 address in its usual form: four decimal numbers without leading zeros"],
    ["0x7f.0.0.1", "is not an IPv4 address in its usual form: four decimal numbers without leading zeros"],
    ["0177.0.0.1", "is not an IPv4 address in its usual form: four decimal numbers without leading zeros"],
    ["fe80::1%eth0", "is not a host name"],
    ["a_b.example", "is not a host name: labels of letters, digits and dashes, with dots between"],
    ["-a.example", "is not a host name: labels of letters, digits and dashes, with dots between"],
    ["a..example", "is not a host name: labels of letters, digits and dashes, with dots between"],
    [
      `${"a".repeat(64)}.example`,
      "is not a host name: labels of letters, digits and dashes, with dots between",
    ],
    [
      Array(130).fill("a").join("."),
      "is not a host name: labels of letters, digits and dashes, with dots between",
    ],
    ["", "is empty"],
    ["a b", "is not a host name"],
  ])("is not %j: %s", (text, reason) => {
    expect(parseRouteHost(text)).toEqual({ ok: false, reason });
  });

  it.each([
    ["xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["LOCALHOST", "localhost"],
    ["192.0.2.7", "192.0.2.7"],
    ["[2001:DB8:0::1]", "2001:db8::1"],
    ["::ffff:192.0.2.7", "::ffff:c000:207"],
    ["r3---sn-x.example", "r3---sn-x.example"],
  ])("may be %s", (text, value) => {
    expect(parseRouteHost(text)).toEqual({ ok: true, value });
  });

  it.each([
    "*",
    "*.",
    "*.com",
    "*example.com",
    "**.example.com",
    "*.*.example.com",
    "a.*.example.com",
    "*.192.0.2.7",
    "*.::1",
  ])("has no wildcard like %s", (text) => {
    expect(parseRouteHost(text).ok).toBe(false);
  });

  it("has no wildcard where a single host is meant", () => {
    expect(parseHost("*.example.com").ok).toBe(false);
  });
});

describe("host:port", () => {
  it.each([
    ["Example.com:443", { host: "example.com", port: 443 }],
    ["127.0.0.1:1", { host: "127.0.0.1", port: 1 }],
    ["[::1]:65535", { host: "::1", port: 65_535 }],
  ])("is read from %s", (text, value) => {
    expect(parseHostPort(text)).toEqual({ ok: true, value });
  });
});

describe("an address range", () => {
  it("keeps an address and its prefix length", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 1, max: 32 }), (address, bits) => {
        expect(parseAddressRange(`${address}/${bits}`)).toEqual({ ok: true, value: `${address}/${bits}` });
        expect(parseAddressRange(address)).toEqual({ ok: true, value: `${address}/32` });
      }),
    );
  });

  it("is never everything", () => {
    for (const text of ["0.0.0.0/0", "::/0", "::/00", "10.0.0.0/000"])
      expect(parseAddressRange(text).ok).toBe(false);
  });
});
