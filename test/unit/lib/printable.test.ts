import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { printable, printableLines } from "../../../src/lib/printable.ts";

describe("printable text", () => {
  it("stays as it is when it can be shown", () => {
    expect(printable('Grüße, 世界 👋 $x "y" \\z')).toBe('Grüße, 世界 👋 $x "y" \\z');
  });

  it("has no character that moves the cursor, ends the line, turns the text around or cannot be seen", () => {
    expect(printable("a\u001b[2J\nb\r\u0007\u009b\u202e\u2066\u200b\u00ad\ufeff\u2028\u{e0041}\ud800")).toBe(
      "a\\u{1b}[2J\\u{a}b\\u{d}\\u{7}\\u{9b}\\u{202e}\\u{2066}\\u{200b}\\u{ad}\\u{feff}\\u{2028}\\u{e0041}\\u{d800}",
    );
  });

  it("regression: hides no message in signs that have no shape: selectors after a letter, fillers, joiners that join nothing", () => {
    expect(
      printable("a\u{e0148}\u{e0159}b\ufe00\u034f\u115f\u1160\u3164\uffa0\u180b\u17b4\u{1d173}\u{e0fff}"),
    ).toBe(
      "a\\u{e0148}\\u{e0159}b\\u{fe00}\\u{34f}\\u{115f}\\u{1160}\\u{3164}\\u{ffa0}\\u{180b}\\u{17b4}\\u{1d173}\\u{e0fff}",
    );
  });

  it("is one line of bounded length, whatever comes", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 400 }),
        fc.integer({ min: 1, max: 300 }),
        (text, length) => {
          const shown = printable(text, length);
          expect(shown).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u);
          if (text.length > length) expect(shown.length).toBeLessThanOrEqual(length + 1);
        },
      ),
    );
  });

  it("keeps the lines of what several said, and what stands in none", () => {
    expect(printableLines(`error\n  ${"x".repeat(300)}\r\n\u001b]0;title\u0007`)).toBe(
      `error\n  ${"x".repeat(300)}\\u{d}\n\\u{1b}]0;title\\u{7}`,
    );
  });

  it("says that it was cut", () => {
    expect(printable("abcdef", 3)).toBe("abc…");
    expect(printable("abc", 3)).toBe("abc");
  });
});
