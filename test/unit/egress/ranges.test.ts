import { BlockList } from "node:net";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isRefused, isWithin, parseIp, parseRange } from "../../../src/sidecars/egress/address/ranges.ts";

describe("addresses that are refused", () => {
  it.each([
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "5f00::1",
    "100::1",
    "no address",
    "",
  ])("%s", (address) => {
    expect(isRefused(address)).toBe(true);
  });
});

describe("addresses that are not", () => {
  it.each([
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
  ])("%s", (address) => {
    expect(isRefused(address)).toBe(false);
  });
});

describe("a range", () => {
  it.each([
    "10.0.0.0/33",
    "::/129",
    "10.0.0/8",
    "10.0.0.0/",
    "10.0.0.0/-1",
    "10.0.0.0/8/8",
    "a/8",
    "",
    "fe80::1%x/64",
  ])("is not %j", (text) => {
    expect(parseRange(text)).toBeUndefined();
  });

  it("covers exactly what node's own block list says", () => {
    const pair = fc.oneof(
      fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }), fc.ipV4(), fc.constant("ipv4" as const)),
      fc.tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }), fc.ipV6(), fc.constant("ipv6" as const)),
    );
    fc.assert(
      fc.property(pair, fc.boolean(), ([base, bits, other, family], near) => {
        // Two random addresses share few bits: half of the time ask about the base's own neighbourhood.
        const asked = near ? base : other;
        if (/^::ffff:/i.test(base) || /^::ffff:/i.test(asked)) return;
        const oracle = new BlockList();
        oracle.addSubnet(base, bits, family);
        const range = parseRange(`${base}/${bits}`);
        expect(range).toBeDefined();
        expect(isWithin(range ? [range] : [], asked)).toBe(oracle.check(asked, family));
      }),
      { numRuns: 2_000 },
    );
  });

  it("of IPv4 covers the same address in its IPv6-mapped form", () => {
    const range = parseRange("127.0.0.0/8");
    expect(range && isWithin([range], "::ffff:127.0.0.1")).toBe(true);
    expect(range && isWithin([range], "::ffff:128.0.0.1")).toBe(false);
  });

  it("are of one family: what begins with the same bytes in the other is not within", () => {
    const [four, six] = [parseRange("10.0.0.0/8"), parseRange("fc00::/7")];
    expect(four && isWithin([four], "10.1.1.1")).toBe(true);
    expect(four && isWithin([four], "a00::1")).toBe(false);
    expect(six && isWithin([six], "fd00::1")).toBe(true);
    expect(six && isWithin([six], "253.0.0.1")).toBe(false);
  });

  it("without a prefix is one address", () => {
    const range = parseRange("fd00::5");
    expect(range && isWithin([range], "fd00::5")).toBe(true);
    expect(range && isWithin([range], "fd00::6")).toBe(false);
  });
});

describe("an address's bytes", () => {
  it("are the same for every spelling", () => {
    fc.assert(
      fc.property(fc.ipV6(), (address) => {
        const bytes = parseIp(address);
        expect(bytes).toHaveLength(16);
        expect(parseIp(new URL(`http://[${address}]/`).hostname.slice(1, -1))).toEqual(bytes);
        expect(bytes?.every((byte) => Number.isInteger(byte) && byte >= 0 && byte <= 255)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
