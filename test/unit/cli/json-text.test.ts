import fc from "fast-check";
import { expect, it } from "vitest";
import { jsonText } from "../../../src/cli/output.ts";

it("regression: gives a terminal nothing to obey, which JSON itself leaves as it is", () => {
  expect(jsonText({ label: "\u009b2J\u202e\u2028\u{e0041}\u{e0148}é" })).toBe(
    '{"label":"\\u009b2J\\u202e\\u2028\\udb40\\udc41\\udb40\\udd48é"}',
  );
});

it("is the same value to whoever parses it", () => {
  const text = fc.string({ unit: "binary" });
  fc.assert(
    fc.property(fc.dictionary(text, text), fc.integer({ min: 0, max: 2 }), (value, indent) => {
      const json = jsonText(value, indent);
      expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
      expect(json.replaceAll("\n", "")).not.toMatch(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/u);
    }),
  );
});
