import { describe, expect, it } from "vitest";
import { guestUidRange, hostUidOf, isRoot, parseUidMap } from "../../../src/jail/host-uid.ts";

const HOST = "         0          0 4294967295\n";
const CONTAINER = "         0     100000      65536\n";
const ROOTLESS = "         0       1000          1\n         1     100000      65536\n";

describe("a uid map", () => {
  it("is read line by line", () => {
    expect(parseUidMap(ROOTLESS)).toEqual([
      { first: 0, outside: 1000, count: 1 },
      { first: 1, outside: 100_000, count: 65_536 },
    ]);
  });

  it.each([
    ["on a host", HOST],
    ["of a container", CONTAINER],
    ["of a rootless engine", ROOTLESS],
  ])("has a range for guests that lies in it, without root and nobody: %s", (_, text) => {
    const map = parseUidMap(text);
    const range = guestUidRange(map);
    const holds = (uid: number): boolean =>
      map.some(({ first, count }) => uid >= first && uid < first + count);
    expect(range.first).toBeGreaterThan(1000);
    expect(range.count).toBeGreaterThanOrEqual(100);
    expect([holds(range.first), holds(range.first + range.count - 1)]).toEqual([true, true]);
    const nobody = 65_534;
    expect(nobody >= range.first && nobody < range.first + range.count).toBe(false);
  });

  it("is above systemd's ranges where there is room", () => {
    expect(guestUidRange(parseUidMap(HOST))).toEqual({ first: 1_900_000_000, count: 100_000_000 });
  });

  it("with too few users is refused", () => {
    expect(() => guestUidRange(parseUidMap("0 1000 10\n"))).toThrow("too few users");
  });
});

describe("root", () => {
  it("is whoever has uid 0 and others beside him", () => {
    expect(isRoot(0, () => HOST)).toBe(true);
    expect(isRoot(0, () => CONTAINER)).toBe(true);
    expect(isRoot(1000, () => HOST)).toBe(false);
  });

  it("is not an ordinary user alone in a user namespace", () => {
    expect(isRoot(0, () => "0 1000 1\n")).toBe(false);
  });

  it("is refused when alone in one, because it would be mapped to itself", () => {
    expect(() => isRoot(0, () => "0 0 1\n")).toThrow("root is the only user");
  });
});

describe("the host uid of a bottle's part", () => {
  it("is the same for the same bottle, and another for another part or bottle", () => {
    const uids = [
      hostUidOf("a-12345", "guest"),
      hostUidOf("a-12345", "egress"),
      hostUidOf("b-12345", "guest"),
    ];
    expect(hostUidOf("a-12345", "guest")).toBe(uids[0]);
    expect(new Set(uids).size).toBe(process.getuid?.() === 0 ? 3 : 1);
    expect(uids).not.toContain(0);
  });
});
