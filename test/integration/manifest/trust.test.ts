import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { loadIndex } from "../../../src/manifest/index-scan.ts";
import { loadAgent } from "../../../src/manifest/load.ts";
import { type ManifestTree, manifestTree, thrownBy } from "../../support/manifest-tree.ts";

let tree: ManifestTree;
afterEach(() => tree.remove());

const BOTTLE = "---\nrepo_agents: true\n---\n";
const agent = (bottle: string, body = "prompt"): string => `---\nbottle: ${bottle}\n---\n${body}\n`;

describe("I5: what a repository can bring", () => {
  it("a bottle of a repository is never read: it only warns", () => {
    tree = manifestTree({
      "repo/bottles/wide.md": "---\negress: {routes: [{host: evil.example}]}\n---\n",
      "repo/agents/x.md": agent("wide"),
    });
    const index = tree.index();
    expect(index.bottles.map(({ name }) => name)).toEqual(["claude"]);
    expect(index.warnings).toEqual([expect.stringContaining("repo/.bot-bottle/bottles is not read")]);
    expect(thrownBy(() => loadAgent(index, "x")).message).toContain('there is no bottle "wide"');
  });

  it("the operator's agent wins a clash of names, and the repository's is named in a warning", () => {
    tree = manifestTree({
      "bottles/b.md": BOTTLE,
      "agents/dev.md": agent("b", "the operator's"),
      "repo/agents/dev.md": agent("b", "the repository's"),
    });
    const loaded = loadAgent(tree.index(), "dev");
    expect(loaded).toMatchObject({ source: "home", prompt: "the operator's" });
    expect(loaded.warnings).toEqual([
      expect.stringMatching(
        /repo\/\.bot-bottle\/agents\/dev\.md is not used: .*home.*dev\.md has the same name$/,
      ),
    ]);
  });

  it("the built-in agent wins a clash with the repository's, and loses one with the operator's", () => {
    tree = manifestTree({ "repo/agents/claude.md": agent("claude", "the repository's") });
    expect(loadAgent(tree.index(), "claude")).toMatchObject({ source: "built-in", prompt: "" });
    expect(tree.index().warnings).toEqual([expect.stringContaining("the built-in agent has the same name")]);
    tree.write("agents/claude.md", agent("claude", "the operator's"));
    expect(loadAgent(tree.index(), "claude")).toMatchObject({ source: "home", prompt: "the operator's" });
  });

  it("runs only in a bottle that says repo_agents: true itself", () => {
    tree = manifestTree({
      "bottles/open.md": BOTTLE,
      "bottles/closed.md": "---\n---\n",
      "bottles/heir.md": "---\nextends: open\n---\n",
      "repo/agents/yes.md": agent("open"),
      "repo/agents/no.md": agent("closed"),
      "repo/agents/inherited.md": agent("heir"),
      "repo/agents/builtin.md": agent("claude"),
    });
    const index = tree.index();
    expect(loadAgent(index, "yes")).toMatchObject({ source: "repository", bottle: { name: "open" } });
    for (const name of ["no", "inherited", "builtin"]) {
      expect(thrownBy(() => loadAgent(index, name)).message).toMatch(
        new RegExp(
          `${name}\\.md:2:9: bottle: an agent that a repository brings runs only in a bottle with repo_agents: true`,
        ),
      );
    }
  });

  it("has the hash of exactly the bytes that were read", () => {
    tree = manifestTree({ "bottles/b.md": BOTTLE, "repo/agents/x.md": agent("b") });
    const first = loadAgent(tree.index(), "x").contentHash;
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(loadAgent(tree.index(), "x").contentHash).toBe(first);
    tree.write("repo/agents/x.md", agent("b", "prompt."));
    expect(loadAgent(tree.index(), "x").contentHash).not.toBe(first);
  });

  it("may not say who commits", () => {
    tree = manifestTree({
      "bottles/b.md": BOTTLE,
      "repo/agents/x.md": "---\nbottle: b\ngit-gate:\n  user: {name: Somebody}\n---\n",
    });
    expect(thrownBy(() => loadAgent(tree.index(), "x")).message).toMatch(
      /x\.md:4:3: git-gate: is not for an agent that a repository brings/,
    );
  });

  it("may bring in nothing of the operator's own, where one of theirs may", () => {
    const text = "---\nbottle: b\nuser_config: {memory: true, mcp_servers: [docs, docs]}\n---\n";
    tree = manifestTree({ "bottles/b.md": BOTTLE, "repo/agents/x.md": text, "agents/mine.md": text });
    expect(thrownBy(() => loadAgent(tree.index(), "x")).message).toMatch(
      /x\.md:3:14: user_config: is not for an agent that a repository brings: what is yours/,
    );
    expect(loadAgent(tree.index(), "mine").userConfig).toEqual({
      ...{ memory: true, settings: [], commands: [], mcpServers: ["docs"] },
    });
  });

  it("may not use any key of a bottle", () => {
    tree = manifestTree({
      "bottles/b.md": BOTTLE,
      "repo/agents/x.md":
        "---\nbottle: b\negress: {routes: [{host: evil.example}]}\nmounts: []\nenv: {}\n---\n",
    });
    const { message } = thrownBy(() => loadAgent(tree.index(), "x"));
    for (const key of ["egress", "mounts", "env"]) {
      expect(message).toContain(`${key}: is a key of a bottle, not of an agent: move it there`);
    }
  });

  it("a link that leads out of the repository is not followed", () => {
    tree = manifestTree({ "bottles/b.md": BOTTLE, "agents/mine.md": agent("b", "the operator's own words") });
    mkdirSync(join(tree.repository, ".bot-bottle", "agents"), { recursive: true });
    const link = join(tree.repository, ".bot-bottle", "agents", "stolen.md");
    symlinkSync(join(tree.home.agents, "mine.md"), link);
    const error = thrownBy(() => loadAgent(tree.index(), "stolen"));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toBe(
      `${link}:1:1: is a link that leads out of the repository's .bot-bottle: it is not followed`,
    );
  });

  it("a folder that is such a link brings nothing", () => {
    tree = manifestTree({ "agents/mine.md": agent("claude") });
    mkdirSync(join(tree.repository, ".bot-bottle"));
    symlinkSync(tree.home.agents, join(tree.repository, ".bot-bottle", "agents"));
    expect(tree.index().agents.map(({ name, source }) => [name, source])).toEqual([
      ["claude", "built-in"],
      ["mine", "home"],
    ]);
    expect(tree.index().warnings).toEqual([expect.stringContaining("it leads out of the repository")]);

    rmSync(join(tree.repository, ".bot-bottle"), { recursive: true });
    const elsewhere = join(tree.userHome, "elsewhere");
    mkdirSync(join(elsewhere, "agents"), { recursive: true });
    writeFileSync(join(elsewhere, "agents", "x.md"), agent("claude"));
    symlinkSync(elsewhere, join(tree.repository, ".bot-bottle"));
    expect(tree.index().agents.map(({ name }) => name)).toEqual(["claude", "mine"]);
  });

  it("a link within the repository's .bot-bottle is a name like others", () => {
    tree = manifestTree({ "bottles/b.md": BOTTLE, "repo/agents/x.md": agent("b", "text") });
    symlinkSync("x.md", join(tree.repository, ".bot-bottle", "agents", "y.md"));
    expect(loadAgent(tree.index(), "y").prompt).toBe("text");
  });

  it("is found from a folder further down, and not confused with the operator's own folder", () => {
    tree = manifestTree({ "bottles/b.md": BOTTLE, "repo/agents/x.md": agent("b") });
    const deep = join(tree.repository, "src", "deep");
    mkdirSync(deep, { recursive: true });
    const names = (cwd: string): string[] =>
      loadIndex({ home: tree.home, cwd, userHome: tree.userHome }).agents.map(({ name }) => name);
    expect(names(deep)).toEqual(["claude", "x"]);
    expect(loadIndex({ home: tree.home, cwd: tree.userHome }).warnings).toEqual([]);
    expect(loadIndex({ home: tree.home, cwd: tree.userHome }).repository).toBeUndefined();
    expect(loadIndex({ home: tree.home }).agents.map(({ name }) => name)).toEqual(["claude"]);
  });

  it("cannot fill the screen, nor be listed under a name that hides what it is", () => {
    tree = manifestTree({});
    const agents = join(tree.repository, ".bot-bottle", "agents");
    mkdirSync(agents, { recursive: true });
    for (let i = 0; i < 2_050; i++) writeFileSync(join(agents, `a${i}.md`), "");
    writeFileSync(join(agents, "\u001b[2Jx.md"), "");
    const index = tree.index();
    expect(index.agents.length).toBeLessThanOrEqual(2_001);
    expect(index.warnings.join()).toContain("holds more than 2000 files: the others are not read");
    expect(index.warnings.join()).not.toContain("\u001b");
    for (const { name } of index.agents) expect(name).toMatch(/^[A-Za-z0-9._-]+$/);
  });
});

