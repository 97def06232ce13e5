import { describe, expect, it } from "vitest";
import { INSPECTED } from "../../../src/contract/policy.ts";
import type { EgressRoute, RouteGrant } from "../../../src/contract/sidecar.ts";
import { createGrants } from "../../../src/sidecars/egress/grants.ts";

function routes(...grants: readonly (RouteGrant | undefined)[]): { routes: EgressRoute[] } {
  return {
    routes: grants.map((grant) => ({
      host: "a.test",
      matches: [],
      inject: [],
      credentialHeaders: [],
      tls: "terminate",
      allowAddresses: [],
      inspection: { ...INSPECTED },
      ...(grant && { grant }),
    })),
  };
}

describe("grants", () => {
  it("hold from when they are adopted until they are not among the adopted any more", () => {
    const grants = createGrants();
    expect(grants.holds("g")).toBe(false);
    grants.adopt(routes(undefined, { id: "g" }));
    expect(grants.holds("g")).toBe(true);
    expect(grants.holds("h")).toBe(false);
    grants.adopt(routes({ id: "h" }));
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });

  it("end with their time, to the millisecond", () => {
    let now = 1_000;
    const grants = createGrants(() => now);
    grants.adopt(routes({ id: "g", until: 2_000 }));
    now = 1_999;
    expect(grants.use("g")).toBe(true);
    now = 2_000;
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });

  it("are used as often as they say, over reloads and what an earlier egress had used", () => {
    const grants = createGrants();
    const terms = (before: number): RouteGrant => ({ id: "g", uses: { most: 4, before } });
    grants.adopt(routes(terms(1)));
    expect([grants.use("g"), grants.use("g")]).toEqual([true, true]);
    // The keeper has heard of one of the two.
    grants.adopt(routes(terms(2)));
    expect([grants.use("g"), grants.use("g")]).toEqual([true, false]);
    expect(grants.holds("g")).toBe(true);
    grants.adopt(routes(terms(9)));
    expect(grants.use("g")).toBe(false);
  });

  it("end with their bytes, counted over reloads", () => {
    const grants = createGrants();
    const terms = (before: number): RouteGrant => ({ id: "g", bytes: { most: 100, before } });
    grants.adopt(routes(terms(10)));
    grants.moved("g", 89);
    expect(grants.holds("g")).toBe(true);
    grants.adopt(routes(terms(20)));
    grants.moved("g", 1);
    expect(grants.holds("g")).toBe(false);
    expect(grants.use("g")).toBe(false);
  });
});
