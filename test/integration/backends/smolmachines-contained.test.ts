/** Machines on loopback addresses of their own, each with its bundle in a container behind a published port. */
import { describe, expect, it } from "vitest";
import { ALIASES } from "../../../src/backends/smolmachines/alias.ts";
import { packagePath } from "../../../src/lib/package-root.ts";
import { engineLack } from "../../support/docker-engine.ts";
import { runOutside } from "../../support/outer-network.ts";
import { because } from "../../support/smolvm.ts";
import type { ContainedInput, ContainedReport } from "./programs/smolmachines-contained.ts";

const PROGRAM = packagePath("test/integration/backends/programs/smolmachines-contained.ts");
/** An engine that comes up, an image that is built. */
const WITHIN_MS = 240_000;
const SOAK_MS = 900_000;

const inSoak = process.env["SOAK"] === undefined ? "npm run soak -- aliases" : undefined;
const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: published bundles of machines: ${lack}`);

describe.skipIf(lack !== undefined)(
  `machines whose bundles are published on addresses of their own${because(lack)}`,
  () => {
    it(
      "reach the published port of their own and nothing besides, and need the bearer there",
      async () => {
        const input: ContainedInput = { version: "0.8.0", closed: ["A.7.3"], bottles: 2 };
        const report = await runOutside<ContainedReport>(PROGRAM, { timeoutMs: WITHIN_MS, input });
        expect(report.error).toBeUndefined();
        const [first = "", second = ""] = report.guestUrls.map((url) => new URL(url).host);
        expect(first).toMatch(/^127\.0\.0\.16:\d+$/);
        expect(second).toMatch(/^127\.0\.0\.17:\d+$/);
        expect(report.published).toEqual([first, second]);
        expect(report.inside.map(answered)).toEqual([[first], [second]]);
        // Which all answer to this host: the bundles' unpublished ports among them.
        expect(report.beside["127.0.0.1:9"]).toBe("answered");
        expect(Object.values(report.beside)).toEqual(["answered", "answered", "answered"]);
        expect(report.inside[0]?.["127.0.0.1:9"]).toBe("ECONNREFUSED");
        expect(report.unpublished).toBe("ECONNREFUSED");
        expect(report.surprises).toEqual([[], []]);
        expect(report.said).toEqual([
          ["host-not-allowed", "bearer-required"],
          ["host-not-allowed", "bearer-required"],
        ]);
        // Pinned, each in a subnet of its own.
        const [one, other] = report.addresses.map(
          (each) => /^192\.168\.(\d+)\.2 192\.168\.\1\.1$/.exec(each)?.[1],
        );
        expect(one).toBeDefined();
        expect(other).toBeDefined();
        expect(one).not.toBe(other);
        expect(report.left).toEqual([]);
      },
      WITHIN_MS,
    );

    it.skipIf(inSoak !== undefined).each([
      // By its address; and by sockets, which are led to there.
      { version: "0.8.0", closed: ["A.7.3"] },
      { version: "1.9.3" },
    ])(
      `are sixteen of smolvm $version at once, and the seventeenth is refused${because(inSoak)}`,
      async (release) => {
        const input: ContainedInput = { ...release, bottles: 17 };
        const report = await runOutside<ContainedReport>(PROGRAM, { timeoutMs: SOAK_MS, input });
        expect(report.error).toBe("all 16 loopback addresses for bottles are in use");
        expect(report.published.map((at) => at.split(":")[0])).toEqual(ALIASES);
        // From the host each can be dialled; from inside its own alone, wherever that is seen.
        expect(answered(report.outside)).toEqual(report.published);
        expect(report.inside.map(answered)).toEqual(report.guestUrls.map((url) => [new URL(url).host]));
        expect(report.surprises).toEqual(ALIASES.map(() => []));
        expect(report.said).toEqual(ALIASES.map(() => ["host-not-allowed", "bearer-required"]));
        expect(new Set(report.addresses).size).toBe(ALIASES.length);
        expect(report.left).toEqual([]);
      },
      SOAK_MS,
    );
  },
);

function answered(outcomes: Readonly<Record<string, string>>): readonly string[] {
  return Object.keys(outcomes).filter((target) => outcomes[target] === "answered");
}
