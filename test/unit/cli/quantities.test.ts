import { describe, expect, it } from "vitest";
import { lifetimeFrom, termsOf, termsText } from "../../../src/cli/inbox/lifetime.ts";
import { durationText, parseBytes, parseDuration, sizeText } from "../../../src/cli/inbox/quantities.ts";

describe("times and sizes", () => {
  it.each([
    ["90s", 90_000],
    ["30m", 1_800_000],
    ["5min", 300_000],
    ["1h30m", 5_400_000],
    ["366d", 366 * 86_400_000],
  ])("reads the time %s", (text, expected) => expect(parseDuration(text)).toBe(expected));

  it.each(["", "h", "1", "0s", "1.5h", "-1h", "1h ", "367d", "1h!", "2w", "9999999d"])(
    "refuses the time %j",
    (text) => expect(() => parseDuration(text)).toThrow("not a time"),
  );

  it.each([
    ["500", 500],
    ["64K", 65_536],
    ["10MiB", 10 * 2 ** 20],
    ["1g", 2 ** 30],
  ])("reads the size %s", (text, expected) => expect(parseBytes(text)).toBe(expected));

  it.each(["", "0", "1.5M", "-1", "M", "999999999999T"])("refuses the size %j", (text) =>
    expect(() => parseBytes(text)).toThrow("not a number of bytes"),
  );

  it("says them in words", () => {
    expect([-5, 89_400, 90_000, 5_400_000, 129_600_000].map(durationText)).toEqual([
      ...["0 s", "89 s", "2 min", "2 h", "2 d"],
    ]);
    expect([0, 1023, 1024, 1536, 2 ** 50].map(sizeText)).toEqual([
      ...["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1024.0 TiB"],
    ]);
  });
});

describe("lifetimes", () => {
  it("takes one, an hour by default, and refuses two", () => {
    expect(termsOf({})).toEqual({ lifetime: { kind: "for", milliseconds: 3_600_000 } });
    expect(termsOf({ always: true, bytes: "1K" })).toEqual({ lifetime: { kind: "always" }, bytes: 1024 });
    expect(() => termsOf({ once: true, for: "1h" })).toThrow("one lifetime");
    expect(termsText(termsOf({ for: "2h", bytes: "1K" }))).toBe("for 2 h, at most 1.0 KiB");
  });

  it("takes one typed word", () => {
    expect(["once", " session", "2h", "", "always"].map((word) => lifetimeFrom(word).kind)).toEqual([
      ...["once", "session", "for", "for", "always"],
    ]);
    expect(() => lifetimeFrom("forever")).toThrow("not a time");
  });
});
