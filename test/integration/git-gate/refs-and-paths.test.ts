/** Ways around the ref and path policy; each leaves upstream and the gate's mirror byte for byte as they were. */
import { mkdtempSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { startTarget, type Target } from "../../support/git-attack.ts";
import { must, OWN, type Ran, run, type WorkingCopy, workingCopy } from "../../support/git-gate.ts";

let target: Target;
beforeAll(async () => {
  target = await startTarget();
  const copy = await target.copy();
  await copy.commit({ "old.txt": "old\n" });
  await copy.push("mine");
});
afterAll(() => target.close());

const push =
  (...specs: string[]) =>
  async (copy: WorkingCopy): Promise<Ran> => {
    await copy.commit({ "a.txt": `${specs.join(" ")}\n` });
    return await copy.try("push", "origin", ...specs);
  };

const REFS: readonly (readonly [string, string, (copy: WorkingCopy) => Promise<Ran>])[] = [
  ["ref-not-allowed", "the default branch", push("HEAD:refs/heads/main")],
  ["ref-not-allowed", "the default branch, by force", push("+HEAD:refs/heads/main")],
  ["ref-not-allowed", "another bottle's branch", push("HEAD:refs/heads/bottle/other-zz9zz/x")],
  ["ref-not-allowed", "a bottle whose name only begins like this one", push(`HEAD:${OWN}x/y`)],
  ["ref-not-allowed", "its own name without more", push(`HEAD:${OWN}`)],
  ["ref-not-allowed", "its branch in other case", push(`HEAD:refs/heads/Bottle/coder-ab1cd/x`)],
  ["ref-not-allowed", "its branch one level deeper", push(`HEAD:refs/heads/x/bottle/coder-ab1cd/x`)],
  ["ref-not-allowed", "a ref named like a whole ref", push("HEAD:refs/heads/refs/heads/main")],
  ["ref-not-allowed", "a review ref of Gerrit's", push("HEAD:refs/for/main")],
  ["ref-not-allowed", "a draft ref of Gerrit's", push("HEAD:refs/drafts/main")],
  ["ref-not-allowed", "a change of Gerrit's", push("HEAD:refs/changes/01/1/1")],
  ["ref-not-allowed", "a pull request", push("HEAD:refs/pull/1/head")],
  ["ref-not-allowed", "a merge request", push("HEAD:refs/merge-requests/1/head")],
  ["ref-not-allowed", "the forge's configuration", push("HEAD:refs/meta/config")],
  ["ref-not-allowed", "a tag", push("HEAD:refs/tags/v1")],
  ["ref-not-allowed", "a note", push("HEAD:refs/notes/commits")],
  ["ref-not-allowed", "a stash", push("HEAD:refs/stash/x")],
  [
    "ref-not-allowed",
    "a replacement",
    async (copy) => {
      await copy.commit({ "a.txt": "replaced\n" });
      await copy.git("replace", "--graft", "HEAD");
      return await copy.try("push", "origin", "refs/replace/*:refs/replace/*");
    },
  ],
  [
    "delete-not-allowed",
    "all that there is, with --mirror",
    async (copy) => {
      await copy.commit({ "a.txt": "mirror\n" });
      return await copy.try("push", "--mirror", "origin");
    },
  ],
  [
    "ref-not-allowed",
    "all branches, with --all",
    async (copy) => {
      await copy.commit({ "a.txt": "all\n" });
      return await copy.try("push", "--all", "origin");
    },
  ],
  [
    "ref-not-allowed",
    "tags, with --follow-tags",
    async (copy) => {
      await copy.commit({ "a.txt": "tags\n" });
      await copy.git("tag", "-a", "v9", "-m", "nine");
      return await copy.try("push", "--follow-tags", "origin", `HEAD:${OWN}/tags`);
    },
  ],
  [
    "ref-not-allowed",
    "one ref that is allowed and one that is not",
    push(`HEAD:${OWN}/fine`, "HEAD:refs/heads/main"),
  ],
  [
    "ref-not-allowed",
    "the same, as --atomic",
    async (copy) => {
      await copy.commit({ "a.txt": "atomic\n" });
      return await copy.try("push", "--atomic", "origin", `HEAD:${OWN}/fine`, "HEAD:refs/heads/main");
    },
  ],
  ["ref-name", "a look-alike letter", push(`HEAD:${OWN}/mаin`)],
  ["ref-name", "a zero-width character", push(`HEAD:${OWN}/x​y`)],
  ["ref-name", "a quote", push(`HEAD:${OWN}/x"y`)],
  ["ref-name", "a dollar sign", push(`HEAD:${OWN}/x$(y)`)],
  ["ref-name", "a semicolon", push(`HEAD:${OWN}/x;y`)],
  ["ref-name", "a dash at a name's beginning", push(`HEAD:${OWN}/-x`)],
  ["ref-name", "HEAD as a name", push(`HEAD:${OWN}/HEAD`)],
  ["ref-name", "300 characters", push(`HEAD:${OWN}/${"x".repeat(230)}`)],
  [
    "delete-not-allowed",
    "a deletion of its own branch",
    async (copy) => {
      await copy.git("fetch", "-q");
      return await copy.try("push", "origin", `:${OWN}/mine`);
    },
  ],
  [
    "ref-not-allowed",
    "a deletion of the default branch",
    async (copy) => await copy.try("push", "origin", ":main"),
  ],
  [
    "delete-not-allowed",
    "--prune of what others have",
    async (copy) => {
      await copy.git("fetch", "-q");
      return await copy.try("push", "--prune", "origin", "refs/heads/nothing*:refs/heads/*");
    },
  ],
  [
    "force-not-allowed",
    "a branch of its own, by force",
    async (copy) => {
      await copy.commit({ "other.txt": "other\n" });
      return await copy.push("mine", "--force");
    },
  ],
  [
    "force-not-allowed",
    "the same with a lease",
    async (copy) => {
      await copy.git("fetch", "-q");
      await copy.commit({ "other.txt": "other\n" });
      return await copy.push("mine", `--force-with-lease=bottle/coder-ab1cd/mine`);
    },
  ],
  ["ref-clash", "a branch of its own in other case", push(`HEAD:${OWN}/MINE`)],
  [
    "ref-target",
    "a blob",
    async (copy) => {
      const blob = await copy.git("rev-parse", "HEAD:README.md");
      return await copy.try("push", "origin", `${blob}:refs/tags/blob`);
    },
  ],
];

/** A branch that nothing went to before: one attack that passes must not hide the next. */
let branches = 0;
function fresh(): string {
  branches += 1;
  return `fresh${branches}`;
}

describe("refuses to push", () => {
  it.each(REFS.filter(([code]) => code !== "ref-target"))("%s: %s", async (code, _, attack) => {
    await target.refuses(code, attack);
  });

  it.each([
    ["a blob as a tag", "blob"],
    ["a tree as a tag", "tree"],
  ])("%s, even where tags are listed", async (_, type) => {
    await target.site.reload({}, { refs: [{ pattern: "refs/tags/*", force: false, delete: false }] });
    await target.refuses("ref-target", async (copy) => {
      const id = await copy.git("rev-parse", type === "blob" ? "HEAD:README.md" : "HEAD^{tree}");
      return await copy.try("push", "origin", `${id}:refs/tags/odd`);
    });
    await target.site.reload({});
  });

  it("through a ref that stands for the default branch, which only the upstream's own people make", async () => {
    await must(["git", "--git-dir", target.bare, "symbolic-ref", `${OWN}/alias`, "refs/heads/main"]);
    await (await target.copy()).git("fetch", "-q");
    await target.refuses("ref-symbolic", push(`HEAD:${OWN}/alias`));
    await must(["git", "--git-dir", target.bare, "symbolic-ref", "--delete", `${OWN}/alias`]);
  });

  it("an annotated tag as a branch, which git itself does not let through", async () => {
    const copy = await target.copy();
    await copy.git("tag", "-a", "v1", "-m", "one");
    const { code } = await copy.try("push", "origin", `v1:${OWN}/tagged`);
    expect(code).not.toBe(0);
  });

  it("with push options, which would reach the upstream's CI", async () => {
    const copy = await target.copy();
    await copy.commit({ "a.txt": "options\n" });
    const { code, stderr } = await copy.push("options", "-o", "ci.variable=X=1");
    expect(code).not.toBe(0);
    expect(stderr).toContain("does not support push options");
  });

  it("what it says of a ref it does not have the newest of", async () => {
    const copy = await target.copy();
    const first = await target.copy();
    await first.commit({ "a.txt": "first\n" });
    expect(await first.push("race")).toMatchObject({ code: 0 });
    await copy.commit({ "b.txt": "second\n" });
    const { code, stderr } = await copy.push("race");
    expect(code).not.toBe(0);
    expect(stderr).toContain("fetch first");
  });
});

describe("lets through what is listed", () => {
  afterEach(() => target.site.reload({}));

  it("a tag, once, and never another thing of its name", async () => {
    await target.site.reload({}, { refs: [{ pattern: "refs/tags/v*", force: false, delete: false }] });
    const copy = await target.copy();
    await copy.git("tag", "-a", "v1", "-m", "one");
    expect(await copy.try("push", "origin", "v1")).toMatchObject({ code: 0 });
    await target.refuses("force-not-allowed", async (other) => {
      await other.commit({ "x.txt": "x\n" });
      await other.git("tag", "-a", "v1", "-m", "another");
      return await other.try("push", "--force", "origin", "v1");
    });
  });

  it("force and deletion, where the rule says so", async () => {
    await target.site.reload({}, { refs: [{ pattern: `${OWN}/*`, force: true, delete: true }] });
    const copy = await target.copy();
    await copy.commit({ "x.txt": "one\n" });
    expect(await copy.push("forced")).toMatchObject({ code: 0 });
    await copy.git("commit", "-q", "--amend", "-m", "two");
    expect(await copy.push("forced", "--force")).toMatchObject({ code: 0 });
    const ref = `${OWN}/forced`;
    expect(await must(["git", "--git-dir", target.bare, "rev-parse", ref])).toBe(
      await copy.git("rev-parse", "HEAD"),
    );
    expect(await copy.try("push", "origin", `:${ref}`)).toMatchObject({ code: 0 });
    expect(await must(["git", "--git-dir", target.bare, "for-each-ref", ref])).toBe("");
    expect(target.site.events("git.pushed").at(-1)).toMatchObject({
      updates: [{ ref, old: await copy.git("rev-parse", "HEAD"), new: "0".repeat(40) }],
    });
  });

  it("a note, which is judged by what the upstream has of it", async () => {
    await target.site.reload({}, { refs: [{ pattern: "refs/notes/*", force: false, delete: false }] });
    const copy = await target.copy();
    await copy.git("notes", "add", "-m", "fine");
    expect(await copy.try("push", "origin", "refs/notes/commits")).toMatchObject({ code: 0 });
    await target.refuses("force-not-allowed", async (other) => {
      await other.git("notes", "add", "-m", "of its own");
      return await other.try("push", "--force", "origin", "refs/notes/commits");
    });
  });

  it("one ref, by an exception for it", async () => {
    await target.site.reload({
      exceptions: [{ repo: "app", code: "ref-not-allowed", subject: "refs/heads/feature" }],
    });
    const copy = await target.copy();
    await copy.commit({ "x.txt": "feature\n" });
    expect(await copy.try("push", "origin", "HEAD:refs/heads/feature")).toMatchObject({ code: 0 });
    await target.refuses("ref-not-allowed", push("HEAD:refs/heads/feature2"));
  });

  it("worktrees and shallow, partial and single-branch clones", async () => {
    for (const options of [["--depth=1"], ["--filter=blob:none"], ["--single-branch"], ["--filter=tree:0"]]) {
      const copy = await target.site.clone(options);
      await copy.git("worktree", "add", "-q", "-b", "side", join(copy.folder, "side"));
      const side = join(copy.folder, "side");
      await must(["git", "commit", "-q", "--allow-empty", "-m", options.join()], { cwd: side });
      const branch = `HEAD:${OWN}/clone${options.join().replace(/[^a-z0-9]/g, "")}`;
      expect(await run(["git", "push", "origin", branch], { cwd: side }), options.join()).toMatchObject({
        code: 0,
      });
    }
  });
});

const file =
  (path: string, content = "x\n") =>
  async (copy: WorkingCopy): Promise<Ran> => {
    await copy.commit({ [path]: content });
    return await copy.push(fresh());
  };

const PATHS: readonly (readonly [string, string, (copy: WorkingCopy) => Promise<Ran>])[] = [
  ["path-protected", "a workflow", file(".github/workflows/x.yml")],
  ["path-protected", "a workflow in other case", file(".GitHub/Workflows/x.yml")],
  ["path-protected", "a workflow whose name macOS would read so", file(".github/work‌flows/x.yml")],
  [
    "path-protected",
    "a workflow added and removed again",
    async (copy) => {
      await copy.commit({ ".github/workflows/x.yml": "x\n" });
      await copy.git("rm", "-q", ".github/workflows/x.yml");
      await copy.commit({});
      return await copy.push(fresh());
    },
  ],
  [
    "path-protected",
    "a workflow in an evil merge",
    async (copy) => {
      await copy.git("checkout", "-q", "-b", "side");
      await copy.commit({ "side.txt": "s\n" });
      await copy.git("checkout", "-q", "main");
      await copy.commit({ "main.txt": "m\n" });
      await copy.git("merge", "-q", "--no-commit", "side");
      await copy.commit({ ".github/workflows/x.yml": "x\n" });
      return await copy.push(fresh());
    },
  ],
  [
    "path-protected",
    "a workflow in a history of its own",
    async (copy) => {
      await copy.git("checkout", "-q", "--orphan", "fresh");
      await copy.commit({ ".github/workflows/x.yml": "x\n" });
      return await copy.push(fresh());
    },
  ],
  [
    "path-protected",
    "a folder of workflows that is a link",
    async (copy) => {
      await must(["mkdir", "-p", join(copy.folder, ".github")]);
      symlinkSync("../evil", join(copy.folder, ".github", "workflows"));
      await copy.commit({ "evil/x.yml": "x\n" });
      return await copy.push(fresh());
    },
  ],
  [
    "path-protected",
    ".github itself as a link",
    async (copy) => {
      symlinkSync("evil", join(copy.folder, ".github"));
      await copy.commit({ "evil/workflows/x.yml": "x\n" });
      return await copy.push(fresh());
    },
  ],
  ["path-protected", "GitLab's pipeline", file(".gitlab-ci.yml")],
  ["path-protected", "an action", file("tools/action.yml")],
  ["path-protected", "Jenkins' pipeline", file("ci/Jenkinsfile")],
  ["path-protected", "owners", file("docs/CODEOWNERS")],
  ["path-protected", "a hook", file(".husky/pre-commit")],
  ["path-protected", "where LFS sends files", file(".lfsconfig")],
  ["attributes-filter", "a filter", file(".gitattributes", "*.c filter=evil\n")],
  ["attributes-filter", "a merge driver, deep below", file("a/b/.gitattributes", "*.c text merge=evil\n")],
  ["attributes-filter", "a filter in a macro", file(".gitattributes", "[attr]nice filter=evil\n*.c nice\n")],
  ["attributes-filter", "LFS", file(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")],
  [
    "submodule-url",
    "a submodule",
    file(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://evil.example/x.git\n'),
  ],
  [
    "submodule-url",
    "a submodule on one line",
    file(".gitmodules", '[submodule "x"] path = x\nURL=../other.git\n'),
  ],
  [
    "lfs-pointer",
    "a pointer to LFS",
    file("a.bin", `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 5\n`),
  ],
];

/** Of somebody who pushes past the gate. */
async function cloneOfTheirs(): Promise<WorkingCopy> {
  const folder = mkdtempSync(join(target.site.folder, "theirs-"));
  await must(["git", "clone", "-q", target.bare, folder]);
  return workingCopy(folder);
}

describe("refuses to change", () => {
  it.each(PATHS)("%s: %s", async (code, _, attack) => {
    await target.refuses(code, attack);
  });

  it("a path that no system could open", async () => {
    await target.refuses("path-not-allowed", async (copy) => {
      const blob = await copy.git("rev-parse", "HEAD:README.md");
      let tree = await must(["git", "mktree"], { cwd: copy.folder, input: `100644 blob ${blob}\tx\n` });
      for (let i = 0; i < 25; i++) {
        const input = `040000 tree ${tree}\t${"d".repeat(200)}\n`;
        tree = await must(["git", "mktree"], { cwd: copy.folder, input });
      }
      const commit = await copy.git("commit-tree", tree, "-p", "HEAD", "-m", "deep");
      return await copy.try("push", "origin", `${commit}:${OWN}/${fresh()}`);
    });
  });

  it("anything but what is listed", async () => {
    await target.site.reload({}, { paths: { only: ["src/**", "*.md"], lift: [] } });
    const { stderr } = await target.refuses("path-not-allowed", file("package.json"));
    expect(stderr).toContain("rule: paths: src/**, *.md");
    const copy = await target.copy();
    await copy.commit({ "src/deep/a.ts": "a\n", "NEWS.md": "news\n" });
    expect(await copy.push("listed")).toMatchObject({ code: 0 });
    await target.refuses("path-protected", file(".github/workflows/x.yml"));
    await target.site.reload({});
  });

  it("a protected path, unless the operator lifts it", async () => {
    await target.site.reload({}, { paths: { only: [], lift: [".github/workflows/**", ".gitmodules"] } });
    const copy = await target.copy();
    await copy.commit({
      ".github/workflows/x.yml": "x\n",
      ".gitmodules": '[submodule "x"]\n\tpath = x\n\turl = https://example/x.git\n',
    });
    expect(await copy.push("lifted")).toMatchObject({ code: 0 });
    await target.refuses("path-protected", file(".gitlab-ci.yml"));
    await target.site.reload({});
  });

  it("nothing that a merge takes back, with an old commit of upstream's for a parent", async () => {
    const theirs = await cloneOfTheirs();
    const old = await theirs.git("rev-parse", "HEAD");
    await theirs.commit({ ".github/CODEOWNERS": "* @they\n", "plain.txt": "theirs\n" });
    await theirs.git("push", "-q", "origin", "HEAD:main");
    // The mirror has it from here on.
    await (await target.copy()).git("fetch", "-q");
    /** A merge of what upstream has and its old commit, with a tree of our own choice. */
    const merging =
      (...parents: readonly string[]) =>
      async (copy: WorkingCopy): Promise<Ran> => {
        await copy.git("fetch", "-q");
        await copy.git("reset", "-q", "--hard", "origin/main");
        await copy.git("rm", "-q", "-r", ".github", "plain.txt");
        const tree = await copy.git("write-tree");
        const since = parents.flatMap((parent) => ["-p", parent]);
        const merge = await copy.git("commit-tree", tree, ...since, "-m", "merge");
        return await copy.try("push", "origin", `${merge}:${OWN}/${fresh()}`);
      };
    const orphan = async (copy: WorkingCopy): Promise<string> => {
      const tree = await must(["git", "mktree"], { cwd: copy.folder, input: "" });
      return await copy.git("commit-tree", tree, "-m", "empty");
    };
    for (const parents of [
      ["origin/main", old],
      [old, "origin/main"],
      ["origin/main", old, `${old}~0`],
    ]) {
      const { stderr } = await target.refuses("path-protected", merging(...parents));
      expect(stderr, parents.join()).toContain(".github/CODEOWNERS");
      expect(stderr, parents.join()).not.toContain("plain.txt");
    }
    await target.refuses("path-protected", async (copy) => merging("origin/main", await orphan(copy))(copy));
    // In two steps: the first merge is upstream's own side of the second.
    await target.refuses("path-protected", async (copy) => {
      await copy.git("checkout", "-q", "-b", "old", old);
      await copy.commit({ "mine.txt": "mine\n" });
      return await merging("origin/main", "old")(copy);
    });
    await target.site.reload({}, { paths: { only: ["src/**"], lift: ["**/CODEOWNERS"] } });
    const { stderr } = await target.refuses("path-not-allowed", merging("origin/main", old));
    expect(stderr).toContain("plain.txt");
    await target.site.reload({}, { paths: { only: [], lift: ["**/CODEOWNERS"] } });
    const copy = await target.copy();
    expect(await merging("origin/main", old)(copy)).toMatchObject({ code: 0 });
    await target.site.reload({});
  });

  it("a merge of what both sides changed elsewhere, and of three sides", async () => {
    const theirs = await cloneOfTheirs();
    const copy = await target.copy();
    await copy.git("fetch", "-q");
    await copy.git("checkout", "-q", "-b", "one", "origin/main");
    await copy.commit({ "one.txt": "one\n" });
    await copy.git("checkout", "-q", "-b", "two", "origin/main");
    await copy.commit({ "two.txt": "two\n" });
    await theirs.commit({ ".husky/pre-commit": "theirs\n" });
    await theirs.git("push", "-q", "origin", "HEAD:main");
    await copy.git("fetch", "-q");
    await copy.git("merge", "-q", "-m", "three", "one", "origin/main");
    await copy.git("merge", "-q", "-m", "again", "origin/main");
    expect(await copy.push("three")).toMatchObject({ code: 0 });
    // Criss-cross: each side has merged the other's earlier state.
    await copy.git("checkout", "-q", "one");
    await copy.git("merge", "-q", "-m", "cross", "two~1");
    await copy.commit({ "more.txt": "more\n" });
    await copy.git("merge", "-q", "-m", "and back", "two");
    expect(await copy.push("crossed")).toMatchObject({ code: 0 });
  });

  it("nothing that a merge only takes over from the upstream's own branch", async () => {
    const theirs = await cloneOfTheirs();
    await theirs.commit({ ".github/workflows/ci.yml": "theirs\n" });
    await theirs.git("push", "-q", "origin", "HEAD:main");
    const copy = await target.copy();
    await copy.commit({ "mine.txt": "mine\n" });
    await copy.git("fetch", "-q");
    await copy.git("merge", "-q", "-m", "merge", "origin/main");
    expect(await copy.push("merged")).toMatchObject({ code: 0 });
  });

  it("nor an existing .gitattributes' old lines, nor a submodule's pointer", async () => {
    const theirs = await cloneOfTheirs();
    await theirs.commit({ ".gitattributes": "*.psd filter=lfs\n" });
    await theirs.git("push", "-q", "origin", "HEAD:main");
    const copy = await target.copy();
    await copy.git("pull", "-q", "--ff-only", "origin", "main");
    copy.write(".gitattributes", "*.psd filter=lfs\n*.txt text\n");
    await copy.git(
      "update-index",
      "--add",
      "--cacheinfo",
      `160000,${await copy.git("rev-parse", "HEAD")},lib`,
    );
    await copy.git("add", ".gitattributes");
    await copy.git("commit", "-q", "-m", "attributes and a pointer");
    expect(await copy.push("attributes")).toMatchObject({ code: 0 });
  });
});
