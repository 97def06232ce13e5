import { createHmac } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { PlannedRepo } from "../../../src/contract/repository.ts";
import { parseGitUrl } from "../../../src/manifest/git-url.ts";
import { hostKeyIn, isHostKey } from "../../../src/manifest/known-hosts.ts";
import { loadAgent } from "../../../src/manifest/load.ts";
import { upstreamUrl } from "../../../src/plan/upstream-url.ts";
import { type ManifestTree, manifestTree, thrownBy } from "../../support/manifest-tree.ts";

const publicKey = (type: string, fill: string): string => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return `${type} ${Buffer.concat([length, Buffer.from(type), Buffer.from(fill.repeat(36))]).toString("base64")}`;
};
const HOST_KEY = publicKey("ssh-ed25519", "h");
const OTHER_KEY = publicKey("ssh-rsa", "r");

let tree: ManifestTree | undefined;
afterEach(() => tree?.remove());

/** A bottle with one repository `p`, in a home with a key file. */
function load(yaml: string, more: Readonly<Record<string, string>> = {}): PlannedRepo {
  tree = manifestTree({
    "agents/x.md": "---\nbottle: b\n---\n",
    "bottles/b.md": `---\ngit-gate:\n  repos:\n    p:\n${yaml.replace(/^/gm, "      ")}\n---\n`,
    ...more,
  });
  mkdirSync(join(tree.userHome, ".ssh"));
  writeFileSync(join(tree.userHome, ".ssh", "id"), "a key", { mode: 0o600 });
  writeFileSync(join(tree.userHome, "ca.pem"), "");
  mkdirSync(join(tree.userHome, "bare.git", "objects"), { recursive: true });
  writeFileSync(join(tree.userHome, "bare.git", "HEAD"), "ref: refs/heads/main\n");
  return loaded();
}

function loaded(): PlannedRepo {
  if (tree === undefined) throw new Error("no tree");
  const [repo] = loadAgent(tree.index(), "x").bottle.repos;
  if (repo === undefined) throw new Error("no repository");
  return repo;
}

const refusal = (yaml: string, more: Readonly<Record<string, string>> = {}): string =>
  thrownBy(() => load(yaml, more)).message.replaceAll(`${tree?.home.root ?? ""}/`, "");

const SSH = `url: git@example.com:team/p.git\nhost_key: ${HOST_KEY}`;

