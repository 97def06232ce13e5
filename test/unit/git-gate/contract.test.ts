import { describe, expect, it } from "vitest";
import {
  DEFAULT_GIT_LIMITS,
  defaultRefRules,
  type GitFinding,
  type GitGateConfig,
  type GitGatePolicy,
  type GitRepoPolicy,
  type GitReview,
  type GitReviewAnswer,
  type GitUpdate,
  type GitUpstream,
  gitEventSchemas,
  gitGateConfigSchema,
  gitGatePolicySchema,
  gitRepoPolicySchema,
  gitReviewAnswerSchema,
  gitReviewSchema,
  gitUpstreamSchema,
} from "../../../src/contract/git-gate.ts";

const repoPolicy: GitRepoPolicy = {
  refs: defaultRefRules("coder-ab1cd"),
  paths: { only: [], lift: [] },
  limits: DEFAULT_GIT_LIMITS,
  review: false,
};
const policy: GitGatePolicy = { repos: { app: repoPolicy }, exceptions: [], known: [], rules: [] };
const upstream: GitUpstream = {
  kind: "ssh",
  user: "git",
  host: "forge.example",
  port: 22,
  path: "team/app.git",
  key: { kind: "agent", socket: "/run/agent" },
  hostKeys: ["ssh-ed25519 AAAAC3Nza"],
};
const config: GitGateConfig = {
  bottle: "coder-ab1cd",
  listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
  stateDir: "/state/git",
  runtimeDir: "/run/gate",
  repos: [{ name: "app", spellings: ["git@forge.example:team/app.git"], upstream }],
  policy,
  fingerprintKey: "AAAA",
};

describe("what git-gate is told", () => {
  it("reads a whole configuration as it was written", () => {
    expect(gitGateConfigSchema.parse(config)).toEqual(config);
    expect(gitGatePolicySchema.parse(policy)).toEqual(policy);
  });

  it.each(["refs/*", "refs/heads", "heads/x", "refs/heads/*/*", "refs/he*ds/x", "refs/heads/a b"])(
    "refuses %s as a pattern of refs",
    (pattern) => {
      const refs = [{ pattern, force: false, delete: false }];
      expect(gitRepoPolicySchema.safeParse({ ...repoPolicy, refs }).success).toBe(false);
    },
  );

  it.each([
    { user: "-oProxyCommand=x" },
    { host: "-x" },
    { host: "a\nProxyCommand x" },
    { path: "--upload-pack=x" },
    { path: "x\ny" },
    { hostKeys: ["ssh-ed25519 AAAA\n* ssh-ed25519 BBBB"] },
  ])("refuses an ssh upstream with %j", (change) => {
    expect(gitUpstreamSchema.safeParse({ ...upstream, ...change }).success).toBe(false);
  });

  it.each([
    "http://forge.example/x.git",
    "https://user:secret@forge.example/x.git",
    "https://forge.example/x.git?token=1",
    "https://forge.example/x.git#y",
  ])("refuses %s as an https upstream", (url) => {
    expect(gitUpstreamSchema.safeParse({ kind: "https", url, ca: [] }).success).toBe(false);
  });

  it.each(["../x", "a/b", "x.git", "x.lock", "a..b", "", "-x", ".x"])("refuses the name %j", (name) => {
    const repos = [{ name, spellings: [], upstream }];
    expect(gitGateConfigSchema.safeParse({ ...config, repos }).success).toBe(false);
  });
});

describe("what git-gate tells", () => {
  it("has a schema for each event and for both sides of a review", () => {
    const updates: GitUpdate[] = [{ ref: "refs/heads/x", old: "0".repeat(40), new: "1".repeat(40) }];
    const findings: GitFinding[] = [
      { rule: "x", kind: "pattern", mark: "00", in: "file", path: "a", line: 1 },
    ];
    const told = { repo: "app", updates, findings, count: 1, code: "c", reason: "r", target: "t", rule: "u" };
    expect(gitEventSchemas["git.refused"].parse(told)).toEqual(told);
    const review: GitReview = {
      kind: "git-push",
      repo: "app",
      updates,
      commits: [],
      commitCount: 0,
      files: [],
      fileCount: 0,
    };
    expect(gitReviewSchema.parse(review)).toEqual(review);
    const answer: GitReviewAnswer = { decision: "refuse", note: "not today" };
    expect(gitReviewAnswerSchema.parse(answer)).toEqual(answer);
    expect(gitReviewAnswerSchema.safeParse({ decision: "maybe" }).success).toBe(false);
  });
});
