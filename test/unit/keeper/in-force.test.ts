import { describe, expect, it } from "vitest";
import { EMPTY_LEDGER } from "../../../src/approvals/ledger.ts";
import type { GitGatePolicy } from "../../../src/contract/git-gate.ts";
import type { PlannedException, PlannedRepo } from "../../../src/contract/repository.ts";
import { gateInForce, plannedAllowed } from "../../../src/keeper/in-force.ts";

const repo = (exceptions?: readonly PlannedException[]): PlannedRepo => ({
  ...{ name: "app", upstream: { kind: "local", path: "/app.git" }, paths: { only: [], unprotect: [] } },
  ...{ limits: {}, review: false },
  ...(exceptions !== undefined && { exceptions }),
});
const NOTHING: GitGatePolicy = { repos: {}, exceptions: [], known: [], rules: [] };

describe("what a manifest excepts", () => {
  it("holds at the gate from the start, without an end, and in a ref with the bottle's id", () => {
    const allowed = plannedAllowed("dev-00000", {
      routes: [],
      repos: [
        repo([
          { code: "ref-not-allowed", subjects: ["refs/heads/{id}/a", "refs/heads/b"] },
          { code: "path-protected", subjects: ["templates/{id}/CODEOWNERS"] },
        ]),
      ],
    });
    const inForce = { now: 0, allowed, live: allowed, ledger: EMPTY_LEDGER, frozen: false };
    expect(gateInForce(NOTHING, inForce).exceptions).toEqual([
      { repo: "app", code: "ref-not-allowed", subject: "refs/heads/dev-00000/a" },
      { repo: "app", code: "ref-not-allowed", subject: "refs/heads/b" },
      { repo: "app", code: "path-protected", subject: "templates/{id}/CODEOWNERS" },
    ]);
  });

  it("is nothing where it says nothing", () => {
    expect(plannedAllowed("dev-00000", { routes: [], repos: [repo()] }).gitExceptions).toEqual([]);
  });
});