describe("the home folder", () => {
  it("need not exist: what is built in works without", () => {
    tree = manifestTree();
    rmSync(tree.home.root, { recursive: true });
    const loaded = loadAgent(tree.index(), "claude");
    expect(loaded).toMatchObject({
      source: "built-in",
      prompt: "",
      bottle: { name: "claude", files: [], routes: [], env: [], template: "claude", repoAgents: false },
    });
    expect(loaded.file).toBeUndefined();
    expect(loaded.contentHash).toBeUndefined();
  });

  it.each(["root", "bottles", "agents"] as const)("is refused when others may write to its %s", (folder) => {
    tree = manifestTree();
    for (const mode of [0o770, 0o702]) {
      chmodSync(tree.home[folder], mode);
      const error = thrownBy(() => tree.index()) as UserError;
      expect(error.message).toBe(
        `${tree.home[folder]} can be changed by other users (mode ${mode.toString(8)}): run chmod go-w ${tree.home[folder]}`,
      );
      expect(error.hint).toContain("BOT_BOTTLE_HOME");
    }
  });

  it("is refused when it belongs to somebody else", () => {
    tree = manifestTree({ "agents/x.md": agent("claude") });
    const { uid } = tree.index();
    // Root may own anything: it could change everything anyway. As root, files of ours are root's.
    if (uid === 0) return expect(loadIndex({ home: tree.home, uid: 4242 }).uid).toBe(4242);
    expect(thrownBy(() => loadIndex({ home: tree.home, uid: uid + 1 })).message).toContain(
      "belongs to another user",
    );
  });

  it("is refused when it is a file", () => {
    tree = manifestTree();
    rmSync(tree.home.root, { recursive: true });
    writeFileSync(tree.home.root, "");
    expect(thrownBy(() => tree.index()).message).toContain("is not a folder");
  });

  it("one file that others may write blocks itself, and no other", () => {
    tree = manifestTree({
      "bottles/b.md": BOTTLE,
      "agents/x.md": agent("b"),
      "agents/y.md": agent("claude"),
    });
    chmodSync(join(tree.home.bottles, "b.md"), 0o664);
    expect(thrownBy(() => loadAgent(tree.index(), "x")).message).toBe(
      `${join(tree.home.bottles, "b.md")}:1:1: can be changed by other users (mode 664): run chmod go-w ${join(tree.home.bottles, "b.md")}`,
    );
    expect(loadAgent(tree.index(), "y").name).toBe("y");
  });

  it("may be a link to where the operator keeps such files", () => {
    tree = manifestTree({ "agents/x.md": agent("claude") });
    const dotfiles = join(tree.userHome, "dotfiles");
    renameSync(tree.home.root, dotfiles);
    symlinkSync(dotfiles, tree.home.root);
    symlinkSync(join(dotfiles, "agents", "x.md"), join(dotfiles, "agents", "y.md"));
    expect(loadAgent(tree.index(), "y").name).toBe("y");
  });
});
