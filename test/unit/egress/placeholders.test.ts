import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compilePlaceholders } from "../../../src/sidecars/egress/policy/placeholders.ts";

const VALUE = "placeholder-for-a-credential";
const { isIn } = compilePlaceholders(["another-placeholder-value", VALUE]);

describe("a placeholder", () => {
  it.each([
    VALUE,
    VALUE.toUpperCase(),
    `Bearer ${VALUE}`,
    `/a/${VALUE}/b?x=y`,
    `?key=${encodeURIComponent(VALUE)}`,
    `?key=${[...VALUE].map((each) => `%${each.charCodeAt(0).toString(16)}`).join("")}`,
    `Basic ${Buffer.from(`user:${VALUE}`).toString("base64")}`,
    Buffer.from(VALUE).toString("hex"),
    Buffer.from(VALUE).toString("hex").toUpperCase(),
  ])("is found in %s", (text) => {
    expect(isIn(text)).toBe(true);
  });

  it("is found in base64 of whatever is around it", () => {
    const around = fc.uint8Array({ maxLength: 9 });
    fc.assert(
      fc.property(
        around,
        around,
        fc.constantFrom("base64" as const, "base64url" as const),
        (before, after, form) => {
          const bytes = Buffer.concat([before, Buffer.from(VALUE), after]);
          expect(isIn(bytes.toString(form))).toBe(true);
        },
      ),
    );
  });

  it("is not found in other texts", () => {
    for (const text of [
      "",
      "placeholder",
      "Bearer token",
      VALUE.slice(0, -1),
      "%zz%",
      "/a?b=placeholder-for-a",
    ]) {
      expect(isIn(text)).toBe(false);
    }
    fc.assert(fc.property(fc.string(), (text) => !isIn(text)));
    expect(compilePlaceholders([]).isIn(VALUE)).toBe(false);
  });

  it("that is too short to be told from ordinary text refuses the policy", () => {
    expect(() => compilePlaceholders(["placeholder"])).toThrow("at least 12");
  });
});
