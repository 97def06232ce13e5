import { describe, expect, it } from "vitest";
import { createBudget, type PerMinute } from "../../../src/sidecars/egress/budget.ts";

function budgetOf(limits: Partial<PerMinute>) {
  let now = 0;
  const all = { requests: undefined, uploadBytes: undefined, downloadBytes: undefined, ...limits };
  const budget = createBudget(all, () => now);
  return {
    ...budget,
    pass: (seconds: number) => {
      now += seconds * 1_000;
    },
    admitted: (length?: number) => budget.admit(length)?.code ?? "yes",
  };
}

describe("a budget of requests", () => {
  it("lets a minute's worth begin at once, then as many as time brings, and says when", () => {
    const budget = budgetOf({ requests: 3 });
    expect([1, 2, 3, 4].map(() => budget.admitted())).toEqual(["yes", "yes", "yes", "request-rate"]);
    expect(budget.admit(undefined)).toMatchObject({ retryAfter: 20 });
    budget.pass(15);
    expect(budget.admit(undefined)).toMatchObject({ retryAfter: 5 });
    budget.pass(5);
    expect([1, 2].map(() => budget.admitted())).toEqual(["yes", "request-rate"]);
    budget.pass(3_600);
    expect([1, 2, 3, 4].map(() => budget.admitted())).toEqual(["yes", "yes", "yes", "request-rate"]);
  });
});

describe("a budget of uploads", () => {
  it("refuses a body that no minute would hold before it is sent", () => {
    const budget = budgetOf({ uploadBytes: 100 });
    expect(budget.admitted(101)).toBe("upload-too-large");
    expect(budget.admitted(100)).toBe("yes");
  });

  it("stops a body where it exceeds the minute, and what comes next until there is room", () => {
    const budget = budgetOf({ uploadBytes: 60 });
    expect(budget.moved(60, 0)).toBeUndefined();
    expect(budget.moved(6, 0)).toMatchObject({ code: "upload-rate", retryAfter: 7 });
    expect(budget.admit(undefined)).toMatchObject({ code: "upload-rate", retryAfter: 7 });
    budget.pass(7);
    expect(budget.admitted()).toBe("yes");
    expect(budget.moved(0, 1_000_000)).toBeUndefined();
  });
});

describe("a budget of downloads", () => {
  it("cuts no answer short, and lets nothing begin until it is paid back", () => {
    const budget = budgetOf({ downloadBytes: 60 });
    expect(budget.moved(0, 120)).toBeUndefined();
    expect(budget.moved(10, 0)).toBeUndefined();
    expect(budget.admit(undefined)).toMatchObject({ code: "download-rate", retryAfter: 61 });
    budget.pass(61);
    expect(budget.admitted()).toBe("yes");
  });
});

describe("no budget", () => {
  it("is no limit", () => {
    const budget = budgetOf({});
    for (let i = 0; i < 1_000; i++) expect(budget.admitted(2 ** 40)).toBe("yes");
    expect(budget.moved(2 ** 40, 2 ** 40)).toBeUndefined();
  });
});
