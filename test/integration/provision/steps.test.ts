import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BottlePlan } from "../../../src/contract/plan.ts";
import { caEnvironment } from "../../../src/provision/ca-environment.ts";
import { provisionCa } from "../../../src/provision/ca-store.ts";
import { provisionedPaths } from "../../../src/provision/forget.ts";
import { type ProvisionMaterial, provision } from "../../../src/provision/provision.ts";
import { provisionSkills } from "../../../src/provision/skills.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";
import { createOperator, type Operator } from "../../support/operator.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

let ca: TestCa;
let upstream: Upstream;
let operator: Operator;
let guest: LocalGuest;

beforeAll(async () => {
  ca = await makeTestCa("bottle test");
  upstream = await httpsUpstream(await ca.issue(["localhost"]), (_request, response) =>
    response.end("trusted"),
  );
});

afterAll(async () => {
  await upstream.close();
  await ca.remove();
});

beforeEach(() => {
  operator = createOperator();
  mkdirSync(operator.path("state"));
  guest = createLocalGuest({ env: caEnvironment() });
});

afterEach(async () => {
  // No step leaves a file of its own.
  expect(readdirSync(operator.path("state"))).toEqual([]);
  await guest.remove();
  operator.remove();
});

function planWith(parts: Partial<BottlePlan>): BottlePlan {
  return {
    agent: { name: "tester", source: "built-in", prompt: "" },
    bottle: { name: "test", files: [] },
    provider: { name: "command", argv: ["true"], env: {}, files: [] },
    env: [],
    skills: [],
    credentials: [],
    routes: [],
    rules: [],
    upstreamCa: [],
    git: {},
    mounts: [],
    resources: { pids: 100 },
    backend: "namespace",
    ...parts,
  };
}

function material(parts: Partial<ProvisionMaterial> = {}): ProvisionMaterial {
  return {
    decoy: "d".repeat(40),
    certificate: ca.certificate,
    stateDir: operator.path("state"),
    resumedFrom: undefined,
    earlierPaths: [],
    progress: () => {},
    ...parts,
  };
}

describe("the bottle's CA in the guest", () => {
  const url = (): string => `https://localhost:${upstream.port}/`;

  const clients: readonly (readonly [string, () => string])[] = [
    ["node", () => `node -e 'fetch("${url()}").then((r) => r.text()).then(console.log)'`],
    ["curl", () => `curl -sS --noproxy '*' ${url()}`],
    ["wget", () => `wget -qO- --no-proxy --ca-certificate=/etc/ssl/certs/ca-certificates.crt ${url()}`],
    [
      "openssl",
      () =>
        `echo | openssl s_client -verify_return_error -connect localhost:${upstream.port} 2>&1 | sed -n 's/.*Verify return code: 0 .*/trusted/p' | head -1`,
    ],
    [
      "python3",
      () =>
        `python3 -c 'import urllib.request as u; print(u.build_opener(u.ProxyHandler({})).open("${url()}").read().decode())'`,
    ],
    // To git's oldest protocol the answer is a repository without refs.
    ["git", () => `git -c http.proxy= ls-remote ${url()} && echo trusted`],
  ];

  it.each(clients)("is trusted by %s, and was not before", async (program, script) => {
    if ((await guest.sh(`command -v ${program} || true`)) === "") return;
    const outcome = (): Promise<string> => guest.sh(`${script()} 2>/dev/null || true`);
    expect(await outcome()).not.toContain("trusted");
    await provisionCa(guest, ca.certificate, operator.path("state"));
    expect(await outcome()).toContain("trusted");
  });

  it("is readable by everybody there, beside the system's own roots", async () => {
    await provisionCa(guest, ca.certificate, operator.path("state"));
    expect(
      await guest.sh(
        "cd /etc/ssl; stat -c %a bottle/ca.pem certs/ca-certificates.crt; grep -c BEGIN bottle/ca.pem",
      ),
    ).toBe("644\n644\n1\n");
    expect(Number(await guest.sh("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt"))).toBeGreaterThan(50);
  });

  it("replaces that of an earlier life, and keeps the guest's own roots", async () => {
    const earlier = await makeTestCa("earlier");
    await provisionCa(guest, earlier.certificate, operator.path("state"));
    const count = await guest.sh("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt");
    await provisionCa(guest, ca.certificate, operator.path("state"));
    expect(await guest.sh("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt")).toBe(count);
    expect(await guest.sh("cat /etc/ssl/certs/ca-certificates.crt")).not.toContain(
      earlier.certificate.split("\n")[2],
    );
    await earlier.remove();
  });

  it("is one certificate, and never a key", async () => {
    const key = ["-----BEGIN", "PRIVATE KEY-----\nAAAA\n-----END", "PRIVATE KEY-----"].join(" ");
    for (const text of [key, `${ca.certificate}\n${key}`, "", `${ca.certificate}\n${ca.certificate}`]) {
      await expect(provisionCa(guest, text, operator.path("state"))).rejects.toThrow(
        /not one PEM certificate/,
      );
    }
    expect(existsSync(guest.hostPath("/etc/ssl/bottle"))).toBe(false);
  });
});

