import { describe, expect, it } from "vitest";
import { MAX_MATCH } from "../../../../src/inspect/detector.ts";
import { DETECTORS } from "../../../../src/inspect/detectors/index.ts";
import { SECRET_EXAMPLES } from "../../../support/secret-examples/index.ts";

const withPattern = DETECTORS.filter(({ trigger }) => trigger.kind !== "words");

describe("the detectors' data", () => {
  it("names each detector once, in kebab case, with an https page for its format", () => {
    expect(new Set(DETECTORS.map(({ id }) => id)).size).toBe(DETECTORS.length);
    for (const { id, source } of DETECTORS) {
      expect(id).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
      expect(source).toMatch(/^https:\/\/[^\s]+$/);
    }
  });

  it("has keywords of three bytes and more, ASCII, small where case does not count", () => {
    for (const { id, trigger, ignoreCase } of DETECTORS) {
      if (trigger.kind !== "keyword") continue;
      for (const keyword of trigger.keywords) {
        expect(keyword, id).toMatch(/^[\x20-\x7e]{3,}$/);
        if (ignoreCase === true) expect(keyword, id).toBe(keyword.toLowerCase());
      }
    }
  });

  it.each(withPattern)("$id has a pattern that is bounded by construction", ({ pattern, ignoreCase }) => {
    expect(() => new RegExp(pattern, ignoreCase === true ? "i" : "")).not.toThrow();
    const bare = pattern
      .replace(/\\[\\\]]/g, "")
      .replace(/\[[^\]]*\]/g, "A")
      .replace(/\\./g, "A");
    expect(bare).not.toMatch(/[*+]|\{\d+,\}/);
    expect(pattern).not.toMatch(/(?<!\\)(?:\\\\)*\\[1-9k]/);
    for (const [, behind = ""] of bare.matchAll(/\(\?<[!=]([^)]*)\)/g)) {
      expect(
        behind.split("|").every((alternative) => alternative.length === 1),
        behind,
      ).toBe(true);
    }
  });

  it.each(withPattern)(
    "$id matches no more than the longest match allowed",
    ({ id, pattern, ignoreCase }) => {
      const expression = new RegExp(pattern, ignoreCase === true ? "gi" : "g");
      for (const secret of SECRET_EXAMPLES[id]?.secrets ?? []) {
        const text = `${(SECRET_EXAMPLES[id]?.carriers?.[0] ?? String)(secret)}${"A".repeat(2 * MAX_MATCH)}`;
        for (const match of text.matchAll(expression)) expect(match[0].length).toBeLessThanOrEqual(MAX_MATCH);
      }
    },
  );

  it.each(withPattern)("$id has one of its keywords in each match, where its trigger says", (detector) => {
    const { id, pattern, trigger, ignoreCase } = detector;
    if (trigger.kind !== "keyword") return;
    const expression = new RegExp(pattern, ignoreCase === true ? "i" : "");
    const carry = SECRET_EXAMPLES[id]?.carriers?.[0] ?? ((secret: string) => `KEY=${secret}\n`);
    for (const secret of SECRET_EXAMPLES[id]?.secrets ?? []) {
      const matched = expression.exec(carry(secret))?.[0] ?? "";
      const text = ignoreCase === true ? matched.toLowerCase() : matched;
      const offsets = trigger.keywords
        .map((keyword) => text.indexOf(keyword))
        .filter((offset) => offset >= 0);
      expect(offsets.length, secret).toBeGreaterThan(0);
      expect(Math.min(...offsets)).toBeLessThanOrEqual(trigger.before ?? 0);
    }
  });
});
