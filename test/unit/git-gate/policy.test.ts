import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { matchesRef } from "../../../src/lib/git-ref.ts";
import {
  driverLines,
  isLfsPointer,
  moduleUrls,
  rulesFileKind,
} from "../../../src/sidecars/git-gate/policy/content.ts";
import { compileGlob, foldPath } from "../../../src/sidecars/git-gate/policy/glob.ts";
import { compilePaths } from "../../../src/sidecars/git-gate/policy/paths.ts";
import { PROTECTED_PATHS } from "../../../src/sidecars/git-gate/policy/protected-paths.ts";
import { judgeRefs, parseUpdates } from "../../../src/sidecars/git-gate/policy/refs.ts";

const ID = "1".repeat(40);
const OLD = "2".repeat(40);
const ZERO = "0".repeat(40);

describe("patterns of refs", () => {
  it.each([
    ["refs/heads/x/*", "refs/heads/x/y", true],
    ["refs/heads/x/*", "refs/heads/x/y/z", true],
    ["refs/heads/x/*", "refs/heads/x/", false],
    ["refs/heads/x/*", "refs/heads/x", false],
    ["refs/heads/x/*", "refs/heads/X/y", false],
    ["refs/heads/x/*", "prefix/refs/heads/x/y", false],
    ["refs/heads/*-fix", "refs/heads/a-fix", true],
    ["refs/heads/*-fix", "refs/heads/-fix", false],
    ["refs/heads/main", "refs/heads/main", true],
    ["refs/heads/main", "refs/heads/main2", false],
  ])("%s and %s: %s", (pattern, ref, matches) => {
    expect(matchesRef(pattern, ref)).toBe(matches);
  });

  it("lets one rule allow what another does not, and nothing that none does", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z]{1,5}(\/[a-z]{1,5}){0,2}$/),
        fc.boolean(),
        fc.boolean(),
        (name, force, del) => {
          const verdict = judgeRefs([{ ref: `refs/heads/${name}`, old: OLD, new: del ? ZERO : ID }], {
            rules: [{ pattern: "refs/heads/a*", force, delete: false }],
            excepted: () => false,
            current: new Map([[`refs/heads/${name}`, OLD]]),
            symbolic: new Set(),
          });
          const matches = name.startsWith("a") && name.length > 1;
          expect(verdict.allow).toBe(matches && !del);
          if (verdict.allow) expect(verdict.value[0]?.force).toBe(force);
        },
      ),
    );
  });
});

describe("the list of refs in a push", () => {
  it.each([
    [[], "names no ref"],
    [[`${OLD} ${ID}`], "no update"],
    [[`${OLD} ${ID.slice(1)} refs/heads/x`], "no update"],
    [[`${OLD} ${"3".repeat(64)} refs/heads/x`], "no update"],
    [[`${OLD} ${ID} refs/heads/x`, `${OLD} ${ID} refs/heads/x`], "named twice"],
    [Array.from({ length: 9 }, (_, i) => `${OLD} ${ID} refs/heads/${i}`), "more than 8 refs"],
  ])("%j is refused", (lines, reason) => {
    const verdict = parseUpdates(lines, 8);
    expect(verdict).toMatchObject({ allow: false, code: "push-malformed" });
    expect(!verdict.allow && verdict.reason).toContain(reason);
  });
});

describe("globs of paths", () => {
  it.each([
    ["src/**", "src/a/b", true],
    ["src/**", "src", false],
    ["*.md", "README.md", true],
    ["*.md", "docs/README.md", false],
    ["**/*.md", "README.md", true],
    ["**/*.md", "docs/deep/README.md", true],
    ["a?c", "abc", true],
    ["a?c", "a/c", false],
    ["a.c", "abc", false],
    ["**/CODEOWNERS", "docs/codeowners", true],
    ["a/**/z", "a/z", true],
    ["a/**/z", "a/b/c/z", true],
    ["(x)+[y]", "(x)+[y]", true],
  ])("%s and %s: %s", (pattern, path, matches) => {
    expect(compileGlob(pattern)(foldPath(path))).toBe(matches);
  });

  it.each([
    ["ＳＲＣ/x", "src/x"],
    ["a\u200bb", "ab"],
    ["name. . ", "name"],
    ["a\\b", "a/b"],
    [".", "."],
  ])("fold %j and %j to one", (one, other) => {
    expect(
      foldPath(one)
        .normalize("NFD")
        .replace(/\p{Mn}/gu, ""),
    ).toBe(
      foldPath(other)
        .normalize("NFD")
        .replace(/\p{Mn}/gu, ""),
    );
  });
});

describe("paths that alone may be changed", () => {
  const policy = compilePaths({ only: ["src/**"], lift: ["**/action.yml"] });

  it.each([
    ["src/a.ts", true],
    ["src/action.yml", true],
    ["action.yml", false],
    ["README.md", false],
  ])("%s: %s, and what is lifted is one of them or none", (path, allow) => {
    expect(policy.judge(path, false).allow).toBe(allow);
  });
});

