import { describe, expect, it } from "vitest";
import { createGrants } from "../../../src/approvals/grant-counter.ts";
import type { RouteGrant } from "../../../src/contract/sidecar.ts";

describe("grants", () => {
  it("hold from when they are adopted until they are not among the adopted any more", () => {
    const grants = createGrants();
    expect(grants.holds("g")).toBe(false);
    grants.adopt([undefined, { id: "g" }]);
    expect(grants.holds("g")).toBe(true);
    expect(grants.holds("h")).toBe(false);
    grants.adopt([{ id: "h" }]);
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });

  it("end with their time, to the millisecond", () => {
    let now = 1_000;
    const grants = createGrants(() => now);
    grants.adopt([{ id: "g", until: 2_000 }]);
    now = 1_999;
    expect(grants.use("g")).toBe(true);
    now = 2_000;
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });

  it("are used as often as they say, over reloads and what an earlier egress had used", () => {
    const grants = createGrants();
    const terms = (before: number): RouteGrant => ({ id: "g", uses: { most: 4, before } });
    grants.adopt([terms(1)]);
    expect([grants.use("g"), grants.use("g")]).toEqual([true, true]);
    // The keeper has heard of one of the two.
    grants.adopt([terms(2)]);
    expect([grants.use("g"), grants.use("g")]).toEqual([true, false]);
    expect(grants.holds("g")).toBe(true);
    grants.adopt([terms(9)]);
    expect(grants.use("g")).toBe(false);
  });

  it("end with their bytes, counted over reloads", () => {
    const grants = createGrants();
    const terms = (before: number): RouteGrant => ({ id: "g", bytes: { most: 100, before } });
    grants.adopt([terms(10)]);
    grants.moved("g", 89);
    expect(grants.holds("g")).toBe(true);
    grants.adopt([terms(20)]);
    grants.moved("g", 1);
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });
});
