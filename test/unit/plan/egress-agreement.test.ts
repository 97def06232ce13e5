/**
 * The manifest refuses, at a place in a file, what egress would refuse without one. Held by generating routes:
 * whatever the manifest accepts, egress takes.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { egressPolicy } from "../../../src/bundle/egress-settings.ts";
import { parseObject } from "../../../src/manifest/object-file.ts";
import { compilePolicy } from "../../../src/sidecars/egress/policy/compile.ts";

/** Odd enough to meet every check, good enough that most routes pass them all. */
const mostly = <T>(good: readonly T[], odd: readonly T[]): fc.Arbitrary<T> =>
  fc.oneof(
    { weight: 12, arbitrary: fc.constantFrom(...good) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) },
  );

const oddPieces = [
  ..."/.;%=-_~?#\\[](){}*+|^$ é",
  "%2e",
  "%2f",
  "%41",
  "%c3%a9",
  "%c0%ae",
  "..",
  "//",
  "%00",
];
const path = fc
  .array(mostly(["a", "b", "/c"], oddPieces), { maxLength: 6 })
  .map((parts) => `/${parts.join("")}`);
const host = fc.oneof(
  { weight: 6, arbitrary: fc.domain() },
  { weight: 2, arbitrary: fc.domain().map((name) => `*.${name}`) },
  fc.ipV4(),
  fc.ipV6(),
  fc.string({ unit: fc.constantFrom(..."aZ019.-*:[]x"), maxLength: 12 }),
);
const pathRule = fc.record({ type: fc.constantFrom("exact", "prefix", "regex"), value: path });
const headerRule = fc.record({
  name: mostly(
    ["X-Other", "Accept"],
    ["X-Key", "x_key", "Host", "te", "Authorization", "a b", "Content_Length"],
  ),
  value: mostly(["a", "a.*"], ["(a"]),
  type: fc.constantFrom("exact", "regex"),
});
const match = fc.record(
  {
    paths: fc.array(pathRule, { minLength: 1, maxLength: 2 }),
    methods: fc.array(mostly(["get", "POST", "M-SEARCH"], ["CONNECT", "P1"]), { minLength: 1, maxLength: 2 }),
    headers: fc.array(headerRule, { minLength: 1, maxLength: 2 }),
  },
  { requiredKeys: ["methods"] },
);
const scheme = mostly(
  ["Bearer", "token", "Basic", "header:X-Key", "header:x_key"],
  ["header:Host", "header:Te"],
);
const range = fc
  .tuple(fc.ipV4(), fc.integer({ min: 0, max: 40 }))
  .map(([address, bits]) => `${address}/${bits}`);
const target = fc.oneof(
  fc.domain(),
  fc.ipV4(),
  fc.ipV6().map((address) => `[${address}]`),
);
const route = fc.record(
  {
    host,
    matches: fc.array(match, { minLength: 1, maxLength: 2 }),
    auth: fc.record({ scheme, token_ref: fc.constant("T") }),
    tls: mostly(["terminate"], ["passthrough"]),
    allow_addresses: fc.array(fc.oneof(fc.ipV4(), fc.ipV6(), range), { maxLength: 2 }),
    connect_to: target.map((to) => `${to}:443`),
  },
  { requiredKeys: ["host"] },
);

describe("manifest and egress", () => {
  it("agree: a bottle that the manifest accepts is a policy that egress takes", () => {
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(route, { minLength: 1, maxLength: 2 }), (routes) => {
        // JSON is YAML.
        const file = parseObject("bottle", "b.md", `---\n${JSON.stringify({ egress: { routes } })}\n---\n`);
        if (file.value === undefined) return;
        accepted++;
        const policy = egressPolicy({
          plan: { routes: file.value.egress?.routes ?? [], rules: [], env: [] },
          ...{ upstreamCa: [], credentials: { T: "secret" }, env: {}, decoy: "d".repeat(40) },
        });
        expect(compilePolicy(policy).exact.size).toBeLessThanOrEqual(routes.length);
      }),
      { numRuns: 800 },
    );
    // A property that nothing reaches would hold.
    expect(accepted).toBeGreaterThan(100);
  }, 60_000);
});
