/** Each rule on refs by itself: a push that nothing but that rule refuses. */
import { describe, expect, it } from "vitest";
import { judgeRefs, type RefContext } from "../../../src/sidecars/git-gate/policy/refs.ts";

const ID = "1".repeat(40);
const OLD = "2".repeat(40);
const ZERO = "0".repeat(40);
const OWN = "refs/heads/bottle/x";

const context = (change: Partial<RefContext> = {}): RefContext => ({
  rules: [{ pattern: "refs/heads/*", force: false, delete: false }],
  excepted: () => false,
  current: new Map(),
  symbolic: new Set(),
  ...change,
});
const anything = [{ pattern: "refs/heads/*", force: true, delete: true }];
const update = (ref: string, old = ZERO, next = ID) => ({ ref, old, new: next });
const codeOf = (updates: Parameters<typeof judgeRefs>[0], change: Partial<RefContext> = {}): string => {
  const verdict = judgeRefs(updates, context(change));
  return verdict.allow ? "allowed" : verdict.code;
};

describe("a ref", () => {
  it("that is listed, well named and where upstream has it, is allowed", () => {
    expect(codeOf([update(`${OWN}/a`)])).toBe("allowed");
    expect(codeOf([update(`${OWN}/a`, OLD)], { current: new Map([[`${OWN}/a`, OLD]]) })).toBe("allowed");
  });

  it.each([
    `${OWN}/a.lock`,
    `${OWN}/a.lock/b`,
    `${OWN}/a.`,
    `${OWN}/a..b`,
    `${OWN}/a@{b`,
    `${OWN}/HEAD`,
    `${OWN}/-a`,
    `${OWN}/.a`,
    `${OWN}//a`,
    `${OWN}/a b`,
    `${OWN}/a~b`,
    `${OWN}/ä`,
    `${OWN}/a\nb`,
    `${OWN}/${"x".repeat(200)}`,
    "refs/heads",
    "HEAD",
  ])("called %j is refused, also where everything is listed", (ref) => {
    const rules = [
      { pattern: "refs/heads/*", force: true, delete: true },
      { pattern: "*", force: true, delete: true },
    ];
    expect(codeOf([update(ref)], { rules })).toBe("ref-name");
  });

  it("that is not listed is refused, unless it is excepted", () => {
    expect(codeOf([update("refs/tags/v1")])).toBe("ref-not-allowed");
    expect(codeOf([update("refs/tags/v1")], { excepted: (ref) => ref === "refs/tags/v1" })).toBe("allowed");
    expect(codeOf([update("refs/tags/v2")], { excepted: (ref) => ref === "refs/tags/v1" })).toBe(
      "ref-not-allowed",
    );
  });

  it("that stands for another is refused, whatever is listed", () => {
    expect(codeOf([update(`${OWN}/a`)], { rules: anything, symbolic: new Set([`${OWN}/a`]) })).toBe(
      "ref-symbolic",
    );
  });

  it("of which nothing changes is refused", () => {
    expect(codeOf([update(`${OWN}/a`, ZERO, ZERO)], { rules: anything })).toBe("push-malformed");
  });

  it("is deleted only where a rule that matches it says so, and by no exception", () => {
    const current = new Map([[`${OWN}/a`, OLD]]);
    const gone = [update(`${OWN}/a`, OLD, ZERO)];
    expect(codeOf(gone, { current })).toBe("delete-not-allowed");
    expect(codeOf(gone, { current, excepted: () => true })).toBe("delete-not-allowed");
    expect(codeOf(gone, { current, rules: anything })).toBe("allowed");
    const elsewhere = [...context().rules, { pattern: "refs/tags/*", force: true, delete: true }];
    expect(codeOf(gone, { current, rules: elsewhere })).toBe("delete-not-allowed");
  });

  it("that upstream has moved, made or removed meanwhile is refused", () => {
    for (const [old, now] of [
      [OLD, ID],
      [ZERO, OLD],
    ] as const) {
      expect(
        codeOf([update(`${OWN}/a`, old, "3".repeat(40))], { current: new Map([[`${OWN}/a`, now]]) }),
      ).toBe("ref-moved");
    }
    expect(codeOf([update(`${OWN}/a`, OLD)])).toBe("ref-moved");
  });

  it("that differs only in case from one of upstream's or of the push's own is refused, but may be deleted", () => {
    const current = new Map([[`${OWN}/A`, OLD]]);
    expect(codeOf([update(`${OWN}/a`)], { current })).toBe("ref-clash");
    expect(codeOf([update(`${OWN}/b`), update(`${OWN}/B`)])).toBe("ref-clash");
    const both = new Map([...current, [`${OWN}/a`, OLD]]);
    expect(codeOf([update(`${OWN}/a`, OLD, ZERO)], { current: both, rules: anything })).toBe("allowed");
  });

  it("takes the whole push with it", () => {
    expect(codeOf([update(`${OWN}/a`), update("refs/tags/v1"), update(`${OWN}/b`)])).toBe("ref-not-allowed");
  });
});
