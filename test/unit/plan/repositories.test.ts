import { describe, expect, it } from "vitest";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import type { PlannedRepo, PlannedUpstream } from "../../../src/contract/repository.ts";
import { UserError } from "../../../src/lib/errors.ts";
import type { LoadedAgent } from "../../../src/manifest/load.ts";
import { buildPlan } from "../../../src/plan/build.ts";
import { missingCredentials } from "../../../src/plan/credentials.ts";
import { describePlan } from "../../../src/plan/preflight.ts";
import { preflightSections } from "../../../src/plan/preflight-text.ts";
import { thrownBy } from "../../support/manifest-tree.ts";
import { runner } from "../../support/provider-double.ts";

const repo = (name: string, upstream: PlannedUpstream, more: Partial<PlannedRepo> = {}): PlannedRepo => ({
  ...{ name, upstream, limits: {}, review: false },
  paths: { only: [], unprotect: [] },
  ...more,
});
const HOST_KEY = "ssh-ed25519 AAAA";
const SSH = {
  kind: "ssh",
  user: "git",
  host: "forge.example",
  port: 22,
  path: "team/x.git",
  hostKeys: [HOST_KEY],
} as const;
const DEPLOY = {
  kind: "deploy",
  forge: "gitea",
  server: "https://api.example",
  repository: "team/x",
  tokenRef: "FORGE",
} as const;
const REPOS = [
  repo("file", { ...SSH, key: { kind: "file", path: "/k/id" } }),
  repo("agent", { ...SSH, path: "/srv/y.git", port: 2222, key: { kind: "agent" } }),
  repo("made", { ...SSH, key: { ...DEPLOY, authorities: [] } }),
  repo(
    "web",
    {
      kind: "https",
      host: "web.example",
      port: 443,
      path: "/w.git",
      token: { username: "git", tokenRef: "WEB" },
      authorities: ["/ca.pem"],
    },
    {
      refs: [{ pattern: "refs/heads/bottle/{id}/*", force: true, delete: true }],
      paths: { only: ["src/**"], unprotect: ["CODEOWNERS"] },
      limits: { objects: 7 },
      review: true,
      exceptions: [{ code: "path-protected", subjects: ["a/Jenkinsfile", "b/Jenkinsfile"] }],
    },
  ),
  repo("here", { kind: "local", path: "/srv/here.git" }),
];

function plan(repos: readonly PlannedRepo[], env: LoadedAgent["bottle"]["env"] = []): BottlePlan {
  const bottle = {
    ...{
      name: "b",
      files: [],
      env,
      routes: [],
      presets: [],
      upstreamCa: [],
      git: {},
      repos,
      template: "runner",
    },
    ...{ mounts: [], resources: {}, repoAgents: false, command: ["true"] },
  } as unknown as LoadedAgent["bottle"];
  const loaded: LoadedAgent = {
    name: "a",
    source: "home",
    prompt: "",
    skills: [],
    git: {},
    warnings: [],
    bottle,
  };
  const options = {
    backend: "namespace",
    skillsPaths: new Map<string, string>(),
    availableEnv: () => false,
  } as const;
  return buildPlan({ loaded, provider: runner, options }).plan;
}

describe("a plan with repositories", () => {
  it("names each token, who holds it and for which host; a forge's token is the keeper's alone", () => {
    expect(plan(REPOS).credentials).toEqual([
      { tokenRef: "FORGE", holder: "keeper", hosts: ["api.example"] },
      { tokenRef: "WEB", holder: "git-gate", hosts: ["web.example"] },
    ]);
    expect(missingCredentials(plan(REPOS), (name) => name === "WEB").map(({ tokenRef }) => tokenRef)).toEqual(
      ["FORGE"],
    );
  });

  it("says nothing of a gate without any", () => {
    expect(plan([])).not.toHaveProperty("repos");
  });

  it.each(["FORGE", "WEB"])("I2: refuses to give the agent %s", (variable) => {
    const error = thrownBy(() => plan(REPOS, [{ name: "X", source: { kind: "host", variable } }]));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(`env.X would give ${variable} to the agent`);
  });

  it("shows an ssh-agent that does not run as missing", () => {
    const facts = { availability: { usable: false, lacks: [] }, availableEnv: () => false } as const;
    const { repos } = describePlan(plan(REPOS), facts);
    expect(repos.filter(({ proof }) => proof.endsWith(" - MISSING")).map(({ name }) => name)).toEqual([
      "agent",
    ]);
  });

  it("is shown: what may be pushed where, by what proof, and how far the other end is known", () => {
    const facts = { availability: { usable: false, lacks: [] }, availableEnv: () => true } as const;
    const sections = preflightSections(describePlan(plan(REPOS), facts));
    expect(sections.find(({ title }) => title === "repositories")?.lines).toEqual([
      "file: git@forge.example:team/x.git, with the key /k/id, host pinned to ssh-ed25519",
      "  may be pushed: refs/heads/bottle/<id>/*",
      "agent: ssh://git@forge.example:2222/srv/y.git, with any key of your ssh-agent, host pinned to ssh-ed25519",
      "  may be pushed: refs/heads/bottle/<id>/*",
      "made: git@forge.example:team/x.git, with a deploy key for team/x that is made at launch, and removed at the end, at https://api.example, host pinned to ssh-ed25519",
      "  may be pushed: refs/heads/bottle/<id>/*",
      "web: https://web.example/w.git, with the credential WEB, certificate from /ca.pem",
      "  may be pushed: refs/heads/bottle/<id>/* (also force and delete)",
      "  only where it changes src/**",
      "  UNPROTECTED: CODEOWNERS",
      "  EXCEPTED: path-protected a/Jenkinsfile",
      "  EXCEPTED: path-protected b/Jenkinsfile",
      "  at most 7 objects a push",
      "  REVIEW: every push waits for you, in bottle inbox",
      "here: /srv/here.git, on this host",
      "  may be pushed: refs/heads/bottle/<id>/*",
    ]);
  });
});
