import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { GitFinding } from "../../../src/contract/git-gate.ts";
import { DENIAL_STATUS, denialOf, inWords, refuse } from "../../../src/sidecars/git-gate/denial.ts";
import { createReporter } from "../../../src/sidecars/git-gate/events.ts";
import { LIMITS } from "../../../src/sidecars/git-gate/limits.ts";
import { failureOf, upstreamWords } from "../../../src/sidecars/git-gate/upstream/failure.ts";
import { parseRemoteRefs } from "../../../src/sidecars/git-gate/upstream/refs.ts";
import { openRemote } from "../../../src/sidecars/git-gate/upstream/remote.ts";
import { sshSettings } from "../../../src/sidecars/git-gate/upstream/ssh-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "gg-words-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const home = { stateDir: join(folder, "state"), runtimeDir: folder };
const token = ["tok", "Zq81LmVx"].join("-");
const remote = await openRemote(
  {
    name: "app",
    spellings: ["https://forge.example/team/app.git"],
    upstream: {
      kind: "https",
      url: "https://git.internal.example/team/app.git",
      credential: { username: "x", token },
      ca: ["-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"],
    },
  },
  home,
  () => {},
);
const ended = (stderr: string) => ({ code: 128, stderr, timedOut: false });

describe("upstream's words", () => {
  it("lose what the agent is not to know", () => {
    const said = [
      `fatal: unable to access 'https://git.internal.example/team/app.git/': ${token}`,
      `remote: see https://git.internal.example/mr/1 and https://forge.example/team/app.git`,
      `remote: ${Buffer.from(`x:${token}`).toString("base64")} from 10.0.0.7 and fd00::1:2 in ${home.stateDir}/app.git`,
      "remote: \u001b]0;title\u0007 and \u202eback",
    ].join("\n");
    const words = upstreamWords(said, remote);
    expect(words).toHaveLength(3);
    const all = words.join("\n");
    for (const secret of [
      token,
      "git.internal.example",
      "10.0.0.7",
      "fd00",
      home.stateDir,
      "\u001b",
      "\u202e",
    ]) {
      expect(all).not.toContain(secret);
    }
    expect(all).toContain("https://forge.example/team/app.git");
  });

  it("are cut to what somebody reads", () => {
    const words = upstreamWords(`${"remote: x\n".repeat(500)}remote: ${"y".repeat(9000)}\n`, remote);
    expect(words).toHaveLength(LIMITS.wordsLines);
  });

  it.each([
    ["Host key verification failed.", "upstream-untrusted"],
    ["SSL certificate problem: unable to get local issuer certificate", "upstream-untrusted"],
    ["git@x: Permission denied (publickey).", "upstream-denied"],
    ["fatal: Authentication failed for 'https://x'", "upstream-denied"],
    ["ssh: connect to host x port 22: Connection refused", "upstream-unreachable"],
    ["Could not resolve host: x", "upstream-unreachable"],
    ["fatal: '/x' does not appear to be a git repository", "upstream-failed"],
    ["something nobody has seen", "upstream-failed"],
    // What upstream itself says does not choose the code.
    ["remote: Permission denied\nConnection refused", "upstream-unreachable"],
  ])("%j means %s", (text, code) => {
    const refusal = failureOf(ended(text), remote);
    expect(refusal).toMatchObject({ code });
    expect(refusal.reason).not.toContain("x'");
  });
});

