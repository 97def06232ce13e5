import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileSkipSearch } from "../../../src/inspect/skip-search.ts";

const letters = (minLength: number, maxLength: number): fc.Arbitrary<Buffer> =>
  fc
    .array(fc.constantFrom(..."abc"), { minLength, maxLength, size: "max" })
    .map((each) => Buffer.from(each.join("")));

describe("the search that skips", () => {
  it("says whether a string stands in a text, wherever that is", () => {
    fc.assert(
      fc.property(
        fc.array(letters(2, 90), { minLength: 1, maxLength: 5 }),
        letters(0, 200),
        fc.option(fc.tuple(fc.nat(), fc.nat())),
        (strings, noise, place) => {
          const planted = strings[(place?.[0] ?? 0) % strings.length] ?? Buffer.alloc(0);
          const at = (place?.[1] ?? 0) % (noise.length + 1);
          const text =
            place === null ? noise : Buffer.concat([noise.subarray(0, at), planted, noise.subarray(at)]);
          const { holds, longest } = compileSkipSearch(strings);
          expect(holds(text)).toBe(strings.some((each) => text.includes(each)));
          expect(longest).toBe(Math.max(...strings.map(({ length }) => length)));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("says no where no string begins, however near the text comes to one", () => {
    const { holds } = compileSkipSearch([Buffer.from("Bearer abcdef"), Buffer.from("QmVhcmVyIGFi")]);
    expect(holds(Buffer.from("Bearer abcde, earer abcdef, QmVhcmVyIGF".repeat(50)))).toBe(false);
    expect(holds(Buffer.from("Bearer abcdef"))).toBe(true);
    expect(holds(Buffer.alloc(0))).toBe(false);
  });
});
