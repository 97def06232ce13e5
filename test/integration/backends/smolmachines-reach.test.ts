/**
 * Who can be reached from a smolmachines bottle, in a network where impostors own the world: each hole of each release
 * is open unless a test closes it, and either it leads nowhere or no agent is started.
 */
import { describe, expect, it } from "vitest";
import { ALIASES, takeAlias } from "../../../src/backends/smolmachines/alias.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { createScope } from "../../../src/lib/scope.ts";
import { runOutside } from "../../support/outer-network.ts";
import { isRoot } from "../../support/real-bottle.ts";
import type { ReachInput, ReachReport } from "./programs/smolmachines-reach.ts";

const PROGRAM = packagePath("test/integration/backends/programs/smolmachines-reach.ts");

const reach = (input: ReachInput, timeoutMs?: number): Promise<ReachReport> =>
  runOutside<ReachReport>(PROGRAM, { input, ...(timeoutMs !== undefined && { timeoutMs }) });

function answered(outcomes: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(outcomes).filter((target) => outcomes[target] === "answered");
}

/** Each must be there for those who may reach it, or the test shows nothing. */
function expectControls({ outside }: ReachReport): void {
  expect(Object.values(outside)).toEqual(Array.from({ length: 6 }, () => "answered"));
}

describe.runIf(isRoot)("a machine in a network namespace", () => {
  it.each(["0.8.0", "1.1.3", "1.8.0", "1.9.3"])(
    "of smolvm %s reaches its bundle and nothing else, whatever its filter does",
    async (version) => {
      const report = await reach({ version, rooms: true });
      expect(report.error).toBeUndefined();
      expectControls(report);
      const [url = ""] = report.guestUrls;
      expect(report.inside.map(answered)).toEqual([[`tcp ${new URL(url).host}`]]);
      expect(report.inside[0]?.["tcp 127.0.0.1:9"]).toBe("ECONNREFUSED");
      expect(report.surprises).toEqual([[]]);
      expect(report.left).toEqual([]);
    },
  );
});

describe.runIf(isRoot)("a machine on an address of the host's loopback", () => {
  it("whose release forgets its policy and ignores it is refused, by release, hole and remedy", async () => {
    const report = await reach({ version: "0.8.0", rooms: false });
    expectControls(report);
    expect(report.error).toMatch(
      /^smolvm 0\.8\.0 lets the guest reach what it must not, and its stored record was corrected/,
    );
    expect(report.error).toMatch(
      /tcp 127\.0\.0\.1:\d+ \(other ports of this host's loopback; hole A\.7\.2\)/,
    );
    expect(report.error).toMatch(/tcp 1\.1\.1\.1:443 .*hole A\.7\.5/);
    expect(report.error).toMatch(/tcp 169\.254\.169\.254:80 .*hole A\.7\.8/);
    expect(report.left).toEqual([]);
  });

  it("whose release only forgets its policy runs once its record was corrected, and reaches its bundle alone", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false });
    expect(report.error).toBeUndefined();
    expectControls(report);
    expect(report.guestUrls).toEqual(["http://127.0.0.16:9099"]);
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099"]]);
    expect(report.surprises).toEqual([[]]);
    expect(report.left).toEqual([]);
  });

  it("does not see another bottle's, nor what else listens there", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, bottles: 2 });
    expect(report.error).toBeUndefined();
    expect(report.guestUrls).toEqual(["http://127.0.0.16:9099", "http://127.0.0.17:9099"]);
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099"], ["tcp 127.0.0.17:9099"]]);
  });

  it("is refused while a service listens on all addresses, which is named", async () => {
    const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, everywhere: 7_777 });
    expect(report.error).toMatch(
      /tcp 127\.0\.0\.16:7777 \(a service of this host's that listens on all its addresses/,
    );
    expect(report.left).toEqual([]);
  });

  it("runs while such a service is listed, and reaches that and its bundle", async () => {
    const input = { version: "0.8.0", closed: ["A.7.3"], rooms: false, everywhere: 7_777 };
    const report = await reach({ ...input, hostServices: [7_777] });
    expect(report.error).toBeUndefined();
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.16:9099", "tcp 127.0.0.16:7777"]]);
    expect((await reach({ ...input, hostServices: [7_778] })).error).toContain("127.0.0.16:7777");
  });

  it("of a release of which no correction is known is refused", async () => {
    const report = await reach({ version: "1.1.3", rooms: false });
    expect(report.error).toMatch(
      /^smolvm 1\.1\.3 lets the guest reach what it must not, and nothing is known to correct that/,
    );
    expect(report.error).toMatch(/hole A\.7\.2/);
    expect(report.left).toEqual([]);
  });

  it("of a release that opens the whole loopback is refused before anything is made", async () => {
    const report = await reach({ version: "1.8.0", rooms: false });
    expect(report.error).toMatch(
      /smolvm 1\.8\.0 leads a guest to every port of this host's loopback or to none \(hole A\.7\.1\)/,
    );
    expect(report.left).toEqual([]);
  });

  it("is not needed by one that has no network at all", async () => {
    const report = await reach({ version: "1.9.3", rooms: false });
    expect(report.error).toBeUndefined();
    expectControls(report);
    expect(report.inside.map(answered)).toEqual([["tcp 127.0.0.1:9099"]]);
    expect(report.inside[0]?.["tcp 1.1.1.1:443"]).toBe("ENETUNREACH");
    expect(report.surprises).toEqual([[]]);
  });
});

const SOAK_MS = 900_000;

describe.runIf(isRoot && process.env["SOAK"] !== undefined)("many machines at once", () => {
  it(
    "of seventeen are sixteen, each on an address of its own where it sees its bundle alone, and one that is refused",
    async () => {
      const report = await reach({ version: "0.8.0", closed: ["A.7.3"], rooms: false, bottles: 17 }, SOAK_MS);
      expect(report.error).toBe("all 16 loopback addresses for bottles are in use");
      const places = ALIASES.map((alias) => `${alias}:9099`);
      expect(report.guestUrls).toEqual(places.map((place) => `http://${place}`));
      expect(report.inside.map(answered)).toEqual(places.map((place) => [`tcp ${place}`]));
      expect(report.surprises).toEqual(ALIASES.map(() => []));
      expect(report.left).toEqual([]);
    },
    SOAK_MS,
  );

  it(
    "without a network are as many as there are, and each sees its bundle alone",
    async () => {
      const report = await reach({ version: "1.9.3", rooms: false, bottles: 16 }, SOAK_MS);
      expect(report.error).toBeUndefined();
      expect(report.inside.map(answered)).toEqual(ALIASES.map(() => ["tcp 127.0.0.1:9099"]));
      expect(report.surprises).toEqual(ALIASES.map(() => []));
      expect(report.left).toEqual([]);
    },
    SOAK_MS,
  );
});

describe.runIf(process.platform === "linux")("loopback addresses", () => {
  it("are sixteen for sixteen bottles at once, and the seventeenth is refused", async () => {
    const scopes = ALIASES.map(() => createScope());
    try {
      const taken = await Promise.all(scopes.map((scope) => takeAlias(scope)));
      expect([...taken].sort()).toEqual([...ALIASES].sort());
      await expect(takeAlias(createScope())).rejects.toThrow(
        "all 16 loopback addresses for bottles are in use",
      );
      const third = taken.indexOf("127.0.0.18");
      await scopes[third]?.close();
      const again = createScope();
      scopes.push(again);
      expect(await takeAlias(again)).toBe("127.0.0.18");
    } finally {
      for (const scope of scopes) await scope.close();
    }
  });
});