describe("protected paths", () => {
  const policy = compilePaths({ only: [], lift: [] });

  it.each(PROTECTED_PATHS)("%s holds, in any case, and falls when it is lifted alone", (pattern) => {
    const path = pattern.replace("**/", "deep/er/").replace("/**", "/x/y.yml");
    expect(policy.judge(path, false).allow).toBe(false);
    expect(policy.judge(path.toUpperCase(), false).allow).toBe(false);
    const lifted = compilePaths({
      only: [],
      lift: PROTECTED_PATHS.filter((other) => compileGlob(other)(foldPath(path))),
    });
    expect(lifted.judge(path, false).allow).toBe(true);
    const others = compilePaths({
      only: [],
      lift: PROTECTED_PATHS.filter((other) => !compileGlob(other)(foldPath(path))),
    });
    expect(others.judge(path, false).allow).toBe(false);
  });

  it.each([
    ".github/workflows/x/y.z",
    ".github/actions/x/y.z",
    "a/b/action.yml",
    "a/b/action.yaml",
    ".gitlab-ci.yml",
    ".gitlab/ci/x/y.z",
    ".gitea/workflows/x/y.z",
    ".forgejo/workflows/x/y.z",
    ".circleci/x/y.z",
    ".travis.yml",
    ".woodpecker.yml",
    ".woodpecker.yaml",
    ".woodpecker/x/y.z",
    ".drone.yml",
    ".drone.yaml",
    ".drone.star",
    ".drone.jsonnet",
    ".cirrus.yml",
    ".cirrus.star",
    ".buildkite/x/y.z",
    ".semaphore/x/y.z",
    ".teamcity/x/y.z",
    ".azure-pipelines/x/y.z",
    "azure-pipelines.yml",
    "azure-pipelines.yaml",
    "bitbucket-pipelines.yml",
    "appveyor.yml",
    ".appveyor.yml",
    "cloudbuild.yaml",
    "cloudbuild.yml",
    "buildspec.yml",
    "buildspec.yaml",
    "codemagic.yaml",
    "bitrise.yml",
    "Jenkinsfile",
    "a/b/Jenkinsfile",
    ".ci/x/y.z",
    ".husky/x/y.z",
    ".githooks/x/y.z",
    ".git-hooks/x/y.z",
    "githooks/x/y.z",
    ".pre-commit-config.yaml",
    ".pre-commit-hooks.yaml",
    ".lefthook/x/y.z",
    "lefthook.yml",
    ".lefthook.yml",
    "lefthook-local.yml",
    ".overcommit.yml",
    "CODEOWNERS",
    "a/b/CODEOWNERS",
    ".github/dependabot.yml",
    ".github/dependabot.yaml",
    ".github/settings.yml",
    ".mergify.yml",
    "renovate.json",
    "renovate.json5",
    ".github/renovate.json",
    ".github/renovate.json5",
    ".renovaterc",
    ".renovaterc.json",
    ".lfsconfig",
  ])("protects %j, which is written out here so that none is lost", (path) => {
    expect(policy.judge(path, false)).toMatchObject({ allow: false, code: "path-protected" });
  });

  it.each([".github", ".GITHUB/workflows", ".circleci", ".gitlab"])(
    "a link at %s stands for what lies below",
    (path) => {
      expect(policy.judge(path, true).allow).toBe(false);
      expect(policy.judge(path, false).allow).toBe(true);
    },
  );

  it("leave ordinary work alone", () => {
    for (const path of [
      "src/main.ts",
      "README.md",
      ".gitignore",
      "docs/workflows/x.yml",
      ".github/ISSUE_TEMPLATE.md",
    ]) {
      expect(policy.judge(path, false)).toEqual({ allow: true });
    }
    expect(policy.judge("vendor/lib", true)).toEqual({ allow: true });
  });
});

describe("what rules files say", () => {
  it.each([
    ["*.c diff=cpp text eol=lf", 0],
    ["# *.c filter=x", 0],
    ["*.c -diff -merge !filter", 0],
    ["*.c merge=union", 0],
    ["*.c filter=x", 1],
    ["*.c\tmerge=mine", 1],
    ["[attr]m filter=x", 1],
    ["a filter=x\nb diff=own", 2],
    ["a text\r\nb filter=x\r\n", 1],
  ])(".gitattributes %j names %i drivers", (text, count) => {
    expect(driverLines(text)).toHaveLength(count);
  });

  it.each([
    ['[submodule "x"]\n\tpath = x\n\tbranch = main\n', []],
    ['[submodule "x"]\n\tURL = https://a/b\n', ["url = https://a/b"]],
    ['[submodule "x"] url=../b', ["url = ../b"]],
    ['[submodule "x"]\n\tur\\\nl = c\n', ["url = c"]],
    ['[submodule "x"]\n\tupdate = !sh\n', ["update = !sh"]],
  ])(".gitmodules %j leads to %j", (text, urls) => {
    expect(moduleUrls(text)).toEqual(urls);
  });

  it("are found in any folder, under any spelling of their names", () => {
    expect(rulesFileKind(foldPath("a/b/.GitAttributes"))).toBe("attributes");
    expect(rulesFileKind(foldPath(".gitmodules."))).toBe("modules");
    expect(rulesFileKind(foldPath("x.gitmodules"))).toBe(undefined);
  });

  it("and what a pointer to LFS is", () => {
    const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    expect(isLfsPointer(Buffer.from(pointer), pointer.length)).toBe(true);
    expect(isLfsPointer(Buffer.from(`\n ${pointer}`), pointer.length + 2)).toBe(true);
    expect(isLfsPointer(Buffer.from(pointer), 5000)).toBe(false);
    expect(isLfsPointer(Buffer.from(`about ${pointer}`), pointer.length + 6)).toBe(false);
  });
});