describe("skills", () => {
  it("are fresh copies, owned by the agent, with modes and inner links", async () => {
    operator.write("skills/review/SKILL.md", "# Review\n");
    operator.write("skills/review/bin/check", "#!/bin/sh\necho checked\n");
    chmodSync(operator.path("skills/review/bin/check"), 0o755);
    symlinkSync("bin/check", operator.path("skills/review/check"));
    operator.write("dotfiles/other/SKILL.md", "# Other\n");
    symlinkSync(operator.path("dotfiles/other"), operator.path("skills/other"));
    const skills = ["review", "other"].map((name) => ({ name, path: operator.path("skills", name) }));
    await provisionSkills(guest, skills);
    expect(
      await guest.sh("cd ~/.claude/skills; ls; review/check; cat other/SKILL.md; stat -c %u review/SKILL.md"),
    ).toBe("other\nreview\nchecked\n# Other\n1000\n");
    rmSync(operator.path("skills/review/bin"), { recursive: true });
    rmSync(operator.path("skills/review/check"));
    await provisionSkills(guest, skills);
    expect(await guest.sh("ls ~/.claude/skills/review")).toBe("SKILL.md\n");
  });

  it("leave their .git at home, with what its config knows", async () => {
    operator.repository("skill", { "SKILL.md": "x" });
    operator.write("skill/sub/.git/config", "secret");
    await provisionSkills(guest, [{ name: "s", path: operator.path("skill") }]);
    expect(await guest.sh("cd ~/.claude/skills/s; find . | sort")).toBe(".\n./SKILL.md\n./sub\n");
  });

  it.each([
    ["is gone", (_dir: string) => {}, /skill s is not at .*none.*ENOENT/, "none"],
    ["is a file", (dir: string) => writeFileSync(join(dir, "f"), ""), /skill s is no folder/, "f"],
    [
      "has a link out of its folder",
      (dir: string) => {
        mkdirSync(join(dir, "s/in"), { recursive: true });
        symlinkSync("../../secret", join(dir, "s/in/l"));
      },
      /skill s has a link that leaves its folder: in\/l/,
      "s",
    ],
    [
      "has an absolute link",
      (dir: string) => {
        mkdirSync(join(dir, "s"));
        symlinkSync("/etc/passwd", join(dir, "s/l"));
      },
      /skill s has a link that leaves/,
      "s",
    ],
    [
      "is far too large",
      (dir: string) => {
        mkdirSync(join(dir, "s"));
        writeFileSync(join(dir, "s/big"), "");
        truncateSync(join(dir, "s/big"), 70 * 1024 ** 2);
      },
      /skill s is larger than 64 MiB/,
      "s",
    ],
  ] as const)("are refused by name when one %s", async (_what, make, error, name) => {
    make(operator.area);
    await expect(provisionSkills(guest, [{ name: "s", path: operator.path(name) }])).rejects.toThrow(error);
  });

  it("have plain names", async () => {
    for (const name of ["../x", "a/b", ".hidden", "-rf", ""]) {
      await expect(provisionSkills(guest, [{ name, path: operator.area }])).rejects.toThrow(
        /no name for a skill/,
      );
    }
  });
});