describe("an upstream as git is told of it", () => {
  it("has its token in nothing but what goes through the descriptor", () => {
    expect(remote.credential).toBe(`username=x\npassword=${token}\n`);
    expect(JSON.stringify([remote.url, remote.args, remote.env])).not.toContain(token);
    expect(readFileSync(join(folder, "app.ca"), "utf8")).toContain("BEGIN CERTIFICATE");
  });

  it("takes no credential that would add a line", async () => {
    const upstream = {
      kind: "https",
      url: "https://x.example/x",
      ca: [],
      credential: { username: "x", token: "a\nhost=y" },
    };
    await expect(
      openRemote({ name: "bad", spellings: [], upstream: upstream as never }, home, () => {}),
    ).rejects.toThrow("line break");
  });

  it("over ssh checks the pinned key, asks nobody and forwards nothing", () => {
    const text = sshSettings(
      {
        kind: "ssh",
        user: "git",
        host: "h%x",
        port: 22,
        path: "x",
        key: { kind: "agent", socket: "/s" },
        hostKeys: [],
      },
      { agent: "/run/%d/s", knownHosts: "/run/k", publicKey: undefined, control: undefined },
    );
    for (const line of [
      "StrictHostKeyChecking yes",
      "GlobalKnownHostsFile /dev/null",
      "BatchMode yes",
      "ForwardAgent no",
      "ProxyCommand none",
      "UpdateHostKeys no",
      "HostName h%%x",
      'IdentityAgent "/run/%%d/s"',
    ]) {
      expect(text).toContain(`  ${line}\n`);
    }
  });

  it("refuses a folder that ssh would read as more than a name", () => {
    const settings = { agent: '/run/"x', knownHosts: "/k", publicKey: undefined, control: undefined };
    expect(() =>
      sshSettings(
        {
          kind: "ssh",
          user: "g",
          host: "h",
          port: 1,
          path: "x",
          key: { kind: "agent", socket: "/s" },
          hostKeys: [],
        },
        settings,
      ),
    ).toThrow("cannot be told");
  });
});

describe("upstream's list of refs", () => {
  it("gives branches, the default branch and what is symbolic, and nothing else", () => {
    const id = "a".repeat(40);
    const text = [
      `ref: refs/heads/trunk\tHEAD`,
      `${id}\tHEAD`,
      `${id}\trefs/heads/trunk`,
      `ref: refs/heads/trunk\trefs/heads/alias`,
      `${id}\trefs/heads/alias`,
      `${id}\trefs/pull/1/head`,
      `${id}\trefs/tags/v1`,
      `${id}\trefs/tags/v1^{}`,
      "nonsense",
    ].join("\n");
    const { refs, head, symbolic } = parseRemoteRefs(text, ["refs/heads/", "refs/tags/"]);
    expect([...refs.keys()]).toEqual(["refs/heads/trunk", "refs/heads/alias", "refs/tags/v1"]);
    expect(head).toBe("refs/heads/trunk");
    expect([...symbolic]).toEqual(["refs/heads/alias"]);
  });
});

describe("a denial", () => {
  it("asks for an exception only where one can be given", () => {
    const subject = { action: "push", repo: "app", what: ["refs/heads/x"] } as const;
    const path = refuse("path-protected", "r", "u", { subjects: [".ci/x"] });
    expect(denialOf(path, subject).denied.ask).toEqual({
      tool: "request_exception",
      arguments: { repo: "app", code: "path-protected", subjects: [".ci/x"] },
    });
    const name = refuse("ref-name", "r", "u", { subjects: ["x"] });
    expect(denialOf(name, subject).denied.ask).toEqual({
      tool: "explain_denial",
      arguments: { code: "ref-name", target: "push app refs/heads/x" },
    });
    const fetched = refuse("secret-found", "r", "u");
    expect(denialOf(fetched, subject).denied.ask.tool).toBe("explain_denial");
  });

  it("says in words what it says in its shape, and where things were found", () => {
    const refusal = refuse("secret-found", "reason", "rule", {
      findings: [
        { rule: "a-key", kind: "pattern", mark: "00ff", in: "file", path: "a/b", line: 7, commit: "c0ffee" },
        {
          rule: "a-key",
          kind: "pattern",
          mark: "00ff",
          in: "commit",
          commit: "c0ffee",
          through: ["base64", "hex"],
        },
        { rule: "a-key", kind: "pattern", mark: "00ff", in: "file", path: "x.zip", inside: ["m", "n"] },
      ],
      subjects: ["a-key:00ff"],
    });
    expect(inWords(refusal, { action: "push", repo: "app", what: ["refs/heads/x"] })).toEqual([
      "denied: secret-found: reason",
      "target: push app refs/heads/x",
      "rule: rule",
      "found: a-key in file a/b line 7, commit c0ffee: [masked, mark 00ff]",
      "found: a-key in commit, commit c0ffee, encoded as base64 in hex: [masked, mark 00ff]",
      "found: a-key in file x.zip > m > n: [masked, mark 00ff]",
      'ask: request_exception {"repo":"app","code":"secret-found","subjects":["a-key:00ff"]}',
    ]);
  });
});