describe("a repository of the manifest", () => {
  it("over ssh: with a key file, which ~ names, and a pinned host", () => {
    const repo = load(`${SSH}\nkey: ~/.ssh/id`);
    expect(repo).toEqual({
      name: "p",
      upstream: {
        ...{ kind: "ssh", user: "git", host: "example.com", port: 22, path: "team/p.git" },
        key: { kind: "file", path: join(tree?.userHome ?? "", ".ssh", "id") },
        hostKeys: [HOST_KEY],
      },
      paths: { only: [], unprotect: [] },
      limits: {},
      review: false,
    });
  });

  it("over https: with a token by name", () => {
    const repo = load(
      "url: https://example.com:8443/team/p.git\nkey: {provider: token, token_ref: T}\nupstream_ca: [~/ca.pem]",
    );
    expect(repo.upstream).toEqual({
      ...{ kind: "https", host: "example.com", port: 8443, path: "/team/p.git" },
      token: { username: "git", tokenRef: "T" },
      authorities: [join(tree?.userHome ?? "", "ca.pem")],
    });
  });

  it("as a bare repository of this host", () => {
    expect(load("url: ~/bare.git").upstream).toEqual({
      kind: "local",
      path: join(tree?.userHome ?? "", "bare.git"),
    });
  });

  it("with a deploy key, at the repository's own host unless told otherwise", () => {
    const key = load(`${SSH}\nkey: {provider: gitea, forge_token_env: FORGE}`).upstream;
    expect(key).toMatchObject({
      key: { kind: "deploy", server: "https://example.com", repository: "team/p", tokenRef: "FORGE" },
    });
    tree?.remove();
    expect(
      load(`${SSH}\nkey: {provider: gitea, url: "https://forge.example:3000/git/", token_ref: F}`).upstream,
    ).toMatchObject({
      key: { server: "https://forge.example:3000/git", tokenRef: "F" },
    });
  });

  it("says what may be pushed", () => {
    const repo = load(
      `url: ~/bare.git
refs: ["refs/heads/bottle/{id}/*", {ref: refs/heads/wip, force: true}, {ref: refs/tags/v*, delete: true}]
paths: {only: [src/**], unprotect: [CODEOWNERS]}
limits: {push: 10M, file: 1K, objects: 5, files: 0}
exceptions: [{code: lfs-pointer, subjects: [a.bin, b.bin]}]
review: true`,
    );
    expect(repo).toMatchObject({
      refs: [
        { pattern: "refs/heads/bottle/{id}/*", force: false, delete: false },
        { pattern: "refs/heads/wip", force: true, delete: false },
        { pattern: "refs/tags/v*", force: false, delete: true },
      ],
      paths: { only: ["src/**"], unprotect: ["CODEOWNERS"] },
      limits: { packBytes: 10 * 2 ** 20, fileBytes: 1024, objects: 5, files: 0 },
      exceptions: [{ code: "lfs-pointer", subjects: ["a.bin", "b.bin"] }],
      review: true,
    });
  });

  it("may be said in parts, by a bottle and by what it extends", () => {
    const repo = load("key: ~/.ssh/id", {
      "bottles/base.md": `---\ngit-gate: {repos: {p: {url: "git@example.com:p.git", host_key: ${HOST_KEY}}}}\n---\n`,
      "bottles/b.md": "---\nextends: base\ngit-gate: {repos: {p: {key: ~/.ssh/id}}}\n---\n",
    });
    expect(repo.upstream).toMatchObject({ kind: "ssh", path: "p.git", hostKeys: [HOST_KEY] });
  });

  it.each([
    ["key: ~/.ssh/id", "bottles/b.md:5:7: git-gate.repos.p: needs its url"],
    [SSH, "bottles/b.md:5:7: git-gate.repos.p: needs a key: agent for your ssh-agent"],
    [`${SSH}\nkey: ~/.ssh/none`, "bottles/b.md:7:12: git-gate.repos.p.key: does not exist"],
    [`${SSH}\nkey: ~/.ssh`, "bottles/b.md:7:12: git-gate.repos.p.key: is not a file"],
    [`${SSH}\nkey: {provider: token, token_ref: T}`, "bottles/b.md:7:12: git-gate.repos.p.key: is for https"],
    [
      `${SSH.replace("team/p", "p")}\nkey: {provider: gitea, token_ref: T}`,
      "bottles/b.md:7:12: git-gate.repos.p.key: needs a url whose path is owner/name",
    ],
    [`${SSH}\nkey: {provider: gitea}`, "bottles/b.md:7:12: git-gate.repos.p.key: needs token_ref, once"],
    [
      `${SSH}\nkey: {provider: gitea, url: "http://x.example", token_ref: T}`,
      "bottles/b.md:7:35: git-gate.repos.p.key.url: must be the server's address",
    ],
    [
      `${SSH}\nkey: id_rsa`,
      "bottles/b.md:7:12: git-gate.repos.p.key: must be agent (your ssh-agent), the path",
    ],
    ["url: https://example.com/p\nkey: agent", "bottles/b.md:6:12: git-gate.repos.p.key: is for ssh"],
    [
      `url: https://example.com/p\nhost_key: ${HOST_KEY}`,
      "bottles/b.md:6:17: git-gate.repos.p.host_key: is for ssh",
    ],
    [
      "url: https://me:word@example.com/p",
      "bottles/b.md:5:12: git-gate.repos.p.url: must hold no user or password",
    ],
    [
      "url: https://example.com/p\nupstream_ca: [~/none.pem]",
      "bottles/b.md:6:21: git-gate.repos.p.upstream_ca[0]: does not exist",
    ],
    ["url: ~/none.git", "bottles/b.md:5:12: git-gate.repos.p.url: does not exist"],
    ["url: ~/.ssh", "bottles/b.md:5:12: git-gate.repos.p.url: is not a bare repository"],
    [
      "url: ~/bare.git\nkey: agent",
      "bottles/b.md:6:12: git-gate.repos.p.key: is not for a repository on this host",
    ],
    ["url: ~/bare.git\nrefs: []", "bottles/b.md:6:13: git-gate.repos.p.refs: is empty"],
    ["url: ~/bare.git\nrefs: [main]", "bottles/b.md:6:14: git-gate.repos.p.refs[0]: must be a whole ref"],
    [
      "url: ~/bare.git\nrefs: [refs/heads/*/*]",
      "bottles/b.md:6:14: git-gate.repos.p.refs[0]: must be refs/<kind>/… with at most one *",
    ],
    [
      'url: ~/bare.git\nrefs: ["refs/heads/bottle/{ID}/*"]',
      "bottles/b.md:6:14: git-gate.repos.p.refs[0]: is no name that a ref can have",
    ],
    ["url: ~/bare.git\nrefs: [refs/*]", "bottles/b.md:6:14: git-gate.repos.p.refs[0]: must be refs/<kind>/…"],
    [
      "url: ~/bare.git\nrefs: [refs/heads/a..b]",
      "bottles/b.md:6:14: git-gate.repos.p.refs[0]: is no name that a ref can have",
    ],
    [
      "url: ~/bare.git\npaths: {only: [/etc]}",
      "bottles/b.md:6:22: git-gate.repos.p.paths.only[0]: must be a path below",
    ],
    [
      "url: ~/bare.git\nlimits: {push: 10}",
      "bottles/b.md:6:22: git-gate.repos.p.limits.push: must be text, not a number; put it in quotes",
    ],
    [
      "url: ~/bare.git\nlimits: {objects: -1}",
      "bottles/b.md:6:25: git-gate.repos.p.limits.objects: must not be negative",
    ],
    [
      'url: ~/bare.git\nexceptions: [{code: secret-found, subjects: ["d:f"]}]',
      "bottles/b.md:6:27: git-gate.repos.p.exceptions[0].code: ",
    ],
    [
      "url: ~/bare.git\nexceptions: [{code: lfs-pointer, subjects: []}]",
      "bottles/b.md:6:50: git-gate.repos.p.exceptions[0].subjects: is empty",
    ],
  ])("refuses %j and says where", (yaml, expected) => {
    expect(refusal(yaml)).toContain(expected);
  });

  it("refuses a key that others may read, with the command that mends it", () => {
    load(`${SSH}\nkey: ~/.ssh/id`);
    const path = join(tree?.userHome ?? "", ".ssh", "id");
    chmodSync(path, 0o640);
    expect(thrownBy(loaded).message).toContain(`can be read by others (mode 640): run chmod 600 ${path}`);
  });

  it.each(["p.git", "p.lock"])("refuses the name %s, which git would read otherwise", (name) => {
    const bottle = `---\ngit-gate: {repos: {${name}: {url: ~/bare.git}}}\n---\n`;
    expect(refusal("review: true", { "bottles/b.md": bottle })).toContain("must not end in .git or .lock");
  });

  it.each([
    ["by another scheme", "git@example.com:team/p.git", "https://example.com/team/p"],
    ["with another port", "https://example.com/p", "https://example.com:8443/p.git/"],
    ["by the same path", "~/bare.git", "~/bare.git/"],
  ])("refuses a second one for the same upstream, %s", (_, first, second) => {
    const more = first.startsWith("git@") ? `, key: ~/.ssh/id, host_key: ${HOST_KEY}` : "";
    const bottle = `---\ngit-gate:\n  repos:\n    a: {url: ${first}${more}}\n    b: {url: "${second}"}\n---\n`;
    expect(refusal("review: true", { "bottles/b.md": bottle })).toContain(
      "bottles/b.md:5:14: git-gate.repos.b.url: is the same repository as a: keep one of them",
    );
  });

  it("I5: a repository's agent cannot bring any of it", () => {
    tree = manifestTree({
      "bottles/b.md": "---\nrepo_agents: true\n---\n",
      "repo/agents/y.md": "---\nbottle: b\ngit-gate: {repos: {p: {url: /srv/p.git}}}\n---\n",
      "repo/bottles/evil.md": "---\ngit-gate: {repos: {p: {url: /srv/p.git}}}\n---\n",
    });
    const index = tree.index();
    expect(index.bottles.map(({ name }) => name)).not.toContain("evil");
    expect(thrownBy(() => loadAgent(index, "y")).message).toContain(
      "git-gate.repos: is no longer a key: repositories belong to the bottle",
    );
  });
});

