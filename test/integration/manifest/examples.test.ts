import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadAgent } from "../../../src/manifest/load.ts";
import { buildPlan } from "../../../src/plan/build.ts";
import { describePlan } from "../../../src/plan/preflight.ts";
import { type ManifestTree, manifestTree } from "../../support/manifest-tree.ts";
import { runner, talker } from "../../support/provider-double.ts";

const EXAMPLES = new URL("../../../examples", import.meta.url).pathname;

let tree: ManifestTree;
beforeAll(() => {
  tree = manifestTree();
  for (const folder of ["bottles", "agents"]) {
    for (const name of namesIn(folder)) {
      tree.write(`${folder}/${name}.md`, readFileSync(`${EXAMPLES}/${folder}/${name}.md`));
    }
  }
});
afterAll(() => tree.remove());

const namesIn = (folder: string): string[] =>
  readdirSync(`${EXAMPLES}/${folder}`).map((file) => file.replace(/\.md$/, ""));

function planOf(name: string) {
  const loaded = loadAgent(tree.index(), name);
  const provider = loaded.bottle.template === "command" ? runner : talker;
  const { plan, warnings } = buildPlan({
    loaded,
    provider,
    options: { backend: "namespace", skillsPaths: new Map(), availableEnv: () => true },
  });
  expect(warnings).toEqual([]);
  return describePlan(plan, {
    availability: { usable: true, isolation: "namespace", strength: "test", lacks: [] },
    availableEnv: () => true,
  });
}

describe("the examples", () => {
  it.each([...namesIn("agents"), "claude"])("%s loads and becomes a plan", (name) => {
    const view = planOf(name);
    expect(view.agent.name).toBe(name);
    expect(view.backend.meetsMinimum).toBe(true);
  });

  it("use every bottle there is", () => {
    const used = new Set(
      [...namesIn("agents"), "claude"].flatMap((name) => loadAgent(tree.index(), name).bottle.files),
    );
    expect([...used].map((file) => file.replace(/^.*\/|\.md$/g, "")).sort()).toEqual(
      namesIn("bottles").sort(),
    );
  });

  it("researcher may only read", () => {
    const view = planOf("researcher");
    const own = view.hosts.filter(({ host }) => !talker.routes.some((route) => route.host === host));
    expect(own).toHaveLength(3);
    for (const { rules, credential } of own) {
      expect(credential).toBeUndefined();
      expect(rules.length).toBeGreaterThan(0);
      for (const rule of rules) expect(rule).toMatch(/^GET, HEAD on /);
    }
  });

  it("implementer has one identity of two files, and a token that stays outside", () => {
    const view = planOf("implementer");
    expect(view.git).toEqual({ name: "Implementer", email: "agent@example.com" });
    expect(view.resources).toMatchObject({ cpus: 2, memoryBytes: 8 * 2 ** 30 });
    expect(view.credentials).toContainEqual({
      tokenRef: "GITHUB_TOKEN",
      holder: "egress",
      hosts: ["api.github.com"],
      available: true,
    });
    expect(view.env.map(({ name }) => name)).toEqual(["CI", "LANG"]);
  });

  it("checker runs a command and reaches nothing", () => {
    const view = planOf("checker");
    expect(view.provider).toBe("runner");
    expect(view.hosts).toEqual([]);
  });
});
