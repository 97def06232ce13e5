import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { UserError } from "../../../src/lib/errors.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";
import { writeGuestFiles } from "../../../src/provision/transfer.ts";
import { type ExportOptions, exportWork } from "../../../src/provision/workspace/export.ts";
import { importWorkspace } from "../../../src/provision/workspace/import.ts";
import { isPulled, type PullReport, pullWork } from "../../../src/provision/workspace/pull.ts";
import { type BaseSnapshot, emptyBase, snapshotBase } from "../../../src/provision/workspace/snapshot.ts";
import { diffWork, hasWork, readWork, type WorkSummary } from "../../../src/provision/workspace/work.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";
import { createOperator, type Operator } from "../../support/operator.ts";

const ID = "agent-abcde";

let operator: Operator;
let guest: LocalGuest;
let work: string;

beforeEach(async () => {
  operator = createOperator();
  guest = createLocalGuest();
  mkdirSync(operator.path("state"));
  work = operator.path("state/work.git");
  await writeGuestFiles(guest.exec, [gitIdentityFile({ name: "Agent", email: "agent@example.com" })]);
});

afterEach(async () => {
  expect(operator.canaryIsUnharmed()).toBe(true);
  await guest.remove();
  operator.remove();
});

async function begin(folder: string): Promise<BaseSnapshot> {
  const options = { scratchDir: operator.path("state"), progress: () => {} };
  const base = await snapshotBase(guest, await importWorkspace(guest, operator.path(folder), options));
  // The keeper keeps it as JSON.
  return JSON.parse(JSON.stringify(base)) as BaseSnapshot;
}

function take(base: BaseSnapshot, options: Partial<ExportOptions> = {}): Promise<WorkSummary> {
  return exportWork(guest, base, work, { id: ID, ...options });
}

async function diff(options: Parameters<typeof diffWork>[1] = {}): Promise<string> {
  return Buffer.concat((await diffWork(work, options).toArray()) as Buffer[]).toString();
}

function pull(folder: string): Promise<PullReport> {
  return pullWork(work, ID, operator.path(folder));
}

const inWork = (...args: readonly string[]): string =>
  execFileSync("git", ["--git-dir", work, ...args], { encoding: "utf8" });
const names = (report: PullReport): string[] =>
  report.refs.map(({ name, state }) => `${state} ${name.replace(`refs/bottles/${ID}/`, "")}`);

