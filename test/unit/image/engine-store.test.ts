import { expect, it } from "vitest";
import { nameInEngine } from "../../../src/image/engine-store.ts";

it("images of two contents have two names in an engine, each one that it takes", () => {
  const one = nameInEngine("a".repeat(64));
  for (const at of [16, 32, 48, 63]) {
    const other = nameInEngine(`${"a".repeat(at)}${"b".repeat(64 - at)}`);
    expect(other).not.toBe(one);
  }
  // The reference grammar of the distribution project.
  expect(one).toMatch(/^[a-z-]+:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/);
});
