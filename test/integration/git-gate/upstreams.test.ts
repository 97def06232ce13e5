/** The same work over each kind of upstream, and what happens when the upstream is not what it should be. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GitUpstream } from "../../../src/contract/git-gate.ts";
import { type ConnectProxy, startConnectProxy } from "../../doubles/connect-proxy.ts";
import { closesAfterEach } from "../../support/closing.ts";
import { type GateSite, must, newFolder, OWN, run, startSite } from "../../support/git-gate.ts";
import { startGitSite } from "../../support/git-site.ts";
import {
  CREDENTIAL,
  overHttps as httpsUpstream,
  newUpstream,
  overSsh as sshUpstream,
} from "../../support/git-upstreams.ts";
import { HAS_SSHD, type Sshd, startSshd } from "../../support/sshd.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

let ca: TestCa;
let sshd: Sshd | undefined;
const sshdFolder = newFolder();
const closing = closesAfterEach();

beforeAll(async () => {
  ca = await makeTestCa();
  if (HAS_SSHD) sshd = await startSshd(sshdFolder);
});
afterAll(async () => {
  sshd?.close();
  await ca.remove();
  await rm(sshdFolder, { recursive: true, force: true });
});

async function site(upstream: GitUpstream): Promise<GateSite> {
  const started = await startSite({ upstream });
  closing.push(() => started.close());
  return started;
}

const bareRepository = (): Promise<string> => newUpstream(closing);

function overSsh(bare: string, change: Parameters<typeof sshUpstream>[2] = {}): GitUpstream {
  if (sshd === undefined) throw new Error("no sshd");
  return sshUpstream(sshd, bare, change);
}

async function overHttps(bare: string): ReturnType<typeof httpsUpstream> {
  const { upstream, server } = await httpsUpstream(ca, bare);
  closing.push(() => server.close());
  return { upstream, server };
}

const KINDS: readonly (readonly [string, (bare: string) => Promise<GitUpstream>])[] = [
  ["a local path", async (path) => ({ kind: "local", path })],
  ["https with a token", async (bare) => (await overHttps(bare)).upstream],
  ...(HAS_SSHD ? ([["ssh with a key", async (bare: string) => overSsh(bare)]] as const) : []),
];

describe.each(KINDS)("over %s", (_, upstreamOf) => {
  it("clones, pushes, fetches what others pushed, and follows the default branch", async () => {
    const bare = await bareRepository();
    const gate = await site(await upstreamOf(bare));
    const copy = await gate.clone();
    expect(await must(["git", "--git-dir", bare, "rev-parse", "main"])).toBe(
      await copy.git("rev-parse", "HEAD"),
    );

    const id = await copy.commit({ "src/work.ts": "export const done = true;\n" });
    const pushed = await copy.push("work");
    expect(pushed).toMatchObject({ code: 0 });
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    expect(gate.events("git.pushed")).toMatchObject([
      { repo: "app", updates: [{ ref: `${OWN}/work`, old: "0".repeat(40), new: id }], commits: 1 },
    ]);

    const other = join(gate.folder, "other");
    await must(["git", "clone", "-q", bare, other]);
    await must(["git", "-C", other, "commit", "-q", "--allow-empty", "-m", "by somebody else"]);
    await must(["git", "-C", other, "push", "-q", "origin", "HEAD:main", "HEAD:trunk"]);
    await must(["git", "--git-dir", bare, "symbolic-ref", "HEAD", "refs/heads/trunk"]);
    await copy.git("fetch", "-q");
    expect(await copy.git("rev-parse", "origin/main")).toBe(
      await must(["git", "-C", other, "rev-parse", "HEAD"]),
    );
    const again = await gate.clone();
    expect(await again.git("symbolic-ref", "--short", "HEAD")).toBe("trunk");

    // A branch that is gone at the upstream is gone here.
    await must(["git", "--git-dir", bare, "branch", "-D", "main"]);
    await copy.git("fetch", "-q", "--prune");
    expect((await copy.try("rev-parse", "-q", "--verify", "origin/main")).code).not.toBe(0);
  });
});

describe("credentials", () => {
  it("are in no argument, no environment and no file (I2)", async () => {
    const bare = await bareRepository();
    const { upstream } = await overHttps(bare);
    const gate = await site(upstream);
    // A hook of the upstream's own that looks, while the push goes on, at every process there is.
    await writeFile(
      join(bare, "hooks", "pre-receive"),
      "#!/bin/sh\nfor p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline; tr '\\0' '\\n' <$p/environ; done >seen 2>/dev/null\nexit 0\n",
      { mode: 0o755 },
    );
    const copy = await gate.clone();
    await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
    const seen = readFileSync(join(bare, "seen"), "latin1");
    expect(seen).toContain("http-backend");
    expect(seen).not.toContain(CREDENTIAL.token);
    expect(seen).not.toContain(Buffer.from(`${CREDENTIAL.username}:${CREDENTIAL.token}`).toString("base64"));
    expect(grep(gate.folder, CREDENTIAL.token)).toEqual([]);
    expect(JSON.stringify(gate.messages)).not.toContain(CREDENTIAL.token);
  });

  it.skipIf(!HAS_SSHD)("leave no private key on a disk, and no agent behind", async () => {
    const bare = await bareRepository();
    const gate = await site(overSsh(bare));
    const copy = await gate.clone();
    await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
    expect(grep(gate.folder, "PRIVATE KEY")).toEqual([]);
    const socket = join(gate.config.runtimeDir, "app.agent");
    expect((await run(["ssh-add", "-l"], { env: { SSH_AUTH_SOCK: socket } })).code).toBe(0);
    gate.gate.stop();
    await gone(socket);
  });

  it.skipIf(!HAS_SSHD)("come from the operator's ssh-agent, which nobody else reaches", async () => {
    const bare = await bareRepository();
    const folder = newFolder();
    closing.push(() => rm(folder, { recursive: true, force: true }));
    const socket = join(folder, "agent");
    const agent = spawn("ssh-agent", ["-D", "-a", socket], { stdio: "ignore" });
    closing.push(() => agent.kill());
    for (const type of ["other", "wanted"]) {
      const text = type === "wanted" ? sshd?.privateKey : await newKey(join(folder, type));
      await eventually(() =>
        run(["ssh-add", "-q", "-"], { env: { SSH_AUTH_SOCK: socket }, input: text ?? "" }),
      );
    }
    const publicKey = sshd?.publicKey ?? "";
    const gate = await site(overSsh(bare, { key: { kind: "agent", socket, publicKey } }));
    const copy = await gate.clone();
    await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push()).toMatchObject({ code: 0 });
  });

  it.skipIf(!HAS_SSHD)(
    "that cannot be used stop the gate at its start, by the repository's name",
    async () => {
      await expect(
        startSite({ upstream: overSsh("/nowhere", { key: { kind: "private-key", text: "no key" } }) }),
      ).rejects.toThrow("the private key of app cannot be used");
    },
  );
});

describe("an upstream that is not what it should be", () => {
  it.skipIf(!HAS_SSHD)("is not talked to without a pinned host key", async () => {
    const bare = await bareRepository();
    const before = sshd?.logins();
    const gate = await site(overSsh(bare, { hostKeys: [] }));
    const { code, stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: host-key-unpinned");
    expect(sshd?.logins()).toBe(before);
  });

  it.skipIf(!HAS_SSHD)("is not talked to when it shows another host key", async () => {
    const bare = await bareRepository();
    const folder = newFolder();
    closing.push(() => rm(folder, { recursive: true, force: true }));
    await newKey(join(folder, "k"));
    const [type, base64] = readFileSync(join(folder, "k.pub"), "utf8").split(" ");
    const gate = await site(overSsh(bare, { hostKeys: [`${type} ${base64}`] }));
    const before = sshd?.logins();
    const { code, stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: upstream-untrusted");
    expect(stderr).not.toContain("127.0.0.1:22");
    expect(sshd?.logins()).toBe(before);
  });

  it("fails the fetch with the reason when it cannot be reached, though the gate has an older copy", async () => {
    const bare = await bareRepository();
    const { upstream, server } = await overHttps(bare);
    const gate = await site(upstream);
    const copy = await gate.clone();
    await server.close();
    const fetched = await copy.try("fetch");
    expect(fetched.code).not.toBe(0);
    expect(fetched.stderr).toContain("denied: upstream-unreachable: the upstream cannot be reached");
    expect(fetched.stderr).not.toContain(String(server.port));
    await copy.commit({ "a.txt": "a\n" });
    const pushed = await copy.push();
    expect(pushed.code).not.toBe(0);
    expect(pushed.stderr).toContain("denied: upstream-unreachable");
    expect(gate.events("git.refused").map(({ code }) => code)).toEqual([
      "upstream-unreachable",
      "upstream-unreachable",
    ]);
  });

  it("is not trusted with a certificate of an authority that the operator did not name", async () => {
    const bare = await bareRepository();
    const { upstream } = await overHttps(bare);
    const stranger = await makeTestCa("stranger");
    closing.push(() => stranger.remove());
    const gate = await site({ ...upstream, ca: [stranger.certificate] });
    const { stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(stderr).toContain("denied: upstream-untrusted");
  });

  it("says so when it does not accept the credential, without naming it", async () => {
    const bare = await bareRepository();
    const { upstream } = await overHttps(bare);
    const credential = { username: "x", token: ["wrong", "token", "Kd92Pq"].join("-") };
    const gate = await site({ ...upstream, credential });
    const { stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(stderr).toContain("denied: upstream-denied");
    expect(stderr + JSON.stringify(gate.messages)).not.toContain(credential.token);
  });

  it("refuses: its refusal is the agent's, in its own words but for what the agent is not to know", async () => {
    const bare = await bareRepository();
    const { upstream } = await overHttps(bare);
    const gate = await site(upstream);
    const copy = await gate.clone();
    await writeFile(
      join(bare, "hooks", "pre-receive"),
      `#!/bin/sh\necho "no pushes on Saturdays, says ${CREDENTIAL.token} at 10.1.2.3" >&2\nprintf '\\033[31mred\\n' >&2\nexit 1\n`,
      { mode: 0o755 },
    );
    await copy.commit({ "a.txt": "a\n" });
    const pushed = await copy.push();
    expect(pushed.code).not.toBe(0);
    expect(pushed.stderr).toContain("denied: upstream-refused");
    expect(pushed.stderr).toContain("no pushes on Saturdays, says [hidden] at [address]");
    expect(pushed.stderr).toContain("\\u{1b}[31mred");
    expect(await must(["git", "--git-dir", bare, "for-each-ref", OWN])).toBe("");
    // Nothing of the push has stayed in the gate.
    const mirror = join(gate.config.stateDir, "app.git");
    const objects = (folder: string): Promise<string> =>
      must(["git", "--git-dir", folder, "cat-file", "--batch-all-objects", "--batch-check"]);
    expect((await objects(mirror)).split("\n").sort()).toEqual((await objects(bare)).split("\n").sort());
  });
});

describe("an upstream that sends the gate elsewhere", () => {
  it("by a redirect is not followed, with the credential or without", async () => {
    const bare = await bareRepository();
    const { server } = await overHttps(bare);
    const { key, certificate: cert } = await ca.issue(["localhost"]);
    const away = createServer({ key, cert }, (request, response) => {
      response.writeHead(302, { Location: `https://localhost:${server.port}${request.url}` }).end();
    });
    await new Promise<void>((resolve) => away.listen(0, "127.0.0.1", resolve));
    closing.push(() => away.close());
    const { port } = away.address() as AddressInfo;
    const url = `https://localhost:${port}/${basename(bare)}`;
    const gate = await site({ kind: "https", url, credential: CREDENTIAL, ca: [ca.certificate] });
    const { code, stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: upstream-failed");
    expect(server.requests).toEqual([]);
  });
});

describe("an upstream behind a company's proxy", () => {
  const PROXY_LOGIN = { username: "gate-user", token: ["proxy", "password", "Vw72KxQd"].join("-") };

  async function behind(
    change: { readonly wanted?: string; readonly known?: boolean } = {},
  ): Promise<{ gate: GateSite; bare: string; proxy: ConnectProxy }> {
    const bare = await bareRepository();
    const server = await startGitSite(await ca.issue(["git.corp.test"]), dirname(bare), CREDENTIAL);
    const proxy = await startConnectProxy({
      names: change.known === false ? {} : { "git.corp.test:443": server.port },
      credential: change.wanted ?? `${PROXY_LOGIN.username}:${PROXY_LOGIN.token}`,
    });
    closing.push(
      () => server.close(),
      () => proxy.close(),
    );
    const gate = await site({
      ...{ kind: "https", url: `https://git.corp.test/${basename(bare)}`, ca: [ca.certificate] },
      credential: CREDENTIAL,
      proxy: { host: "127.0.0.1", port: proxy.port, tls: false, credential: PROXY_LOGIN },
    });
    return { gate, bare, proxy };
  }

  it("is fetched from and pushed to through it, by a name that only it knows, each with its own credential", async () => {
    const { gate, bare, proxy } = await behind();
    await writeFile(
      join(bare, "hooks", "pre-receive"),
      "#!/bin/sh\nfor p in /proc/[0-9]*; do tr '\\0' '\\n' <$p/cmdline; tr '\\0' '\\n' <$p/environ; done >seen 2>/dev/null\nexit 0\n",
      { mode: 0o755 },
    );
    const copy = await gate.clone();
    const id = await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push("work")).toMatchObject({ code: 0 });
    expect(await must(["git", "--git-dir", bare, "rev-parse", `${OWN}/work`])).toBe(id);
    const basic = Buffer.from(`${PROXY_LOGIN.username}:${PROXY_LOGIN.token}`).toString("base64");
    expect(new Set(proxy.asked.map(({ line }) => line))).toEqual(new Set(["CONNECT git.corp.test:443"]));
    expect(proxy.asked.some(({ authorization }) => authorization === `Basic ${basic}`)).toBe(true);
    expect(JSON.stringify(proxy.asked)).not.toContain(CREDENTIAL.token);
    // I2: neither stands where others can read.
    const seen = readFileSync(join(bare, "seen"), "latin1");
    expect(seen).toContain("http.proxy=http://gate@127.0.0.1");
    for (const secret of [PROXY_LOGIN.token, PROXY_LOGIN.username, basic, CREDENTIAL.token]) {
      expect(seen).not.toContain(secret);
      expect(grep(gate.folder, secret)).toEqual([]);
      expect(JSON.stringify(gate.messages)).not.toContain(secret);
    }
    await copy.commit({ "b.txt": PROXY_LOGIN.token });
    expect((await copy.push("leak")).stderr).toContain("denied: secret-found");
  });

  it.each([
    ["does not take the gate's credential", { wanted: "somebody:else" }],
    ["does not lead there", { known: false }],
  ])("that %s fails, says whose it is, and names neither", async (_, change) => {
    const { gate, proxy } = await behind(change);
    const { code, stderr } = await run(["git", "clone", `${gate.url}/app.git`, join(gate.folder, "x")]);
    expect(code).not.toBe(0);
    expect(stderr).toContain(
      "denied: upstream-unreachable: the operator's proxy does not let the gate through",
    );
    expect(stderr + JSON.stringify(gate.messages)).not.toContain(String(proxy.port));
    expect(proxy.asked.length).toBeGreaterThan(0);
  });
});

async function newKey(file: string): Promise<string> {
  await must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file]);
  return readFileSync(file, "utf8");
}

async function eventually(attempt: () => Promise<{ code: number }>): Promise<void> {
  for (let left = 100; left > 0; left--) {
    if ((await attempt()).code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it did not come to pass");
}

async function gone(socket: string): Promise<void> {
  await eventually(async () => {
    const { code } = await run(["ssh-add", "-l"], { env: { SSH_AUTH_SOCK: socket } });
    // 2: there is no agent. 1 would be: it has no keys.
    return { code: code === 2 ? 0 : 1 };
  });
}

/** Files below `folder` in which `text` stands. */
function grep(folder: string, text: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => readFileSync(file, "latin1").includes(text));
}
