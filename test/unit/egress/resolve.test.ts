import { describe, expect, it } from "vitest";
import { systemResolve } from "../../../src/sidecars/egress/address/resolve.ts";

describe("the system's resolver", () => {
  it("is asked once by all who ask for the same name at a time, and again by who asks later", async () => {
    const first = systemResolve("localhost");
    expect(systemResolve("localhost")).toBe(first);
    const addresses = await first;
    expect(addresses.length).toBeGreaterThan(0);
    const later = systemResolve("localhost");
    expect(later).not.toBe(first);
    expect(await later).toEqual(addresses);
  });
});
