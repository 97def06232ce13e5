import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { disarmRepositories, excludeGitCommands } from "../../../src/provision/git-names.ts";
import { countTurns } from "../../support/turns.ts";

const verdict = (path: string, type: "file" | "directory" | "symlink" | "hard-link" = "file"): boolean =>
  excludeGitCommands(
    path.split("/").map((part) => Buffer.from(part)),
    type,
  ) === undefined;

describe("what of a git folder may reach the operator's disk", () => {
  it.each([
    ".git/HEAD",
    ".git/refs/heads/main",
    ".git/objects/pack/pack-1.pack",
    ".git/index",
    ".git/info/exclude",
    "config",
    "hooks/x",
    ".github/config",
    ".gitignore",
    "git/config",
    "x.git/config",
  ])("takes %s", (path) => expect(verdict(path)).toBe(true));

  it.each([
    ".git/config",
    ".git/config.worktree",
    ".git/hooks/pre-commit",
    ".git/hooks",
    ".git/modules/x/config",
    ".git/worktrees/x/HEAD",
    ".git/commondir",
    ".git/objects/info/alternates",
    ".git/objects/info/http-alternates",
    "deep/in/.git/config",
    ".GIT/CONFIG",
    ".Git/Hooks/post-checkout",
    "GIT~1/config",
    ".git./config",
    ".git /config",
    ".git:stream/config",
    ".git::$INDEX_ALLOCATION/config",
    ".git/config.",
    ".git/config::$DATA",
    ".g\u200cit/config",
    ".git\ufeff/config",
    ".git/co\u200dnfig",
    "a/.git/x/.git/config",
  ])("leaves out %s", (path) => expect(verdict(path)).toBe(false));

  it("leaves out a .git that is no folder, whatever it claims to be", () => {
    expect(verdict(".git", "directory")).toBe(true);
    for (const type of ["file", "symlink", "hard-link"] as const)
      expect(verdict("sub/.git", type)).toBe(false);
    expect(verdict("sub/.GiT", "symlink")).toBe(false);
  });
});

describe("what git would take for a repository, by whatever name", () => {
  it("regression: is left without commands and without others' objects, and a link of objects is removed", async () => {
    const tree = mkdtempSync(join(tmpdir(), "bbt-"));
    const file = (...path: readonly string[]): void => {
      mkdirSync(join(tree, ...path.slice(0, -1)), { recursive: true });
      writeFileSync(join(tree, ...path), "x\n");
    };
    try {
      for (const name of ["HEAD", "config", "objects/info/alternates", "objects/info/HTTP-Alternates"])
        file("x.git", ...name.split("/"));
      file("x.git", "objects", "info", "packs");
      file("linked", "HEAD");
      file("o", "info", "alternates");
      symlinkSync("../o", join(tree, "linked", "objects"));
      file("deep", "HEAD");
      mkdirSync(join(tree, "deep", "objects"));
      symlinkSync("../../o/info", join(tree, "deep", "objects", "info"));
      // No repository.
      file("plain", "objects", "info", "alternates");
      const removed = (await disarmRepositories(Buffer.from(tree))).map(({ path }) => path);
      expect(removed.toSorted()).toEqual([
        "deep/objects/info",
        "linked/objects",
        "x.git/config",
        "x.git/objects/info/HTTP-Alternates",
        "x.git/objects/info/alternates",
      ]);
      expect(readdirSync(join(tree, "x.git", "objects", "info"))).toEqual(["packs"]);
      expect(readdirSync(join(tree, "plain", "objects", "info"))).toEqual(["alternates"]);
    } finally {
      rmSync(tree, { recursive: true });
    }
  });

  it("is looked for while everything else goes on, however much there is", async () => {
    const tree = mkdtempSync(join(tmpdir(), "bbt-"));
    for (let i = 0; i < 1_000; i++) mkdirSync(join(tree, `${i}`));
    const turns = countTurns();
    try {
      await disarmRepositories(Buffer.from(tree));
      expect(turns()).toBeGreaterThan(2);
    } finally {
      turns();
      rmSync(tree, { recursive: true });
    }
  });
});
