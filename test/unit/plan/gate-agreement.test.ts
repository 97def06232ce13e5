import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { gateConfig, gatePolicy } from "../../../src/bundle/git-gate-settings.ts";
import { gitGateConfigSchema } from "../../../src/contract/git-gate.ts";
import { parseObject } from "../../../src/manifest/object-file.ts";
import { repositoriesOf } from "../../../src/manifest/repositories.ts";
import { compilePolicy } from "../../../src/sidecars/git-gate/policy/compile.ts";
import { judgeRefs } from "../../../src/sidecars/git-gate/policy/refs.ts";

const ID = "dev-abc12";
const CHARACTERS = [..."abzAZ09._@=+#%,-/*{}id~^: \u00e9"];
const text = fc.string({ unit: fc.constantFrom(...CHARACTERS), maxLength: 10 });
const ref = fc.oneof(
  text.map((rest) => `refs/heads/${rest}`),
  text.map((rest) => `refs/heads/{id}/${rest}`),
  text,
);
const repository = fc.record(
  {
    refs: fc.array(fc.oneof(ref, fc.record({ ref, force: fc.boolean(), delete: fc.boolean() })), {
      minLength: 1,
      maxLength: 3,
    }),
    paths: fc.record({
      only: fc.array(text, { minLength: 1, maxLength: 2 }),
      unprotect: fc.array(text, { maxLength: 2 }),
    }),
    limits: fc.record({ push: fc.constantFrom("1K", "2G", "0.5M"), objects: fc.nat() }, { requiredKeys: [] }),
    review: fc.boolean(),
  },
  { requiredKeys: [] },
);

describe("manifest and git-gate", () => {
  it("agree: a repository that the manifest accepts is one that the gate takes, and each ref in it can be pushed to", async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(repository, fc.stringMatching(/^[a-z][a-z0-9.-]{0,8}$/), async (keys, path) => {
        const url = `https://forge.example/${path}`;
        const yaml = `git-gate: ${JSON.stringify({ repos: { p: { url, ...keys } } })}`;
        const { value } = parseObject("bottle", "b.md", `---\n${yaml}\n---\n`);
        if (value === undefined) return;
        const { repos, faults } = repositoriesOf(value, "/nonexistent");
        expect(faults).toEqual([]);
        accepted++;
        const policy = gatePolicy(ID, repos, { known: [], rules: [] });
        const config = gateConfig({
          ...{
            id: ID,
            repos,
            policy,
            endpoint: { listen: { kind: "unix", path: "/s" }, guestUrl: "http://g" },
          },
          places: { stateDir: "/s", runtimeDir: "/r", agentSocket: "/a", local: () => "/l" },
          material: {
            tokens: {},
            keys: new Map(),
            authorities: new Map(),
            bearer: "b",
            fingerprintKey: "a2V5",
          },
        });
        expect(gitGateConfigSchema.parse(config)).toEqual(config);
        await compilePolicy(config, config.policy);
        for (const { pattern } of policy.repos["p"]?.refs ?? []) {
          const update = { ref: pattern.replace("*", "x"), old: "0".repeat(40), new: "1".repeat(40) };
          if (update.ref.endsWith("/HEAD")) continue;
          const rules = policy.repos["p"]?.refs ?? [];
          const verdict = judgeRefs([update], {
            rules,
            excepted: () => false,
            current: new Map(),
            symbolic: new Set(),
          });
          expect(verdict.allow, pattern).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
    expect(accepted).toBeGreaterThan(20);
  }, 30_000);
});
