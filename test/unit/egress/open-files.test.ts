import { describe, expect, it } from "vitest";
import { connectionsFor, openFiles } from "../../../src/sidecars/egress/accept/open-files.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";

describe("the number of connections", () => {
  it.each([
    [1024, 288],
    [4096, 1824],
    [65_536, 32_544],
    [256, 16],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])("that there are descriptors for, of %d files, is %d", (files, connections) => {
    expect(connectionsFor(files, LIMITS)).toBe(connections);
  });

  it.runIf(process.platform === "linux")("goes by what this process may open", () => {
    expect(openFiles()).toBeGreaterThan(100);
  });
});