describe("docs/git-gate.md", () => {
  const page = readFileSync(new URL("../../../docs/git-gate.md", import.meta.url), "utf8");

  it.each(Object.keys(DENIAL_STATUS))("says what %s means", (code) => {
    expect(page).toContain(`\`${code}\``);
  });
});

describe("events", () => {
  function reporter() {
    const told: { data: Record<string, unknown> }[] = [];
    const report = createReporter(
      (message) => {
        if (message.type === "event") told.push(message);
      },
      async () => {},
      LIMITS,
    );
    const count = () => told.reduce((sum, { data }) => sum + Number(data["count"]), 0);
    return { told, report, count };
  }

  it("of refused requests are told one by one up to a rate, then counted", () => {
    const { told, report, count } = reporter();
    const refusal = refuse("not-git", "r", "u");
    for (let i = 0; i < 1000; i++) report.refusedRequest(refusal, { action: "request", what: [`GET /${i}`] });
    expect(told).toHaveLength(LIMITS.eventsPerSecond);
    report.flush();
    expect(count()).toBe(1000);
    report.flush();
    expect(told).toHaveLength(LIMITS.eventsPerSecond + 1);
  });

  it("regression: of refused pushes are, too, by their refs: a loop of them filled the disk with the log", () => {
    const { told, report, count } = reporter();
    const [old, id] = ["0".repeat(40), "1".repeat(40)];
    const refs = (push: number) =>
      Array.from({ length: 100 }, (_, i) => ({ ref: `refs/heads/${push}-${i}`, old, new: id }));
    const refusal = refuse("ref-not-allowed", "r", "u");
    for (let i = 0; i < 1000; i++) report.refusedPush(refusal, "app", refs(i));
    // The first of a second has all of its refs.
    expect(told.map(({ data }) => data["updates"])).toEqual([refs(0)]);
    const found = (rule: string, kind: string, path: string): GitFinding => ({
      ...{ rule, kind, mark: "00", in: "file", path },
    });
    for (const [rule, kind, path] of [
      ["aws-key", "pattern", "a"],
      ["aws-key", "pattern", "b"],
      ["decoy", "canary", "c"],
    ] as const)
      report.refusedPush(
        refuse("secret-found", "r", "u", { findings: [found(rule, kind, path)] }),
        "app",
        refs(0),
      );
    report.refusedPush(refusal, "lib", refs(0));
    report.flush();
    expect(told.slice(1).map(({ data }) => data)).toEqual([
      expect.objectContaining({ repo: "app", code: "ref-not-allowed", target: "push app", count: 999 }),
      expect.objectContaining({
        ...{ repo: "app", code: "secret-found", updates: [], count: 3 },
        findings: [
          { rule: "aws-key", kind: "pattern", mark: "00", in: "file" },
          { rule: "decoy", kind: "canary", mark: "00", in: "file" },
        ],
      }),
      expect.objectContaining({ repo: "lib", count: 1 }),
    ]);
    expect(count()).toBe(1004);
    // The next second.
    report.refusedPush(refusal, "app", refs(0));
    expect(told.at(-1)?.data["updates"]).toEqual(refs(0));
  });
});
