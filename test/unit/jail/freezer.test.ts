import { describe, expect, it } from "vitest";
import { createFreezer } from "../../../src/jail/freezer.ts";

describe("a freezer", () => {
  it.each([
    ["of the host's own processes", process.pid],
    ["of one that is gone", 2 ** 22 + 1],
  ])("is not made %s", (_what, pid) => {
    expect(() => createFreezer(pid)).toThrow("no jail");
  });
});
