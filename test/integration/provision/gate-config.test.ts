import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { PlannedRepo, PlannedUpstream } from "../../../src/contract/repository.ts";
import { gateConfigFile } from "../../../src/provision/gate-config.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";
import { localRemotes } from "../../../src/provision/workspace/local-remotes.ts";

const GATE = "http://127.0.0.1:9420";
const repo = (name: string, upstream: PlannedUpstream): PlannedRepo => ({
  ...{ name, upstream, limits: {}, review: false },
  paths: { only: [], unprotect: [] },
});
const ssh = (host: string, path: string, port = 22, user = "git"): PlannedUpstream => ({
  ...{ kind: "ssh", user, host, port, path },
  ...{ key: { kind: "agent" }, hostKeys: ["ssh-ed25519 AAAA"] },
});

const REPOS = [
  repo("x", ssh("forge.example", "team/x.git")),
  repo("deep", ssh("forge.example", "/team/sub/deep", 2222, "me")),
  repo("x-docs", {
    kind: "https",
    host: "forge.example",
    port: 443,
    path: "/team/x-docs.git",
    authorities: [],
  }),
  repo("odd", { kind: "https", host: "forge.example", port: 8443, path: "/odd.git", authorities: [] }),
  repo("here", { kind: "local", path: "/srv/here.git" }),
];

let folder: string;
let env: Record<string, string>;
beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), "gate-config-")));
  const file = gateConfigFile({ url: GATE, bearer: "bearer-of-this-bottle", repos: REPOS });
  const included = join(folder, "git-gate.gitconfig");
  writeFileSync(included, file.content);
  writeFileSync(join(folder, "gitconfig"), gitIdentityFile({ name: "A", email: "a@b" }, [included]).content);
  env = {
    PATH: process.env["PATH"] ?? "",
    HOME: folder,
    GIT_CONFIG_GLOBAL: join(folder, "gitconfig"),
    GIT_CONFIG_NOSYSTEM: "1",
  };
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const git = (...args: readonly string[]): string =>
  execFileSync("git", args, { env, cwd: folder, encoding: "utf8" }).trim();
const goesTo = (url: string): string => git("ls-remote", "--get-url", url);

describe("git in the guest", () => {
  it.each([
    "git@forge.example:team/x.git",
    "git@forge.example:team/x",
    "git@forge.example:/team/x.git",
    "forge.example:team/x.git",
    "ssh://git@forge.example/team/x.git",
    "ssh://git@forge.example:22/team/x",
    "ssh://forge.example/team/x",
    "https://forge.example/team/x",
    "https://forge.example/team/x.git",
    "https://forge.example:443/team/x.git",
    "https://git@forge.example/team/x.git",
    "http://forge.example/team/x.git",
    "git://forge.example/team/x.git",
    "git-gate:x",
    "git-gate:x.git",
  ])("takes %s to the gate", (url) => {
    expect(goesTo(url)).toBe(`${GATE}/x.git`);
  });

  it.each([
    ["https://forge.example/team/x/", "x.git/"],
    ["ssh://me@forge.example:2222/team/sub/deep.git", "deep.git"],
    ["https://forge.example/team/sub/deep", "deep.git"],
    ["https://forge.example/team/x-docs", "x-docs.git"],
    ["git@forge.example:team/x-docs.git", "x-docs.git"],
    ["https://forge.example:8443/odd", "odd.git"],
    ["git@forge.example:odd.git", "odd.git"],
    ["git-gate:here", "here.git"],
    ["git-gate:x-docs", "x-docs.git"],
  ])("takes %s to %s", (url, path) => {
    expect(goesTo(url)).toBe(`${GATE}/${path}`);
  });

  it.each([
    "https://forge.example/team/x-other",
    "https://forge.example/team/x-other.git",
    "https://forge.example/team/x.github.io",
    "https://forge.example/team/x2",
    "https://forge.example/team/x_",
    "https://forge.example/team/x.git.git",
    "https://forge.example/team/X",
    "https://forge.example/team",
    "https://forge.example.org/team/x.git",
    "https://other.example/team/x.git",
    "/srv/here.git",
  ])("leaves %s as it is: it is another one", (url) => {
    expect(goesTo(url)).toBe(url);
  });

  it("shows the bearer to the gate and to nobody else, in no argument", () => {
    const headers = (url: string): string =>
      spawnSync("git", ["config", "--get-urlmatch", "http.extraHeader", url], {
        env,
        encoding: "utf8",
      }).stdout.trim();
    expect(headers(`${GATE}/x.git`)).toBe("Authorization: Bearer bearer-of-this-bottle");
    expect(headers("https://forge.example/team/x-other")).toBe("");
    expect(headers("http://127.0.0.1:94200/x.git")).toBe("");
    expect(git("config", "--get-urlmatch", "http.proxy", `${GATE}/x.git`)).toBe("");
  });

  it("pushes a branch under its own name, and follows it", () => {
    expect(git("config", "push.default")).toBe("current");
    expect(git("config", "push.autoSetupRemote")).toBe("true");
    expect(git("config", "user.name")).toBe("A");
  });
});

describe("a copied workspace's remote that is a folder of the host", () => {
  it("is called by its name behind the gate, however it is written; any other stays unsaid", () => {
    const bare = join(folder, "bare.git");
    mkdirSync(bare);
    symlinkSync(bare, join(folder, "link.git"));
    const remote = localRemotes([repo("here", { kind: "local", path: join(folder, "link.git") })]);
    for (const url of [
      bare,
      `${bare}/`,
      join(folder, "bare"),
      `file://${bare}`,
      "../bare.git",
      join(folder, "link.git"),
    ])
      expect(remote(url, join(folder, "project")), url).toBe("git-gate:here");
    for (const url of ["/srv/other.git", "https://forge.example/x", "ext::sh -c id", "git@host:x", "a\0b"])
      expect(remote(url, join(folder, "project")), url).toBeUndefined();
  });
});
