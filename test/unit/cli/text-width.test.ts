import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fitted, textWidth, wrapped } from "../../../src/cli/inbox/text-width.ts";
import { printable } from "../../../src/lib/printable.ts";

/** Any text as it is shown: hostile characters made harmless first. */
const shownText = fc
  .oneof(fc.string({ unit: "binary" }), fc.string({ unit: "grapheme" }), fc.string())
  .map((text) => printable(text, 500));

describe("textWidth", () => {
  it.each([
    ["", 0],
    ["abc", 3],
    ["漢字", 4],
    ["한국", 4],
    ["ｆｕｌｌ", 8],
    ["🎉", 2],
    ["e\u0301", 1],
    ["…", 1],
    ["\u1100\u1161\u11a8", 2],
  ])("gives %j %i cells", (text, width) => expect(textWidth(text)).toBe(width));
});

describe("fitted", () => {
  it("gives exactly the cells that were asked for, whatever the text", () => {
    fc.assert(
      fc.property(shownText, fc.integer({ min: 0, max: 120 }), (text, width) => {
        expect(textWidth(fitted(text, width))).toBe(width);
      }),
    );
  });

  it("cuts before a wide character that has no room", () => {
    expect(fitted("a漢字", 4)).toBe("a漢…");
    expect(fitted("漢字漢", 4)).toBe("漢… ");
  });
});

describe("wrapped", () => {
  it("makes pieces that fit, and leaves out nothing but blanks", () => {
    fc.assert(
      fc.property(shownText, fc.integer({ min: 2, max: 100 }), (text, width) => {
        const lines = wrapped(text, width);
        for (const line of lines) expect(textWidth(line)).toBeLessThanOrEqual(width);
        expect(lines.join("").replaceAll(" ", "")).toBe(text.replaceAll(" ", ""));
      }),
    );
  });

  it("breaks at blanks", () => {
    expect(wrapped("one two three four", 9)).toEqual(["one two", "three", "four"]);
    expect(wrapped("0123456789", 4)).toEqual(["0123", "4567", "89"]);
  });
});
