import { describe, expect, it } from "vitest";
import { MAX_MATCH } from "../../../src/inspect/detector.ts";
import type { Finding } from "../../../src/inspect/finding.ts";
import type { Inspector, InspectorOptions } from "../../../src/inspect/inspector.ts";
import { mask } from "../../../src/inspect/mask.ts";

type Text = InspectorOptions["fingerprintKey"] & Parameters<Inspector["scan"]>[0];

function finding(start: number, end: number, more: Partial<Finding> = {}): Finding {
  const base = {
    kind: "pattern",
    detector: "forge-token",
    through: [],
    fingerprint: "0123456789abcdef",
  } as const;
  return { ...base, start, end, ...more };
}

function masked(text: string, value: string, more: Partial<Finding> = {}): string {
  const start = text.indexOf(value);
  return mask(Buffer.from(text), [finding(start, start + value.length, more)]).toString();
}

describe("mask", () => {
  it("keeps the length, and says what it was and which", () => {
    const text = `{"key":"${"aB-".repeat(14)}"}`;
    const out = masked(text, "aB-".repeat(14));
    expect(out).toHaveLength(text.length);
    expect(out).toBe('{"key":"MASKEDforgetoken0123456789abcdef0123456789"}');
  });

  it("gives one value one mask, and another value another", () => {
    const one = masked("x zzzzzzzzzzzzzzzzzz", "zzzzzzzzzzzzzzzzzz");
    const again = masked("another zzzzzzzzzzzzzzzzzz", "zzzzzzzzzzzzzzzzzz");
    const other = masked("x zzzzzzzzzzzzzzzzzz", "zzzzzzzzzzzzzzzzzz", { fingerprint: "fedcba9876543210" });
    expect(again.slice(8)).toBe(one.slice(2));
    expect(other).not.toBe(one);
  });

  it("keeps a number a number and JSON valid", () => {
    const out = masked('{"card":4111111111111111}', "4111111111111111");
    expect(Object.keys(JSON.parse(out))).toEqual(["card"]);
    expect(out).not.toContain("4111");
  });

  it.each([
    ["hex", "dead10cc".repeat(4), /^[0-9a-f]{32}$/],
    ["HEX", "DEAD10CC".repeat(4), /^[0-9A-F]{32}$/],
    ["base32", "NBSWY3DP".repeat(4), /^[A-Z2-7]{32}$/],
    ["hex with colons", "de:ad:10:cc:".repeat(6), /^(?:[0-9a-f]{2}:){24}$/],
    ["base64", "aGVsbG8+/w==".repeat(3), /^[A-Za-z0-9]{36}$/],
    ["percent escapes", "%41%42%43%44%45%46", /^[A-Za-z0-9]{18}$/],
  ])("stays in the alphabet of %s", (_, value, alphabet) => {
    const out = masked(`a=${value}&b`, value);
    expect(out.slice(2, -2)).toMatch(alphabet);
    expect(out.slice(0, 2) + out.slice(-2)).toBe("a=&b");
  });

  it("keeps the fingerprint where there is no room for words", () => {
    expect(masked("p=hunter2zz;", "hunter2zz")).toBe("p=012345678;");
  });

  it("takes out overlapping findings whole", () => {
    const text = Buffer.from("0123456789qrstuvwxyz");
    const out = mask(text, [finding(12, 20), finding(8, 14)]).toString();
    expect(out.slice(0, 8)).toBe("01234567");
    expect(out.slice(8)).not.toMatch(/[q-z]/);
  });

  it("leaves the original alone", () => {
    const text: Text = Buffer.from("0123456789qrstuvwxyz".padEnd(MAX_MATCH));
    mask(text, [finding(0, 20)]);
    expect(Buffer.from(text).toString().trim()).toBe("0123456789qrstuvwxyz");
  });
});
