/** I1, for git: the gate is the only way to an upstream, also for an agent that has got hold of the key. */
import { beforeAll, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { isRoot } from "../../support/bottle-cli.ts";
import { runOutside } from "../../support/outer-network.ts";
import { HAS_SSHD } from "../../support/sshd.ts";
import type { GitReachReport } from "./programs/outer-git.ts";

const PROGRAM = packagePath("test/escape/namespace/programs/outer-git.ts");

// An sshd lets nobody in who is alone in a user namespace, as an ordinary user is in the outer world.
describe.runIf(isRoot && HAS_SSHD)("I1: an agent behind git-gate", () => {
  let report: GitReachReport;
  beforeAll(async () => {
    report = await runOutside<GitReachReport>(PROGRAM);
  });

  it("control: every upstream answers outside, and the gate's inside", () => {
    expect(report.gate).toMatch(/^[0-9a-f]{40}\tHEAD\n$/);
    expect(report.probes.length).toBeGreaterThan(9);
    for (const { url, outside } of report.probes) expect(outside, url).toBe(report.gate);
  });

  it("reaches no upstream by itself, over ssh or git's own protocol, at no address, with the key in its hand", () => {
    for (const { url, inside } of report.probes) {
      expect(inside, url).toMatch(/^128 /);
      expect(inside, url).not.toMatch(/[0-9a-f]{40}/);
      // By its own kernel: nobody was there to turn it away.
      expect(inside, url).toMatch(/Network is unreachable|Connection refused|unable to connect/);
      expect(inside, url).not.toMatch(/Permission denied|timed out/);
    }
  });
});
