import { describe, expect, it } from "vitest";
import { excludeGitCommands } from "../../../src/provision/git-names.ts";

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
