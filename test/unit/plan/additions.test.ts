import { describe, expect, it } from "vitest";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import { withAdditions } from "../../../src/plan/additions.ts";
import { describePlan, type PreflightView } from "../../../src/plan/preflight.ts";
import { preflightChanges } from "../../../src/plan/preflight-changes.ts";
import { thrownBy } from "../../support/manifest-tree.ts";
import { talker } from "../../support/provider-double.ts";

const PLAN: BottlePlan = {
  agent: { name: "dev", source: "home", prompt: "" },
  bottle: { name: "b", files: [] },
  provider: { name: "talker", argv: ["talker"], env: {}, files: [] },
  env: [{ name: "A", source: { kind: "literal", value: "1" } }],
  skills: [],
  credentials: [{ tokenRef: "HELD", holder: "git-gate", hosts: ["git.test"] }],
  routes: [
    {
      host: "a.test",
      matches: [{ methods: ["GET"] }],
      credentialHeaders: [],
      tls: "terminate",
      allowAddresses: [],
    },
  ],
  rules: [],
  upstreamCa: [],
  git: {},
  mounts: [{ from: "/a", to: "/mnt/a" }],
  resources: { pids: 1 },
  backend: "namespace",
};
const view = (plan: BottlePlan): PreflightView =>
  describePlan(plan, {
    availability: { usable: true, isolation: "namespace", strength: "some", lacks: [] },
    availableEnv: () => true,
  });
const host = (name: string, variable: string) => ({ name, source: { kind: "host", variable } }) as const;

describe("a plan with additions", () => {
  it("has them in place of what has their name, and everything else as it was", () => {
    const added = { env: [host("A", "X"), host("B", "B")], mounts: [{ from: "/b", to: "/mnt/b" }] };
    expect(withAdditions(PLAN, added, talker)).toEqual({
      ...PLAN,
      env: added.env,
      mounts: [...PLAN.mounts, ...added.mounts],
    });
    expect(withAdditions(PLAN, { env: [], mounts: PLAN.mounts }, talker)).toEqual(PLAN);
  });

  it("I2: never has what a sidecar presents, under any name", () => {
    for (const variable of ["HELD", "TALKER_KEY"]) {
      const { message } = thrownBy(() =>
        withAdditions(PLAN, { env: [host("Z", variable)], mounts: [] }, talker),
      );
      expect(message).toContain(`env.Z would give ${variable} to the agent`);
    }
  });

  it("takes no other mount's place", () => {
    const mounts = [{ from: "/other", to: "/mnt/a" }];
    expect(thrownBy(() => withAdditions(PLAN, { env: [], mounts }, talker)).message).toBe(
      "/a is mounted at /mnt/a already",
    );
  });

  it("is told apart from the earlier one by whole lines, a host's rules with their host", () => {
    const [route] = PLAN.routes;
    const after: BottlePlan = {
      ...withAdditions(PLAN, { env: [host("B", "B")], mounts: [] }, talker),
      routes: route === undefined ? [] : [{ ...route, matches: [{ methods: ["POST"] }] }],
    };
    expect(preflightChanges(view(PLAN), view(after))).toEqual([
      "- may reach: a.test: GET on any path",
      "+ may reach: a.test: POST on any path",
      "+ agent gets: B (your B)",
    ]);
    expect(preflightChanges(view(PLAN), view(PLAN))).toEqual([]);
  });
});
