import { describe, expect, it } from "vitest";
import { type GateMaterial, gateConfig, gatePolicy } from "../../../src/bundle/git-gate-settings.ts";
import type { Endpoint } from "../../../src/contract/backend.ts";
import { DEFAULT_GIT_LIMITS, gitGateConfigSchema } from "../../../src/contract/git-gate.ts";
import type { PlannedRepo, PlannedUpstream } from "../../../src/contract/repository.ts";

const repo = (name: string, upstream: PlannedUpstream, more: Partial<PlannedRepo> = {}): PlannedRepo => ({
  ...{ name, upstream, limits: {}, review: false },
  paths: { only: [], unprotect: [] },
  ...more,
});
const SSH = {
  kind: "ssh",
  user: "git",
  host: "forge.example",
  port: 22,
  path: "team/x.git",
  hostKeys: ["ssh-ed25519 AAAA"],
} as const;
const REPOS = [
  repo("file", { ...SSH, key: { kind: "file", path: "/home/me/.ssh/id" } }),
  repo("agent", { ...SSH, key: { kind: "agent", publicKey: "ssh-ed25519 BBBB" } }),
  repo("made", {
    ...SSH,
    key: {
      kind: "deploy",
      forge: "gitea",
      server: "https://f.example",
      repository: "a/b",
      tokenRef: "FORGE",
      authorities: [],
    },
  }),
  repo("web", {
    ...{ kind: "https", host: "forge.example", port: 8443, path: "/team/web.git" },
    ...{ token: { username: "me", tokenRef: "WEB" }, authorities: ["/ca.pem"] },
  }),
  repo("open", { kind: "https", host: "forge.example", port: 443, path: "/open.git", authorities: [] }),
  repo("here", { kind: "local", path: "/srv/here.git" }),
];
const ENDPOINT: Endpoint = {
  listen: { kind: "unix", path: "/run/gate.sock" },
  guestUrl: "http://127.0.0.1:9420",
};
const MATERIAL: GateMaterial = {
  tokens: { WEB: "token-of-web", FORGE: "token-of-the-forge", OTHER: "token-of-egress" },
  keys: new Map([
    ["file", "key of file"],
    ["made", "key that was made"],
  ]),
  authorities: new Map([["/ca.pem", "a certificate"]]),
  bearer: "the-bearer",
  fingerprintKey: "a2V5",
};
const config = (material: GateMaterial = MATERIAL) =>
  gateConfig({
    ...{ id: "dev-abc12", endpoint: ENDPOINT, repos: REPOS, material },
    places: {
      ...{ stateDir: "/gate/state", runtimeDir: "/tmp/gate", agentSocket: "/gate/agent/sock" },
      local: ({ name }) => `/gate/upstreams/${name}.git`,
    },
    policy: gatePolicy("dev-abc12", REPOS, { known: [], rules: [] }),
  });

describe("what git-gate is told", () => {
  it("is what its contract takes", () => {
    expect(gitGateConfigSchema.parse(config())).toEqual(config());
  });

  it("has the operator's proxy for upstreams over https, with the pair of its credential, and for no other", () => {
    const proxy = { host: "proxy.corp.test", port: 3128, tls: false, tokenRef: "PROXY" };
    const tokens = { ...MATERIAL.tokens, PROXY: "user:pass:word" };
    const behind = config({ ...MATERIAL, tokens, proxy });
    expect(gitGateConfigSchema.parse(behind)).toEqual(behind);
    const credential = { username: "user", token: "pass:word" };
    for (const { upstream } of behind.repos) {
      if (upstream.kind === "https")
        expect(upstream.proxy).toEqual({ host: "proxy.corp.test", port: 3128, tls: false, credential });
      else expect(JSON.stringify(upstream)).not.toContain("proxy");
    }
    expect(JSON.stringify(config())).not.toContain("proxy");
  });

  it("has each repository's own proof, and its place in the gate's world", () => {
    expect(config().repos.map(({ upstream }) => upstream)).toMatchObject([
      { kind: "ssh", key: { kind: "private-key", text: "key of file" }, hostKeys: ["ssh-ed25519 AAAA"] },
      { kind: "ssh", key: { kind: "agent", socket: "/gate/agent/sock", publicKey: "ssh-ed25519 BBBB" } },
      { kind: "ssh", key: { kind: "private-key", text: "key that was made" } },
      {
        ...{ kind: "https", url: "https://forge.example:8443/team/web.git", ca: ["a certificate"] },
        credential: { username: "me", token: "token-of-web" },
      },
      { kind: "https", url: "https://forge.example/open.git", ca: [] },
      { kind: "local", path: "/gate/upstreams/here.git" },
    ]);
    expect(config().repos[4]?.upstream).not.toHaveProperty("credential");
  });

  it("I2: has no token of the forge's, of egress's, and no path of a key", () => {
    expect(JSON.stringify(config())).not.toMatch(/token-of-the-forge|token-of-egress|\/home\/me/);
  });

  it("has no spelling for a repository of this host, and for others every one", () => {
    const spellings = new Map(config().repos.map(({ name, spellings }) => [name, spellings]));
    expect(spellings.get("here")).toEqual([]);
    expect(spellings.get("web")).toContain("https://forge.example:8443/team/web.git");
  });

  it("fails without a secret that the plan names", () => {
    expect(() => config({ ...MATERIAL, keys: new Map() })).toThrow("no value for the key for file");
    expect(() => config({ ...MATERIAL, tokens: {} })).toThrow("no value for WEB");
  });
});

describe("what may be pushed", () => {
  const policyOf = (more: Partial<PlannedRepo>) =>
    gatePolicy("dev-abc12", [repo("r", { kind: "local", path: "/r" }, more)], { known: [], rules: [] }).repos[
      "r"
    ];

  it("is the bottle's own branches, within the default limits, when nothing is said", () => {
    expect(policyOf({})).toEqual({
      refs: [{ pattern: "refs/heads/bottle/dev-abc12/*", force: false, delete: false }],
      paths: { only: [], lift: [] },
      limits: DEFAULT_GIT_LIMITS,
      review: false,
    });
  });

  it("is what the manifest lists, and no longer the default", () => {
    expect(
      policyOf({
        refs: [{ pattern: "refs/heads/{id}/*", force: true, delete: false }],
        paths: { only: ["src/**"], unprotect: [".github/**"] },
        limits: { objects: 5 },
        review: true,
      }),
    ).toEqual({
      refs: [{ pattern: "refs/heads/dev-abc12/*", force: true, delete: false }],
      paths: { only: ["src/**"], lift: [".github/**"] },
      limits: { ...DEFAULT_GIT_LIMITS, objects: 5 },
      review: true,
    });
  });
});
