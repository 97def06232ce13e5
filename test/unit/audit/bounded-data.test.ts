import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { boundedData, MAX_DATA_BYTES } from "../../../src/audit/bounded-data.ts";
import { canonicalJson } from "../../../src/audit/canonical-json.ts";
import { chain, genesis, MAX_LINE_BYTES, parseLine } from "../../../src/audit/entry.ts";

const sizeOf = (value: unknown): number => Buffer.byteLength(canonicalJson(value));

describe("an event's data", () => {
  it("is copied as it is when it is small", () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: "grapheme", maxLength: 20 }), fc.jsonValue({ maxDepth: 4 }), {
          maxKeys: 8,
        }),
        (data) => {
          const asJson: unknown = JSON.parse(JSON.stringify(data));
          expect(boundedData(data)).toEqual(asJson);
        },
      ),
    );
  });

  it("says how much of a long string is missing", () => {
    const { path } = boundedData({ path: "x".repeat(100_000) });
    expect(path).toMatch(/^x{8192}…\[91808 more characters\]$/);
  });

  it("says how many items and members are missing", () => {
    const cut = boundedData({
      list: Array(1000).fill(1),
      map: Object.fromEntries(Array(300).fill(0).entries()),
    });
    expect(cut["list"]).toHaveLength(257);
    expect((cut["list"] as unknown[]).at(-1)).toBe("…[744 more items]");
    expect((cut["map"] as Record<string, unknown>)["…"]).toBe("44 more members");
  });

  it("marks what nests too deep, without following it", () => {
    const deep: unknown = JSON.parse(`${'{"a":'.repeat(5000)}1${"}".repeat(5000)}`);
    expect(JSON.stringify(boundedData({ deep }))).toContain("nested too deep");
    const loop: Record<string, unknown> = {};
    loop["self"] = loop;
    expect(JSON.stringify(boundedData(loop))).toContain("nested too deep");
  });

  it("leaves undefined members out and replaces half a surrogate pair", () => {
    expect(boundedData({ a: undefined, b: "\ud800x" })).toEqual({ b: "\ufffdx" });
    // A cut through the middle of a pair leaves no half.
    expect(canonicalJson(boundedData({ s: `x${"😀".repeat(10_000)}` }))).toContain("more characters");
  });

  it("keeps a member named __proto__ a member", () => {
    const data = JSON.parse('{"__proto__":{"polluted":1}}') as Record<string, unknown>;
    const copy = boundedData(data);
    expect(canonicalJson(copy)).toBe('{"__proto__":{"polluted":1}}');
    expect("polluted" in copy).toBe(false);
  });

  it("refuses what is no JSON", () => {
    for (const value of [Number.NaN, 1n, Symbol("x"), () => 0, new Date(), new Map(), [undefined]]) {
      expect(() => boundedData({ value })).toThrow(TypeError);
    }
  });

  it("keeps who and when, however long a list before them is", () => {
    const data = {
      list: Array(200).fill("\u20ac".repeat(8192)),
      by: "ann",
      at: 7,
      none: null,
      more: { x: 1 },
    };
    expect(boundedData(data)).toMatchObject({ by: "ann", at: 7, none: null, "…": "1 more members" });
  });

  it("never makes a line that a reader refuses, whatever it is given", () => {
    const hostile = [
      { s: "\u0000".repeat(1_000_000) },
      { list: Array(256).fill("\u0001".repeat(8192)) },
      { map: Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`${i}`.padEnd(200, "\u0002"), i])) },
      Object.fromEntries(Array.from({ length: 256 }, (_, i) => [`${"é".repeat(150)}${i}`, "€".repeat(9000)])),
      wide(8, 256),
      { empty: Array(256).fill(Array(256).fill([])) },
      { empty: Array(256).fill(Array(256).fill({})) },
    ];
    for (const data of hostile) {
      expect(sizeOf(boundedData(data))).toBeLessThan(MAX_DATA_BYTES * 1.25);
      checkLine(data);
    }
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: "binary", maxLength: 300 }),
          fc.oneof(
            fc.jsonValue({ maxDepth: 10, stringUnit: "binary" }),
            fc.string({ unit: "binary", maxLength: 20_000, size: "max" }),
            fc.array(fc.string({ unit: "binary" }), { maxLength: 2_000, size: "max" }),
          ),
        ),
        checkLine,
      ),
      { numRuns: 60 },
    );
  });
});

function checkLine(data: Readonly<Record<string, unknown>>): void {
  const fields = { seq: Number.MAX_SAFE_INTEGER, time: "2030-01-01T00:00:00.000Z", event: "egress.denied" };
  const { line } = chain({ ...fields, data: boundedData(data), prev: genesis("a-aaaaa") });
  expect(Buffer.byteLength(line)).toBeLessThanOrEqual(MAX_LINE_BYTES);
  expect(parseLine(Buffer.from(line.slice(0, -1)))).toMatchObject({ kind: "entry", hashIsRight: true });
}

/** Every level shares the one below: small to build, endless to walk. */
function wide(depth: number, breadth: number): Record<string, unknown> {
  let value: unknown = 1;
  for (let i = 0; i < depth; i++) value = Array(breadth).fill(value);
  return { value };
}
