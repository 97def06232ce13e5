import { describe, expect, it } from "vitest";
import { countsProcesses, hardLimit } from "../../../src/jail/resource-limits.ts";

describe("the kernel's count of processes", () => {
  it.each([
    ["5.10.0-28-amd64", false],
    ["5.13.19", false],
    ["5.14.0-427.el9.x86_64", true],
    ["6.1.0", true],
    ["10.0", true],
    ["4.19.0", false],
    ["what", false],
  ])("on %s is by user namespace: %s", (kernel, expected) => {
    expect(countsProcesses(kernel)).toBe(expected);
  });
});

describe("a limit", () => {
  const limits = (hard: string): string =>
    `Limit                     Soft Limit           Hard Limit           Units     \nMax processes             4096                 ${hard}                processes \nMax open files            1024                 4096                 files     \n`;

  it("is never above what this process has itself", () => {
    expect(hardLimit("processes", 512, limits("100"))).toBe(100);
    expect(hardLimit("processes", 512, limits("5000"))).toBe(512);
    expect(hardLimit("processes", 512, limits("unlimited"))).toBe(512);
    expect(hardLimit("open files", 9999, limits("100"))).toBe(4096);
  });

  it("is read from the kernel's own text", () => {
    expect(hardLimit("processes", 1)).toBe(1);
  });
});
