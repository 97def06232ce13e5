import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Gitea, startGitea } from "../../doubles/gitea.ts";
import { eventually, killIfThere } from "../../support/bottle-cli.ts";
import { createGated, type Gated, giveAway } from "../../support/gated-bottle.ts";
import { type GitSite, startGitSite } from "../../support/git-site.ts";
import { type SshAgent, startSshAgent } from "../../support/ssh-agent.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

const FORGE_TOKEN = ["forge", "f".repeat(30)].join("-");
const WEB_TOKEN = ["web", "w".repeat(30)].join("-");

let gated: Gated;
let ca: TestCa;
let far: string;
beforeAll(async () => {
  gated = await createGated();
  ca = await makeTestCa();
  far = gated.bare("far");
});
afterAll(async () => {
  await gated.remove();
  await ca.remove();
});
afterEach(() => gated.cli.expectNothingLeft());

const refOf = (bare: string, ref: string): string =>
  execFileSync("git", ["--git-dir", bare, "for-each-ref", "--format=%(objectname)", ref], {
    encoding: "utf8",
  }).trim();
/** Clones, commits and pushes; says what upstream must have then. */
const push = async (id: string, repo: string): Promise<string> => {
  await gated.sh(
    id,
    `git clone -q git-gate:${repo} ${repo} && cd ${repo} && git commit -q --allow-empty -m x`,
  );
  await gated.sh(id, `cd ${repo} && git push -q origin HEAD:refs/heads/bottle/${id}/x`);
  return gated.sh(id, `git -C ${repo} rev-parse HEAD`);
};
const start = async (env: Readonly<Record<string, string>>, agent = "dev"): Promise<string> => {
  const { code, stdout, stderr } = await gated.cli.run(["start", agent, "--detach", "--yes"], { env });
  if (code !== 0) throw new Error(`exit ${code}: ${stderr}`);
  return stdout.trim();
};

describe("a token over https", () => {
  let site: GitSite;
  beforeAll(async () => {
    site = await startGitSite(await ca.issue(["127.0.0.1"]), gated.world, {
      username: "robot",
      token: WEB_TOKEN,
    });
  });
  afterAll(() => site.close());
  const agent = (key: Readonly<Record<string, unknown>>, authority = ca.file): void =>
    gated.agent("dev", {
      web: { url: `https://127.0.0.1:${site.port}/web.git`, key, upstream_ca: [authority] },
    });

  it("I2: is presented by the gate, and is not in the guest", async () => {
    const web = gated.bare("web");
    agent({ provider: "token", token_ref: "WEB", username: "robot" });
    const id = await start({ WEB: WEB_TOKEN });
    const pushed = await push(id, "web");
    expect(refOf(web, `refs/heads/bottle/${id}/x`)).toBe(pushed);
    const search = `env | grep -c '${WEB_TOKEN}'; grep -rlF '${WEB_TOKEN}' ~ /etc /tmp 2>/dev/null; true`;
    expect(await gated.sh(id, search)).toBe("0");
    await gated.cli.run(["stop", id]);
  });

  it("that upstream does not take is told, and not which it was", async () => {
    agent({ provider: "token", token_ref: "WEB", username: "robot" });
    const id = await start({ WEB: "another-token-altogether" });
    const { code, stderr } = await gated.inside(id, "git ls-remote git-gate:web");
    expect(code).not.toBe(0);
    expect(stderr).not.toContain("another-token");
    await gated.cli.logged(id, "git.refused");
    await gated.cli.run(["stop", id]);
  });

  it("that is not there stops the launch by name", async () => {
    agent({ provider: "token", token_ref: "WEB" });
    const { code, stderr } = await gated.cli.run(["start", "dev", "--detach", "--yes"]);
    expect(code).toBe(1);
    expect(stderr).toContain("WEB is not set: the credential for 127.0.0.1");
    expect(stderr).toContain("export WEB=…");
  });
});

describe("a key of the operator's ssh-agent", () => {
  let agent: SshAgent | undefined;
  afterEach(() => void agent?.close());
  const repos = (key: unknown): void => gated.agent("dev", { far: { ...gated.overSsh(far), key } });

  it("signs for the gate, and cannot be reached from the guest", async () => {
    const socket = join(gated.world, "agent.sock");
    agent = await startSshAgent(socket, gated.keyFile);
    repos({ provider: "agent", public_key: gated.sshd.publicKey });
    const id = await start({ SSH_AUTH_SOCK: socket });
    const pushed = await push(id, "far");
    expect(refOf(far, `refs/heads/bottle/${id}/x`)).toBe(pushed);
    expect(await gated.sh(id, 'echo "agent:$SSH_AUTH_SOCK"; ls /gate 2>&1 | head -1')).toContain(
      "agent:\nls: cannot access",
    );
    await gated.cli.run(["stop", id]);
  });

  it("that does not run stops the launch", async () => {
    repos("agent");
    const { code, stderr } = await gated.cli.run(["start", "dev", "--detach", "--yes"], {
      env: { SSH_AUTH_SOCK: undefined },
    });
    expect(code).toBe(1);
    expect(stderr).toContain(
      "there is no ssh-agent, whose key far is to be reached with: SSH_AUTH_SOCK is not set",
    );
  });
});