describe("work in a repository", () => {
  it("is empty when the agent did nothing, also where the operator had uncommitted work", async () => {
    operator.repository("repo");
    operator.write("repo/a.txt", "dirty\n");
    operator.write("repo/untracked", "u\n");
    const base = await begin("repo");
    const operatorFolder = operator.path("repo");
    expect(await take(base, { operatorFolder })).toEqual({
      commits: 0,
      branches: [],
      tags: [],
      notes: [],
      empty: true,
    });
    expect(await hasWork(work)).toBe(false);
    expect(await diff()).toBe("");
    expect(names(await pull("repo"))).toEqual([]);
  });

  it("comes out as the agent's commits and one commit of what it did not commit", async () => {
    operator.repository("repo", { "a.txt": "one\n", "keep.txt": "k\n" });
    operator.write("repo/untracked", "u\n");
    const base = await begin("repo");
    await guest.sh(`
      echo two >> a.txt; git commit -qam 'first of the agent'
      git checkout -q -b topic; echo new > new.txt; git add new.txt; git commit -qm second; git tag v9
      echo loose > loose.txt; printf 'a\\0b' > binary; rm keep.txt; chmod +x a.txt; ln -s a.txt link
    `);
    const summary = await take(base, { operatorFolder: operator.path("repo") });
    expect(summary).toEqual({
      commits: 2,
      branches: ["main", "topic"],
      tags: ["v9"],
      // loose.txt, binary, keep.txt, the mode of a.txt, link, and the operator's own untracked file
      uncommitted: { files: 6, insertions: 3, deletions: 1 },
      notes: [],
      empty: false,
    });
    expect(await readWork(work)).toEqual(summary);
    expect(await hasWork(work)).toBe(true);
    const patch = await diff();
    expect(patch).toContain("+two");
    expect(patch).toContain("deleted file mode 100644");
    // What was there before the agent is no difference.
    expect(patch).not.toContain("untracked");
    expect(await diff({ stat: true })).toMatch(/ new\.txt +\| +1 \+/);
    expect(await diff({ color: true })).toContain("\u001b[32m+");
  });

  it("is a patch that git apply takes, binary files and modes included", async () => {
    operator.repository("repo", { "a.txt": "one\n", gone: "x\n" });
    const base = await begin("repo");
    await guest.sh("printf 'a\\0b' > bin; rm gone; chmod +x a.txt; ln -s a.txt l; printf 'no newline' > n");
    await take(base, { operatorFolder: operator.path("repo") });
    operator.write("work.patch", await diff());
    operator.git("repo", "apply", operator.path("work.patch"));
    expect(operator.git("repo", "status", "--porcelain")).toBe(" M a.txt\n D gone\n?? bin\n?? l\n?? n\n");
    expect(readFileSync(operator.path("repo/bin")).equals(Buffer.from("a\0b"))).toBe(true);
  });

  it("is pulled as refs beside the operator's: no branch, index, file or FETCH_HEAD changes", async () => {
    operator.repository("repo", { "a.txt": "one\n" });
    operator.write("repo/a.txt", "dirty\n");
    operator.write("repo/staged", "s");
    operator.git("repo", "add", "staged");
    const base = await begin("repo");
    await guest.sh(
      "echo x > x; git add x; git commit -qm 'the agent, all of it' -- x; echo y > y; git tag t",
    );
    await take(base, { operatorFolder: operator.path("repo") });
    const state = (): string =>
      operator.git("repo", "status", "--porcelain") +
      operator.git("repo", "for-each-ref", "refs/heads", "refs/tags", "refs/remotes") +
      operator.git("repo", "rev-parse", "HEAD") +
      readdirSync(operator.path("repo/.git")).sort().join();
    const before = state();
    const report = await pull("repo");
    expect(state()).toBe(before);
    expect(existsSync(operator.path("repo/.git/FETCH_HEAD"))).toBe(false);
    expect(names(report)).toEqual([
      "created base",
      "created heads/main",
      "created tags/t",
      "created uncommitted",
    ]);
    expect(operator.git("repo", "log", "--format=%an %s", `refs/bottles/${ID}/uncommitted`, "-3")).toBe(
      "bot-bottle Work that the agent did not commit\nAgent the agent, all of it\nOperator first\n",
    );
    expect(operator.git("repo", "fsck", "--strict")).toBe("");
  });

  it("tells commands to use it that work as they are printed", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    await guest.sh("echo two > b; git add b; git commit -qm b; echo three > c");
    await take(base, { operatorFolder: operator.path("repo") });
    const { usage } = await pull("repo");
    expect(usage.map(({ purpose }) => purpose)).toEqual([
      "look at main",
      "take main",
      "look at what the agent did not commit",
      "take it",
      "forget all of it",
    ]);
    const env = { ...process.env, GIT_PAGER: "cat" };
    for (const { command } of usage)
      execFileSync("sh", ["-ec", command], { cwd: operator.path("repo"), env });
    expect(operator.git("repo", "status", "--porcelain")).toBe("A  c\n");
    expect(readFileSync(operator.path("repo/b"), "utf8")).toBe("two\n");
    expect(operator.git("repo", "for-each-ref", "refs/bottles")).toBe("");
  });

  it("can be taken and pulled again: the same state is the same commits, new work moves them", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    const operatorFolder = operator.path("repo");
    await guest.sh("echo 1 > f; git add f; git commit -qm one; echo loose > g");
    await take(base, { operatorFolder });
    await pull("repo");
    expect(await isPulled(work, ID, operatorFolder)).toBe(true);
    await take(base, { operatorFolder });
    expect(names(await pull("repo"))).toEqual([
      "unchanged base",
      "unchanged heads/main",
      "unchanged uncommitted",
    ]);
    await guest.sh("echo 2 > f; git commit -q --amend -am 'one, better'");
    await take(base, { operatorFolder });
    expect(await isPulled(work, ID, operatorFolder)).toBe(false);
    expect(names(await pull("repo"))).toEqual(["unchanged base", "moved heads/main", "moved uncommitted"]);
    expect(readdirSync(operator.path("state"))).toEqual(["work.git"]);
  });

  it("regression: names what was pulled earlier when a branch of now cannot stand beside it, and gives nothing up by itself", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    const operatorFolder = operator.path("repo");
    await guest.sh("git checkout -qb task; echo 1 > f; git add f; git commit -qm one");
    await take(base, { operatorFolder });
    await pull("repo");
    const earlier = operator.git("repo", "for-each-ref", "refs/bottles");
    await guest.sh("git branch -m task other; git branch -m other task/two; git commit -q --amend -m two");
    await take(base, { operatorFolder });
    const refusal = await pull("repo").then(
      () => expect.fail("was pulled"),
      (error: unknown) => error as UserError,
    );
    expect(refusal.message).toContain(`refs/bottles/${ID}/heads/task, pulled earlier,`);
    expect(operator.git("repo", "for-each-ref", "refs/bottles")).toBe(earlier);
    const command = refusal.hint?.split(": ").at(-1) ?? "";
    execFileSync("sh", ["-ec", command], { cwd: operatorFolder });
    expect(names(await pull("repo"))).toContain("created heads/task/two");
  });

  it("sends what is new and not the repository again", async () => {
    operator.repository("repo");
    const big = Buffer.alloc(3_000_000);
    for (let at = 0; at < big.length; at += 4) big.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    operator.write("repo/big", big);
    operator.git("repo", "add", ".");
    operator.git("repo", "commit", "-qm", "big");
    const base = await begin("repo");
    await guest.sh("echo small > small");
    await take(base, { operatorFolder: operator.path("repo") });
    const packs = readdirSync(`${work}/objects/pack`).filter((name) => name.endsWith(".pack"));
    expect(readFileSync(`${work}/objects/pack/${packs[0]}`).length).toBeLessThan(10_000);
  });

  it("stands alone when the operator's repository is gone", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    await guest.sh("echo two >> a.txt; git commit -qam two; echo loose > loose");
    rmSync(operator.path("repo"), { recursive: true });
    expect(await take(base, { operatorFolder: operator.path("repo") })).toMatchObject({ commits: 1 });
    expect(await diff()).toContain("+loose");
    operator.repository("other");
    await pull("other");
    expect(operator.git("other", "log", "--format=%s", `refs/bottles/${ID}/heads/main`)).toBe("two\nfirst\n");
    expect(inWork("fsck", "--strict")).not.toContain("missing");
  });

  it("includes work on a detached HEAD, in the stash, and by merging", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    await guest.sh(`
      git checkout -q -b side; echo s > s; git add s; git commit -qm side
      git checkout -q main; echo m > m; git add m; git commit -qm m; git merge -q --no-edit side
      echo stashed > a.txt; git stash -q
      git checkout -q --detach; echo d > d; git add d; git commit -qm detached
    `);
    const summary = await take(base, { operatorFolder: operator.path("repo") });
    expect(summary).toMatchObject({ branches: ["main", "side"], commits: 6 });
    expect(names(await pull("repo"))).toEqual([
      "created base",
      "created detached",
      "created heads/main",
      "created heads/side",
      "created stash",
    ]);
  });

  it("does not take the operator's ignored files, and takes tracked ones although they are ignored", async () => {
    operator.repository("repo", { ".gitignore": "*.log\nbuild/\n" });
    operator.write("repo/build/forced", "f\n");
    operator.git("repo", "add", "-f", "build/forced");
    operator.git("repo", "commit", "-qm", "forced");
    const base = await begin("repo");
    expect((await take(base)).empty).toBe(true);
    await guest.sh(
      "echo x > new.log; echo changed > build/forced; echo n > build/other; echo a > kept.log; git add -f kept.log",
    );
    expect((await take(base)).uncommitted).toEqual({ files: 2, insertions: 2, deletions: 1 });
    await guest.sh("git commit -qam 'commit the ignored'");
    expect(await take(base)).not.toHaveProperty("uncommitted");
    await guest.sh("git rm -q --cached kept.log; git commit -qm 'no longer'; ");
    expect(await take(base)).not.toHaveProperty("uncommitted");
  });

  it("respects how the operator's lines end", async () => {
    operator.git("home", "config", "--global", "core.autocrlf", "true");
    operator.repository("repo", { "a.txt": "one\r\n" });
    const base = await begin("repo");
    expect(await guest.sh("git status --porcelain")).toBe("");
    expect((await take(base)).empty).toBe(true);
  });

  it("works in a shallow clone, a linked worktree, a sparse and a sha256 repository", async () => {
    operator.repository("full", { "in/a": "1\n", "out/b": "2\n" });
    for (const n of ["two", "three"]) {
      operator.write("full/in/a", n);
      operator.git("full", "commit", "-qam", n);
    }
    operator.git(
      ".",
      "clone",
      "-q",
      "--depth=1",
      `file://${operator.path("full")}`,
      operator.path("shallow"),
    );
    operator.git("full", "worktree", "add", "-q", "-b", "linked", operator.path("linked"));
    operator.git(".", "clone", "-q", operator.path("full"), operator.path("sparse"));
    operator.git("sparse", "sparse-checkout", "set", "in");
    mkdirSync(operator.path("sha256"));
    operator.git("sha256", "init", "-q", "--object-format=sha256");
    operator.write("sha256/f", "x");
    operator.git("sha256", "add", ".");
    operator.git("sha256", "commit", "-qm", "first");
    for (const folder of ["shallow", "linked", "sparse", "sha256"]) {
      const base = await begin(folder);
      const operatorFolder = operator.path(folder);
      expect((await take(base, { operatorFolder })).empty, folder).toBe(true);
      await guest.sh("echo new > new; git add new; git commit -qm new; echo loose > loose");
      expect(await take(base, { operatorFolder }), folder).toMatchObject({
        commits: 1,
        uncommitted: { files: 1, insertions: 1, deletions: 0 },
      });
      expect(await diff({ stat: true }), folder).toContain("2 files changed, 2 insertions(+)");
      const report = await pull(folder);
      expect(
        report.refs.map(({ state }) => state),
        folder,
      ).toEqual(["created", "created", "created"].slice(0, report.refs.length));
      expect(operator.git(folder, "log", "-1", "--format=%s", `refs/bottles/${ID}/uncommitted`), folder).toBe(
        "Work that the agent did not commit\n",
      );
      await guest.sh("rm -rf .git ..?* .[!.]* * ../.bottle");
    }
  });

  it("works in a partial clone without fetching what is missing", async () => {
    operator.repository("full");
    operator.write("full/a.txt", "two\n");
    operator.git("full", "commit", "-qam", "second");
    operator.git("full", "config", "uploadpack.allowFilter", "true");
    operator.git(
      ".",
      "clone",
      "-q",
      "--filter=blob:none",
      `file://${operator.path("full")}`,
      operator.path("partial"),
    );
    rmSync(operator.path("full"), { recursive: true });
    const base = await begin("partial");
    await guest.sh("echo three > a.txt; git commit -qam three; echo loose > loose");
    expect(await take(base, { operatorFolder: operator.path("partial") })).toMatchObject({ commits: 1 });
    expect(await diff()).toContain("-two\n+three");
    expect(names(await pull("partial"))).toContain("created heads/main");
  });
});