describe("an unpinned host", () => {
  const UNPINNED = "url: ssh://git@example.com:2222/team/p.git\nkey: ~/.ssh/id";

  it("is refused, and never trusted on first use", () => {
    expect(refusal(UNPINNED)).toMatch(
      /b\.md:5:7: git-gate\.repos\.p: needs a host_key: .*compare what the host's owner publishes with `ssh-keyscan -p 2222 example\.com`/,
    );
  });

  it("is refused with the line to add, where the operator's own known_hosts has it", () => {
    refusal(UNPINNED);
    const file = join(tree?.userHome ?? "", ".ssh", "known_hosts");
    writeFileSync(file, `[example.com]:2222 ${OTHER_KEY}\n[example.com]:2222 ${HOST_KEY} comment\n`);
    expect(thrownBy(loaded).message).toContain(`your known_hosts has the line to add: host_key: ${HOST_KEY}`);
  });
});

describe("known_hosts", () => {
  const salt = Buffer.from("salt of twenty bytes").toString("base64");
  const hashed = (name: string): string =>
    `|1|${salt}|${createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64")}`;

  it.each([
    ["by name", `example.com ${HOST_KEY}`, HOST_KEY],
    ["among others", `other.example,example.com ${HOST_KEY}`, HOST_KEY],
    ["hashed", `${hashed("example.com")} ${HOST_KEY}`, HOST_KEY],
    ["of another port", `[example.com]:22 ${HOST_KEY}`, undefined],
    ["of another host", `${hashed("example.org")} ${HOST_KEY}`, undefined],
    ["by a pattern", `*.com ${HOST_KEY}`, undefined],
    ["revoked", `@revoked example.com ${HOST_KEY}`, undefined],
    ["commented out", `# example.com ${HOST_KEY}`, undefined],
    ["with a key that is none", "example.com ssh-ed25519 AAAA", undefined],
    ["of two kinds, the stronger", `example.com ${OTHER_KEY}\nexample.com ${HOST_KEY}`, HOST_KEY],
  ])("%s", (_, text, expected) => {
    expect(hostKeyIn(text, "example.com", 22)).toBe(expected);
  });

  it("takes no key whose binary names another type", () => {
    const [, base64 = ""] = HOST_KEY.split(" ");
    expect(isHostKey(HOST_KEY)).toBe(true);
    expect(isHostKey(`ssh-rsa ${base64}`)).toBe(false);
    expect(isHostKey(`${HOST_KEY} comment`)).toBe(false);
  });
});