describe("provisioning a guest", () => {
  it("puts in the CA, the provider's files, skills, git's identity and the workspace", async () => {
    operator.write("skill/SKILL.md", "x");
    operator.repository("repo", { "deep/a.txt": "one\n" });
    const plan = planWith({
      provider: {
        name: "command",
        argv: ["true"],
        env: {},
        files: [{ path: "/home/node/.prompt", content: "be good", mode: 0o600 }],
      },
      skills: [{ name: "s", path: operator.path("skill") }],
      git: { name: "Agent", email: "agent@example.com" },
      workspaceFrom: operator.path("repo/deep"),
    });
    const base = await provision(guest, plan, material());
    expect(base).toMatchObject({ kind: "repository", cwd: "/home/node/workspace/deep" });
    expect(base.head).toBe(operator.git("repo", "rev-parse", "HEAD").trim());
    expect(
      await guest.sh(`
        cat ~/.prompt; stat -c ' %a' ~/.prompt; ls ~/.claude/skills /etc/ssl/bottle
        cd deep; echo x > x; git add x; git commit -qm x; git log -1 --format='%an <%ae>'
      `),
    ).toBe(
      "be good 600\n/etc/ssl/bottle:\nca.pem\n\n/home/node/.claude/skills:\ns\nAgent <agent@example.com>\n",
    );
  });

  it("without a folder gives an empty workspace that the agent owns", async () => {
    rmSync(guest.hostPath("/home/node/workspace"), { recursive: true });
    const base = await provision(guest, planWith({}), material());
    expect(base).toMatchObject({ kind: "empty", cwd: "/home/node/workspace", refs: [] });
    expect(await guest.sh("pwd; ls -A; stat -c %u .")).toBe("/home/node/workspace\n1000\n");
  });

  it("again, on resuming, leaves the workspace as the agent left it", async () => {
    operator.repository("repo");
    const plan = planWith({ workspaceFrom: operator.path("repo") });
    const base = await provision(guest, plan, material());
    await guest.sh("echo mine > a.txt");
    operator.write("repo/a.txt", "newer\n");
    expect(await provision(guest, plan, material({ resumedFrom: base }))).toEqual(base);
    expect(await guest.sh("cat a.txt")).toBe("mine\n");
  });

  it("on resuming, takes away what the earlier life was given and this one is not, and nothing else", async () => {
    operator.write("old/SKILL.md", "x");
    operator.write("CLAUDE.md", "the operator's own");
    const given = planWith({
      provider: {
        ...{ name: "command", argv: ["true"], env: {} },
        files: [{ path: "/home/node/.prompt", content: "be good", mode: 0o600 }],
      },
      skills: [{ name: "old", path: operator.path("old") }],
      userConfig: {
        texts: [{ name: "CLAUDE.md", from: operator.path("CLAUDE.md"), to: "/home/node/.claude/CLAUDE.md" }],
        settings: {},
        mcpServers: [],
      },
    });
    const supervise = { url: "http://127.0.0.1:9100/mcp", bearer: "b".repeat(32) };
    const gate = { url: "http://127.0.0.1:9420", bearer: "c".repeat(32), repos: [] };
    const base = await provision(guest, given, material({ supervise, gate }));
    const list = "cd; find . -type f -not -path './workspace/*' | sort";
    expect(await guest.sh(list)).toContain("./.claude/skills/old/SKILL.md");
    await guest.sh("mkdir -p ~/.claude/skills/own; echo x > ~/.claude/skills/own/SKILL.md");
    await provision(
      guest,
      planWith({}),
      material({ resumedFrom: base, earlierPaths: provisionedPaths(given) }),
    );
    expect(await guest.sh(list)).toBe(
      ["./.claude/skills/own/SKILL.md", "./.config/backup/credentials.json", "./.gitconfig", ""].join("\n"),
    );
  });

  it("on resuming, is not kept from it by what the agent put in its place", async () => {
    const plan = planWith({});
    const base = await provision(guest, plan, material());
    await guest.sh("rm ~/.gitconfig; mkdir -p ~/.gitconfig/in-the-way");
    await provision(guest, plan, material({ resumedFrom: base, earlierPaths: provisionedPaths(plan) }));
    expect(await guest.sh("git config user.name")).toBe("bottle agent\n");
  });

  it("stops at what cannot be done, by name", async () => {
    const plan = planWith({ workspaceFrom: operator.path("nowhere") });
    await expect(provision(guest, plan, material())).rejects.toThrow(/there is no folder .*nowhere/);
    const named = planWith({ git: { name: "a\nb" } });
    await expect(provision(guest, named, material())).rejects.toThrow(/control character/);
    expect(lstatSync(operator.path("state")).isDirectory()).toBe(true);
  });
});
