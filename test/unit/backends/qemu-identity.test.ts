/** Who a micro-VM is told to be. */
import { describe, expect, it } from "vitest";
import { makeIdentity } from "../../../src/backends/qemu/identity.ts";

const make = () => makeIdentity({ hostname: "x", etc: {}, mounts: [] });

describe("what a guest is known by", () => {
  it("is nobody else's", () => {
    const [one, two] = [make(), make()];
    expect(two.keys.hostKey.equals(one.keys.hostKey)).toBe(false);
    expect(two.keys.secret).not.toBe(one.keys.secret);
    expect(two.identity.hostKey).not.toBe(one.identity.hostKey);
    expect(two.identity.seed).not.toBe(one.identity.seed);
  });
});