describe("a repository's URL", () => {
  it.each([
    [
      "ssh://git@example.com/team/p.git",
      { kind: "ssh", user: "git", host: "example.com", port: 22, path: "/team/p.git" },
    ],
    [
      "SSH://git@Example.COM:2222/p",
      { kind: "ssh", user: "git", host: "example.com", port: 2222, path: "/p" },
    ],
    [
      "git@example.com:team/p.git",
      { kind: "ssh", user: "git", host: "example.com", port: 22, path: "team/p.git" },
    ],
    ["git@[::1]:/srv/p.git", { kind: "ssh", user: "git", host: "::1", port: 22, path: "/srv/p.git" }],
    ["ssh://me@[::1]:22/~me/p", { kind: "ssh", user: "me", host: "::1", port: 22, path: "/~me/p" }],
    ["https://example.com/p", { kind: "https", host: "example.com", port: 443, path: "/p" }],
    ["/srv/p.git/", { kind: "local", path: "/srv/p.git" }],
  ])("reads %s", (text, url) => {
    expect(parseGitUrl(text)).toEqual({ ok: true, value: url });
  });

  it.each([
    ["http://example.com/p", /is not encrypted/],
    ["git://example.com/p", /is not encrypted/],
    ["file:///srv/p.git", /without file:\/\//],
    ["ext::sh -c id", /needs the user|must be ssh/],
    ["example.com:p", /needs the user/],
    ["ssh://example.com/p", /needs the user/],
    ["ssh://git:word@example.com/p", /no plain name/],
    ["ssh://-oProxyCommand=id@example.com/p", /no plain name/],
    ["ssh://git@-oProxyCommand=id/p", /host that cannot be/],
    ["git@example.com:-upload-pack", /dash/],
    ["git@example.com:../p", /must not contain/],
    ["git@example.com:p q", /other characters/],
    ["git@example.com:p';id;'", /other characters/],
    ["ssh://git@example.com/", /names no repository/],
    ["ssh://git@example.com:0/p", /port/],
    ["https://example.com/p?x=y", /other characters/],
    ["https://user@example.com/p", /no user or password/],
    ["/srv/../etc", /must not contain/],
    ["p.git", /must be ssh/],
    ["", /must be ssh/],
  ])("refuses %j", (text, expected) => {
    const parsed = parseGitUrl(text);
    expect(parsed.ok ? "accepted" : parsed.reason).toMatch(expected);
  });

  it("is shown as it is read again", () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/);
    const path = fc.array(fc.stringMatching(/^[A-Za-z0-9_~+@][A-Za-z0-9._~+@-]{0,8}$/), {
      minLength: 1,
      maxLength: 4,
    });
    const port = fc.integer({ min: 1, max: 65_535 });
    const url = fc.record({ label, path, port, kind: fc.constantFrom("ssh", "scp", "https"), user: label });
    fc.assert(
      fc.property(url, ({ label, path, port, kind, user }) => {
        const rest = path.join("/");
        const text =
          kind === "scp"
            ? `${user}@${label}.example:${rest}`
            : `${kind}://${kind === "ssh" ? `${user}@` : ""}${label}.example:${port}/${rest}`;
        const parsed = parseGitUrl(text);
        if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
        const upstream =
          parsed.value.kind === "ssh"
            ? { ...parsed.value, key: { kind: "agent" as const }, hostKeys: [] }
            : parsed.value.kind === "https"
              ? { ...parsed.value, authorities: [] }
              : parsed.value;
        expect(parseGitUrl(upstreamUrl(upstream))).toEqual(parsed);
      }),
    );
  });
});