describe("submodules and repositories within", () => {
  it("are no difference when nothing below them changed", async () => {
    operator.repository("lib", { "lib.c": "int x;\n" });
    operator.repository("repo");
    operator.git("repo", "submodule", "--quiet", "add", operator.path("lib"), "vendor/lib");
    operator.git("repo", "commit", "-qm", "add lib");
    const base = await begin("repo");
    const operatorFolder = operator.path("repo");
    expect((await take(base, { operatorFolder })).empty).toBe(true);
    await guest.sh("echo new > new");
    expect(await take(base, { operatorFolder })).toMatchObject({
      uncommitted: { files: 1, insertions: 1, deletions: 0 },
    });
    expect(await diff({ stat: true })).not.toContain("vendor");
    await pull("repo");
    expect(operator.git("repo", "diff", "--stat", "main", `refs/bottles/${ID}/uncommitted`)).not.toContain(
      "vendor",
    );
  });

  it("come out as files when something below them changed", async () => {
    operator.repository("lib", { "lib.c": "int x;\n" });
    operator.repository("repo");
    operator.git("repo", "submodule", "--quiet", "add", operator.path("lib"), "vendor/lib");
    operator.git("repo", "commit", "-qm", "add lib");
    const base = await begin("repo");
    await guest.sh("echo 'int y;' >> vendor/lib/lib.c");
    expect((await take(base, { operatorFolder: operator.path("repo") })).empty).toBe(false);
    expect(await diff()).toContain("+int y;");
    await pull("repo");
    expect(operator.git("repo", "show", `refs/bottles/${ID}/uncommitted:vendor/lib/lib.c`)).toBe(
      "int x;\nint y;\n",
    );
  });

  it("made by the agent come out as files, with and without commits, one within another", async () => {
    operator.repository("repo");
    const base = await begin("repo");
    await guest.sh(`
      git init -q unborn; echo u > unborn/u
      git init -q born; cd born; echo '*.o' > .gitignore; echo x > x.o; echo b > b; git add .; git commit -qm b; echo loose > loose
      git init -q inner; cd inner; echo i > i; git add .; git commit -qm i
    `);
    const summary = await take(base, { operatorFolder: operator.path("repo") });
    expect(summary.notes).toEqual([]);
    await pull("repo");
    expect(
      operator
        .git("repo", "ls-tree", "-r", "--name-only", `refs/bottles/${ID}/uncommitted`)
        .trim()
        .split("\n"),
    ).toEqual(["a.txt", "born/.gitignore", "born/b", "born/inner/i", "born/loose", "unborn/u"]);
    // And again, now that our index knows them.
    await guest.sh("echo more >> born/b; rm born/loose");
    await take(base, { operatorFolder: operator.path("repo") });
    expect(await diff()).toContain("+more");
    expect(await diff()).not.toContain("loose");
  });
});