describe("a key file", () => {
  it("with a passphrase stops the launch, with what to do instead", async () => {
    const locked = join(gated.cli.root, "keys", "locked");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "a word", "-f", locked]);
    gated.agent("dev", { far: { ...gated.overSsh(far), key: locked } });
    const { code, stderr } = await gated.cli.run(["start", "dev", "--detach", "--yes"]);
    expect(code).toBe(1);
    expect(stderr).toContain("has a passphrase");
    expect(stderr).toContain(`load it with ssh-add ${locked}, and write key: agent`);
  });

  it("is not asked of a host that shows another key than the pinned one", async () => {
    const other = join(gated.world, "other");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", other]);
    const pin = execFileSync("ssh-keygen", ["-y", "-f", other], { encoding: "utf8" }).trim();
    gated.agent("dev", { far: { ...gated.overSsh(far), host_key: pin } });
    const logins = gated.sshd.logins();
    const id = await start({});
    const { code, stderr } = await gated.inside(id, "git ls-remote git-gate:far");
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/upstream-untrusted|502/);
    expect((await gated.cli.logged(id, "git.refused")).data).toMatchObject({ code: "upstream-untrusted" });
    expect(gated.sshd.logins()).toBe(logins);
    await gated.cli.run(["stop", id]);
  });
});

describe("a repository of root's", () => {
  it.runIf(process.getuid?.() === 0)("is refused, because the gate does not run as root", async () => {
    const roots = gated.bare("roots");
    gated.agent("dev", { roots: { url: roots } });
    const { code, stderr } = await gated.cli.run(["start", "dev", "--detach", "--yes"]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      "the repository behind roots belongs to root, and git-gate does not run as root",
    );
    giveAway(roots);
    const id = await start({});
    expect(refOf(roots, `refs/heads/bottle/${id}/x`)).toBe("");
    const pushed = await push(id, "roots");
    expect(refOf(roots, `refs/heads/bottle/${id}/x`)).toBe(pushed);
    await gated.cli.run(["stop", id]);
  });
});

describe("a deploy key", () => {
  let gitea: Gitea;
  beforeAll(async () => {
    gitea = await startGitea(await ca.issue(["127.0.0.1"]), [
      { token: FORGE_TOKEN, repositories: ["team/made"], scope: "write:repository" },
    ]);
  });
  afterAll(() => gitea.close());
  afterEach(() => gitea.heal());

  /** The sshd lets in whom the forge knows. */
  const letIn = (): void => {
    const authorized = join(gated.world, "sshd", "authorized");
    for (const { key } of gitea.keys("team/made")) appendFileSync(authorized, `${key}\n`);
  };
  const agent = (): void => {
    // A forge's paths are not the disk's.
    const { url, host_key } = gated.overSsh("/team/made.git");
    const key = { provider: "gitea", url: `https://127.0.0.1:${gitea.port}`, token_ref: "FORGE" };
    gated.agent("dev", { made: { url, host_key, key, upstream_ca: [ca.file] } });
  };

  it("is made for the bottle, known to the forge alone, pushes, and is gone with the bottle", async () => {
    agent();
    const id = await start({ FORGE: FORGE_TOKEN });
    expect(gitea.keys("team/made")).toMatchObject([{ read_only: false, title: expect.stringContaining(id) }]);
    letIn();
    const logins = gated.sshd.logins();
    // Let in; whether there is such a path is the sshd's to say.
    const { stderr } = await gated.inside(id, "git ls-remote git-gate:made");
    expect(stderr).toMatch(/502|upstream-failed/);
    expect(gated.sshd.logins()).toBeGreaterThan(logins);
    await gated.cli.run(["stop", id]);
    expect(gitea.keys("team/made")).toEqual([]);
    expect(gated.cli.log(id).map(({ event }) => event)).toEqual(
      expect.arrayContaining(["deploy-key.added", "deploy-key.removed"]),
    );
  });

  it("that the forge does not make stops the launch, and leaves nothing", async () => {
    agent();
    gitea.fail("POST", 403, JSON.stringify({ message: "token does not have the scope" }));
    const { code, stderr } = await gated.cli.run(["start", "dev", "--detach", "--yes"], {
      env: { FORGE: FORGE_TOKEN },
    });
    expect(code).toBe(1);
    expect(stderr).toContain("did not take a deploy key for team/made (403: token does not have the scope)");
    expect(stderr).not.toContain(FORGE_TOKEN);
  });

  it("that a killed keeper left is removed by cleanup, with the token in the environment and not without", async () => {
    agent();
    const id = await start({ FORGE: FORGE_TOKEN });
    killIfThere((await gated.cli.status(id)).keeperPid);
    await eventually("every process to be gone", () => gated.cli.processes().length === 0);
    const listed = await gated.cli.run(["cleanup", "--dry-run"]);
    expect(listed.stdout).toContain(`${id}  deploy-key  `);
    const without = await gated.cli.run(["cleanup", "--yes"]);
    expect(without.code).toBe(1);
    expect(without.stderr).toContain("CAN STILL PUSH");
    expect(without.stderr).toContain("FORGE is not set");
    expect(gitea.keys("team/made")).toHaveLength(1);
    expect((await gated.cli.run(["cleanup", "--yes"], { env: { FORGE: FORGE_TOKEN } })).code).toBe(0);
    expect(gitea.keys("team/made")).toEqual([]);
  });

  it("that the forge did not remove at the end is told, keeps the bottle, and goes with rm --force at the latest", async () => {
    agent();
    const id = await start({ FORGE: FORGE_TOKEN });
    gitea.fail("DELETE", 500, JSON.stringify({ message: "database is locked" }));
    const stopped = await gated.cli.run(["stop", id]);
    expect(stopped.stderr).toContain("CAN STILL PUSH");
    expect(gated.cli.log(id).map(({ event }) => event)).toContain("deploy-key.left");
    expect(gated.cli.kept()).toContain(id);
    const refused = await gated.cli.run(["rm", id], { env: { FORGE: FORGE_TOKEN } });
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("(500: database is locked)");
    const forced = await gated.cli.run(["rm", "--force", id]);
    expect(forced.code).toBe(0);
    expect(forced.stderr).toContain("CAN STILL PUSH");
    expect(gated.cli.kept()).not.toContain(id);
  });
});
