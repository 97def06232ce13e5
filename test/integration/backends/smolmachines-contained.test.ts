/** Machines on loopback addresses of their own, each with its bundle in a container behind a published port. */
import { describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { engineLack } from "../../support/docker-engine.ts";
import { runOutside } from "../../support/outer-network.ts";
import type { ContainedReport } from "./programs/smolmachines-contained.ts";

const PROGRAM = packagePath("test/integration/backends/programs/smolmachines-contained.ts");
/** An engine that comes up, an image that is built. */
const WITHIN_MS = 240_000;

const lack = engineLack();
if (lack !== undefined) console.warn(`SKIPPED: published bundles of machines: ${lack}`);

describe.skipIf(lack !== undefined)("machines whose bundles are published on addresses of their own", () => {
  it(
    "reach the published port of their own and nothing besides, and need the bearer there",
    async () => {
      const report = await runOutside<ContainedReport>(PROGRAM, { timeoutMs: WITHIN_MS });
      expect(report.error).toBeUndefined();
      const [first = "", second = ""] = report.guestUrls.map((url) => new URL(url).host);
      expect(first).toMatch(/^127\.0\.0\.16:\d+$/);
      expect(second).toMatch(/^127\.0\.0\.17:\d+$/);
      const answered = report.inside.map((outcomes) =>
        Object.keys(outcomes).filter((target) => outcomes[target] === "answered"),
      );
      expect(answered).toEqual([[first], [second]]);
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
});