it("is never called empty when some of it could not be read", async () => {
  operator.repository("repo");
  const base = await begin("repo");
  await guest.sh("mkdir shut; echo x > shut/f; chmod 000 shut");
  const summary = await take(base, { operatorFolder: operator.path("repo") });
  expect(summary.empty).toBe(false);
  expect(summary.notes.join()).toMatch(/could not be read: .*shut.*Permission denied/);
  await guest.sh("chmod 700 shut; chmod 000 shut/f; echo y > y");
  expect(await take(base)).toMatchObject({
    uncommitted: { files: 1 },
    notes: [expect.stringMatching(/could not be read: .*shut\/f/) as string],
  });
});

describe("work without a repository", () => {
  it("in a plain folder is compared with what was there", async () => {
    operator.write("plain/a.txt", "one\n");
    operator.write("plain/b.txt", "b\n");
    const base = await begin("plain");
    expect((await take(base)).empty).toBe(true);
    await guest.sh("echo two >> a.txt; rm b.txt; mkdir d; echo c > d/c");
    expect(await take(base)).toMatchObject({
      commits: 0,
      uncommitted: { files: 3, insertions: 2, deletions: 1 },
    });
    expect(await diff()).toContain("+two");
    operator.repository("elsewhere");
    expect(names(await pull("elsewhere"))).toEqual(["created base", "created uncommitted"]);
    operator.git("elsewhere", "checkout", "-q", "-b", "taken", `refs/bottles/${ID}/uncommitted`);
    expect(readFileSync(operator.path("elsewhere/d/c"), "utf8")).toBe("c\n");
  });

  it("in an empty workspace is all that is there", async () => {
    const base = emptyBase();
    expect((await take(base)).empty).toBe(true);
    await guest.sh(
      "echo hello > hello.txt; echo node_modules > .gitignore; mkdir node_modules; echo x > node_modules/x",
    );
    expect(await take(base)).toMatchObject({ uncommitted: { files: 2, insertions: 2, deletions: 0 } });
    expect(await diff()).not.toContain("node_modules/x");
  });

  it("takes the commits of a repository that the agent made itself", async () => {
    const base = emptyBase();
    await guest.sh("git init -q -b trunk; echo a > a; git add a; git commit -qm a; echo b > b");
    expect(await take(base)).toMatchObject({ commits: 1, branches: ["trunk"], uncommitted: { files: 1 } });
    operator.repository("repo");
    await pull("repo");
    expect(operator.git("repo", "log", "--format=%s", `refs/bottles/${ID}/uncommitted`)).toBe(
      "Work that the agent did not commit\na\n",
    );
  });

  it("takes a sha256 repository that the agent made", async () => {
    const base = emptyBase();
    await guest.sh("git init -q --object-format=sha256 .; echo a > a; git add a; git commit -qm a");
    expect(await take(base)).toMatchObject({ commits: 1 });
    expect(await diff()).toContain("+a");
  });
});

describe("an operator who cannot pull", () => {
  it("is told why, and what to do", async () => {
    const base = emptyBase();
    await expect(pull("home")).rejects.toThrow(/not in a git repository/);
    operator.repository("repo");
    await expect(pull("repo")).rejects.toThrow(/no work was taken out of agent-abcde yet/);
    await expect(diff()).rejects.toThrow(/no work was taken out/);
    await guest.sh("echo x > x");
    await take(base);
    await expect(pull("home")).rejects.toMatchObject({
      hint: expect.stringContaining(`bottle diff ${ID} >`) as string,
    });
  });

  it("keeps the last export when the next one fails", async () => {
    const base = emptyBase();
    await guest.sh("echo one > one");
    await take(base);
    const broken = { ...guest, exec: () => Promise.reject(new Error("the guest is gone")) };
    await expect(exportWork(broken, base, work, { id: ID })).rejects.toThrow("the guest is gone");
    expect(await diff()).toContain("+one");
    expect(readdirSync(operator.path("state"))).toEqual(["work.git"]);
  });
});
