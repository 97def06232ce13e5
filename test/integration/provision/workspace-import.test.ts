import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { joined } from "../../../src/lib/archive/pack-tar.ts";
import { type ImportedWorkspace, importWorkspace } from "../../../src/provision/workspace/import.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";
import { createOperator, type Operator } from "../../support/operator.ts";

const W = "/home/node/workspace";

let operator: Operator;
let guest: LocalGuest;

beforeEach(() => {
  operator = createOperator();
  guest = createLocalGuest();
});

afterEach(async () => {
  expect(operator.canaryIsUnharmed()).toBe(true);
  await guest.remove();
  operator.remove();
});

function bring(folder: string): Promise<ImportedWorkspace> {
  mkdirSync(operator.path("state"), { recursive: true });
  return importWorkspace(guest, operator.path(folder), {
    scratchDir: operator.path("state"),
    progress: () => {},
  });
}

const inside = (...parts: readonly string[]): string => join(guest.hostPath(W), ...parts);

describe("a repository", () => {
  it("arrives with its tracked and unignored files, history, branches and state of work", async () => {
    operator.repository("repo", { "a.txt": "one\n", "dir/b.txt": "b\n", gone: "x", ".gitignore": "*.log\n" });
    operator.git("repo", "tag", "-a", "v1", "-m", "one");
    operator.git("repo", "branch", "topic");
    operator.write("repo/a.txt", "one\nchanged\n");
    operator.write("repo/staged", "s\n");
    operator.git("repo", "add", "staged");
    operator.write("repo/untracked", "u\n");
    operator.write("repo/secret.log", "ignored");
    rmSync(operator.path("repo/gone"));
    const before = operator.git("repo", "status", "--porcelain");
    await bring("repo");
    expect(await guest.sh("git status --porcelain")).toBe(before);
    expect(readdirSync(inside()).sort()).toEqual([
      ".git",
      ".gitignore",
      "a.txt",
      "dir",
      "staged",
      "untracked",
    ]);
    expect(await guest.sh("git log --format=%H --all; git describe")).toBe(
      `${operator.git("repo", "log", "--format=%H", "--all")}v1\n`,
    );
    expect(await guest.sh("git branch --format='%(refname)'; git symbolic-ref HEAD")).toBe(
      "refs/heads/main\nrefs/heads/topic\nrefs/heads/main\n",
    );
    expect(await guest.sh("git fsck --strict 2>&1")).toBe("");
    // And the agent can go on from there.
    await guest.sh("git -c user.name=a -c user.email=a@b commit -qam more");
  });

  it("keeps modes, links, empty files and names of any bytes, and never follows a link", async () => {
    operator.repository("repo");
    writeFileSync(operator.path("outside"), "host secret");
    const repo = operator.path("repo");
    const names = [
      Buffer.from([0xc3, 0x28, 0xff]),
      Buffer.from("new\nline"),
      Buffer.from("--help"),
      Buffer.from('q"uo\\te'),
    ];
    for (const name of names) writeFileSync(joined(repo, name), "odd");
    operator.write("repo/run.sh", "#!/bin/sh\n");
    chmodSync(operator.path("repo/run.sh"), 0o755);
    symlinkSync("../outside", join(repo, "out"));
    symlinkSync("a.txt", join(repo, "in"));
    await bring("repo");
    const there = readdirSync(inside(), { encoding: "buffer" });
    for (const name of names) expect(there.some((other) => other.equals(name))).toBe(true);
    expect(readlinkSync(inside("out"))).toBe("../outside");
    expect(await guest.sh("stat -c %a run.sh a.txt; cat in; stat -c '%u %U' .git a.txt")).toBe(
      "755\n644\none\n1000 node\n1000 node\n",
    );
  });

  it("does not bring what lies behind a folder that became a link", async () => {
    operator.repository("repo", { "dir/passwd": "tracked", keep: "k" });
    operator.write("elsewhere/passwd", "host secret");
    rmSync(operator.path("repo/dir"), { recursive: true });
    symlinkSync(operator.path("elsewhere"), operator.path("repo/dir"));
    await bring("repo");
    expect(readlinkSync(inside("dir"))).toBe(operator.path("elsewhere"));
  });

  it("is brought from its root when a folder below is named, and the agent starts in that folder", async () => {
    operator.repository("repo", { "top.txt": "t", "deep/er/f": "f" });
    mkdirSync(operator.path("repo/deep/empty"));
    expect((await bring("repo/deep/er")).cwd).toBe(`${W}/deep/er`);
    expect(readFileSync(inside("top.txt"), "utf8")).toBe("t");
    expect((await bring("repo/deep/empty")).cwd).toBe(`${W}/deep/empty`);
    expect(readdirSync(inside("deep/empty"))).toEqual([]);
  });

  it("works before its first commit", async () => {
    mkdirSync(operator.path("new"));
    operator.git("new", "init", "-q", "-b", "trunk");
    operator.write("new/staged", "s");
    operator.git("new", "add", "staged");
    operator.write("new/loose", "l");
    await bring("new");
    expect(await guest.sh("git status --porcelain --branch")).toBe(
      "## No commits yet on trunk\nA  staged\n?? loose\n",
    );
    mkdirSync(operator.path("bare-start"));
    operator.git("bare-start", "init", "-q");
    await guest.sh("rm -rf .git *");
    await bring("bare-start");
    expect(await guest.sh("git status --porcelain")).toBe("");
  });

  it("works with a detached HEAD", async () => {
    operator.repository("repo");
    operator.write("repo/a.txt", "two\n");
    operator.git("repo", "commit", "-qam", "second");
    operator.git("repo", "checkout", "-q", "HEAD~1");
    await bring("repo");
    expect(await guest.sh("git rev-parse HEAD main; git symbolic-ref -q HEAD || echo detached")).toBe(
      `${operator.git("repo", "rev-parse", "HEAD", "main")}detached\n`,
    );
  });

  it("works as a linked worktree, with that worktree's HEAD, index and files", async () => {
    operator.repository("repo");
    operator.git("repo", "worktree", "add", "-q", "-b", "topic", operator.path("linked"));
    operator.write("linked/staged", "s");
    operator.git("linked", "add", "staged");
    await bring("linked");
    expect(await guest.sh("git status --porcelain --branch; git fsck 2>&1")).toBe("## topic\nA  staged\n");
    expect(readdirSync(inside(".git")).includes("worktrees")).toBe(false);
  });

  it("brings borrowed objects as its own", async () => {
    operator.repository("lender");
    operator.git(".", "clone", "-q", "--shared", operator.path("lender"), operator.path("borrower"));
    await bring("borrower");
    expect(
      await guest.sh("git fsck 2>&1; git log --format=%s; ls .git/objects/info 2>/dev/null || true"),
    ).toBe("first\n");
  });

  it("works as a shallow clone, and stays one", async () => {
    operator.repository("full");
    for (const n of ["two", "three"]) {
      operator.write("full/a.txt", n);
      operator.git("full", "commit", "-qam", n);
    }
    operator.git(
      ".",
      "clone",
      "-q",
      "--depth=2",
      `file://${operator.path("full")}`,
      operator.path("shallow"),
    );
    const imported = await bring("shallow");
    expect(await guest.sh("git log --format=%s; git fsck 2>&1; git rev-parse --is-shallow-repository")).toBe(
      "three\ntwo\ntrue\n",
    );
    expect(imported.shallow).toHaveLength(1);
  });

  it("works as a partial clone: what is missing is missing, and nothing is fetched", async () => {
    operator.repository("full");
    operator.write("full/a.txt", "two\n");
    operator.git("full", "commit", "-qam", "second");
    operator.git("full", "config", "uploadpack.allowFilter", "true");
    const url = `file://${operator.path("full")}`;
    operator.git(".", "clone", "-q", "--filter=blob:none", url, operator.path("partial"));
    // Its remote is gone: whatever tried to fetch would fail.
    renameSync(operator.path("full"), operator.path("moved"));
    expect((await bring("partial")).isPartial).toBe(true);
    expect(await guest.sh("git status --porcelain; git log --format=%s; cat a.txt")).toBe(
      "second\nfirst\ntwo\n",
    );
  });

  it("works with objects named by SHA-256", async () => {
    mkdirSync(operator.path("sha256"));
    operator.git("sha256", "init", "-q", "--object-format=sha256");
    operator.write("sha256/f", "x");
    operator.git("sha256", "add", ".");
    operator.git("sha256", "commit", "-qm", "long names");
    await bring("sha256");
    expect(await guest.sh("git rev-parse HEAD; git status --porcelain")).toBe(
      operator.git("sha256", "rev-parse", "HEAD"),
    );
  });

  it("works with a split index and with untracked and fsmonitor caches", async () => {
    operator.repository("repo", { a: "1", b: "2" });
    operator.git("repo", "config", "core.splitIndex", "true");
    operator.git("repo", "config", "core.untrackedCache", "true");
    operator.git("repo", "update-index", "--split-index", "--untracked-cache");
    operator.write("repo/c", "3");
    operator.git("repo", "add", "c");
    await bring("repo");
    expect(await guest.sh("git status --porcelain; ls .git | grep -c sharedindex || true")).toBe("A  c\n0\n");
  });

  it("works as a sparse checkout: what is not checked out is not a deletion", async () => {
    operator.repository("repo", { "in/a": "1", "out/b": "2" });
    operator.git("repo", "sparse-checkout", "set", "in");
    await bring("repo");
    expect(await guest.sh("git status --porcelain; ls")).toBe("in\n");
  });

  it("brings a submodule and a repository within as files, without their .git", async () => {
    operator.repository("lib", { "lib.c": "int x;" });
    operator.repository("repo");
    operator.git("repo", "submodule", "--quiet", "add", operator.path("lib"), "vendor/lib");
    operator.git("repo", "commit", "-qm", "add lib");
    operator.repository("repo/scratch", { note: "n", ".gitignore": "*.o\n" });
    operator.write("repo/scratch/x.o", "ignored");
    operator.write("repo/vendor/lib/new.c", "int y;");
    await bring("repo");
    expect(readdirSync(inside("vendor/lib")).sort()).toEqual(["lib.c", "new.c"]);
    expect(readdirSync(inside("scratch")).sort()).toEqual([".gitignore", "note"]);
  });

  it("leaves out stash, reflog, other refs and what was committed and taken back", async () => {
    operator.repository("repo");
    operator.write("repo/a.txt", "token taken back\n");
    operator.git("repo", "commit", "-qam", "oops");
    const oops = operator.git("repo", "rev-parse", "HEAD").trim();
    operator.git("repo", "reset", "-q", "--hard", "HEAD~1");
    operator.write("repo/a.txt", "stashed\n");
    operator.git("repo", "stash", "-q");
    operator.git("repo", "update-ref", "refs/bottles/old-abcde/heads/x", oops);
    await bring("repo");
    expect(
      await guest.sh(
        `git cat-file -e ${oops} && echo there || echo gone; git for-each-ref --format='%(refname)'`,
      ),
    ).toBe("gone\nrefs/heads/main\n");
    expect(readdirSync(inside(".git")).includes("logs")).toBe(false);
  });

  it("comes with a config that holds no credential, program or path of the host's", async () => {
    const token = ["ghp", "x".repeat(36)].join("_");
    operator.repository("repo");
    const set = (key: string, value: string): string => operator.git("repo", "config", "--add", key, value);
    set("remote.origin.url", `https://someone:${token}@example.com/team/repo.git?private_token=${token}`);
    set("remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*");
    set("remote.local.url", operator.path("elsewhere"));
    set("remote.helper.url", "ext::sh -c 'touch /tmp/x'");
    set("remote.ssh.url", `ssh://git:${token}@example.com:2222/x.git`);
    set("remote.scp.url", "git@example.com:team/x.git");
    set("remote.origin.pushurl", `https://${token}@example.com/`);
    set("branch.main.remote", "origin");
    set("branch.main.merge", "refs/heads/main");
    set("branch.other.remote", `https://${token}@example.com/x`);
    set("http.extraHeader", `Authorization: Basic ${token}`);
    set(`url.https://${token}@example.com/.insteadOf`, "https://example.com/");
    set("credential.helper", `!echo password=${token}`);
    set("core.hooksPath", "/opt/hooks");
    set("core.sshCommand", `ssh -i ${operator.path("key")}`);
    set("core.fsmonitor", `touch ${operator.canary}`);
    set("include.path", operator.path("more"));
    set("filter.x.clean", `touch ${operator.canary}`);
    set("diff.x.command", `touch ${operator.canary}`);
    set("alias.st", "!touch x");
    set("core.autocrlf", "input");
    await bring("repo");
    const config = readFileSync(inside(".git/config"), "utf8");
    expect(config).not.toContain(token);
    expect(config).not.toContain(operator.area);
    expect(await guest.sh("git config --local --list | sort")).toBe(
      [
        "branch.main.merge=refs/heads/main",
        "branch.main.remote=origin",
        "core.autocrlf=input",
        "core.bare=false",
        "core.filemode=true",
        "core.logallrefupdates=true",
        "core.repositoryformatversion=0",
        "remote.origin.fetch=+refs/heads/*:refs/remotes/origin/*",
        "remote.origin.url=https://example.com/team/repo.git",
        "remote.scp.url=git@example.com:team/x.git",
        "remote.ssh.url=ssh://git@example.com:2222/x.git",
        "",
      ].join("\n"),
    );
    expect(readdirSync(inside(".git")).sort()).toEqual([
      "HEAD",
      "config",
      "index",
      "info",
      "objects",
      "packed-refs",
      "refs",
    ]);
  });

  it("runs nothing of the repository's own on the host", async () => {
    operator.repository("repo", { ".gitattributes": "* filter=evil diff=evil\n", f: "x" });
    const touch = `touch ${operator.canary}`;
    for (const hook of ["post-index-change", "pre-auto-gc", "fsmonitor-watchman", "reference-transaction"]) {
      operator.write(`repo/.git/hooks/${hook}`, `#!/bin/sh\n${touch}\n`);
      chmodSync(operator.path("repo/.git/hooks", hook), 0o755);
    }
    const config = [
      `[core]\n\tfsmonitor = "${touch}; false"\n\tsshCommand = "${touch}"\n\tpager = "${touch}"\n`,
      `[filter "evil"]\n\tclean = "${touch}"\n\tsmudge = "${touch}"\n\tprocess = "${touch}"\n`,
      `[diff "evil"]\n\tcommand = "${touch}"\n\ttextconv = "${touch}"\n[diff]\n\texternal = "${touch}"\n`,
    ].join("");
    operator.write("repo/.git/config", `${readFileSync(operator.path("repo/.git/config"), "utf8")}${config}`);
    await bring("repo");
    expect(readFileSync(inside("f"), "utf8")).toBe("x");
    expect(operator.canaryIsUnharmed()).toBe(true);
    // The control: to git itself this is a trap, as soon as it has to look into the file.
    utimesSync(operator.path("repo/f"), 0, 0);
    expect(() => operator.git("repo", "status")).toThrow();
    expect(operator.canaryIsUnharmed()).toBe(false);
    rmSync(operator.canary);
  });

  it("brings a file of 10 MB and a pack of as much without holding them in memory", async () => {
    operator.repository("repo");
    const random = Buffer.alloc(10 * 1024 * 1024);
    for (let at = 0; at < random.length; at += 4) random.writeUInt32LE((at * 2_654_435_761) >>> 0, at);
    operator.write("repo/big", random);
    operator.git("repo", "add", "big");
    operator.git("repo", "commit", "-qm", "big");
    await bring("repo");
    expect(readFileSync(inside("big")).equals(random)).toBe(true);
    expect(await guest.sh("git status --porcelain; git fsck 2>&1")).toBe("");
    expect(readdirSync(operator.path("state"))).toEqual([]);
  });
});

describe("a plain folder", () => {
  it("arrives whole: files, empty folders, modes, links as links", async () => {
    operator.write("plain/a/b.txt", "b");
    operator.write("plain/.hidden", "h");
    mkdirSync(operator.path("plain/empty"));
    mkdirSync(operator.path("plain/closed"));
    operator.write("plain/closed/f", "x");
    chmodSync(operator.path("plain/closed"), 0o555);
    symlinkSync("/etc/passwd", operator.path("plain/link"));
    expect((await bring("plain")).kind).toBe("folder");
    chmodSync(operator.path("plain/closed"), 0o755);
    expect(readdirSync(inside()).sort()).toEqual([".hidden", "a", "closed", "empty", "link"]);
    expect(await guest.sh("stat -c %a closed; cat closed/f")).toBe("555\nx");
  });

  it("brings repositories in it as their files, a broken .git as nothing", async () => {
    operator.repository("plain/repo", { f: "x", ".gitignore": "secret\n" });
    operator.write("plain/repo/secret", "s");
    operator.write("plain/fixture/.git/config", "[core]");
    operator.write("plain/fixture/file", "y");
    await bring("plain");
    expect(readdirSync(inside("repo")).sort()).toEqual([".gitignore", "f"]);
    expect(readdirSync(inside("fixture"))).toEqual(["file"]);
  });
});

describe("what cannot be a workspace", () => {
  it("is a folder that is not there, a file, a bare repository, the inside of .git", async () => {
    await expect(bring("none")).rejects.toThrow(/there is no folder .*none/);
    operator.write("file", "x");
    await expect(bring("file")).rejects.toThrow(/is no folder/);
    operator.repository("repo");
    operator.git(".", "clone", "-q", "--bare", operator.path("repo"), operator.path("bare.git"));
    await expect(bring("bare.git")).rejects.toThrow(/bare repository/);
    await expect(bring("repo/.git/refs")).rejects.toThrow(/inside a .git directory/);
    expect(readdirSync(inside())).toEqual([]);
  });

  it("is the home directory, what holds it, and a repository that holds it", async () => {
    await expect(bring("home")).rejects.toThrow(/home directory/);
    await expect(bring(".")).rejects.toThrow(/home directory/);
    operator.git("home", "init", "-q");
    mkdirSync(operator.path("home/project"));
    await expect(bring("home/project")).rejects.toThrow(/belongs to a repository that holds your home/);
    operator.git("home/project", "init", "-q");
    expect((await bring("home/project")).kind).toBe("repository");
  });

  it("is a repository that says its history, its refs or its files are another project's", async () => {
    operator.repository("private", { secret: "s" });
    const theirs = operator.path("private/.git");
    const refused = async (folder: string, text: RegExp): Promise<void> => {
      await expect(bring(folder)).rejects.toThrow(text);
      expect(readdirSync(inside())).toEqual([]);
    };
    operator.write("by-file/.git", `gitdir: ${theirs}\n`);
    await refused("by-file", /keeps its history in .*private\/\.git, which does not name it/);
    mkdirSync(operator.path("by-link"));
    symlinkSync(theirs, operator.path("by-link/.git"));
    await refused("by-link", /does not name it|working tree is elsewhere/);
    operator.repository("by-common");
    operator.write("by-common/.git/commondir", `${theirs}\n`);
    await refused("by-common", /keeps its history in .*private\/\.git, which does not name it/);
    operator.repository("by-worktree");
    operator.git("by-worktree", "config", "core.worktree", operator.path("private"));
    await refused("by-worktree", /working tree is elsewhere: .*private/);
    operator.repository("above/by-parent");
    operator.git("above/by-parent", "config", "core.worktree", operator.path("above"));
    await refused("above/by-parent", /working tree is elsewhere/);
    operator.repository("by-parts");
    rmSync(operator.path("by-parts/.git/objects"), { recursive: true });
    symlinkSync(join(theirs, "objects"), operator.path("by-parts/.git/objects"));
    await refused("by-parts", /objects is a link to another repository's/);
    // The names of another project's objects, which an alternate then lends: all of its history.
    const borrowing = (folder: string): void => {
      operator.repository(folder);
      operator.write(`${folder}/.git/objects/info/alternates`, `${join(theirs, "objects")}\n`);
    };
    borrowing("by-ref");
    symlinkSync(join(theirs, "refs/heads/main"), operator.path("by-ref/.git/refs/heads/theirs"));
    await refused("by-ref", /refs\/heads\/theirs is a link/);
    borrowing("by-refs");
    symlinkSync(join(theirs, "refs/heads"), operator.path("by-refs/.git/refs/tags/theirs"));
    await refused("by-refs", /refs\/tags\/theirs is a link/);
    borrowing("by-head");
    operator.git("by-head", "worktree", "add", "-q", "-b", "topic", operator.path("by-head/linked"));
    const own = operator.path("by-head/.git/worktrees/linked");
    operator.write("by-head/.git/worktrees/linked/HEAD", "ref: refs/bisect/theirs\n");
    mkdirSync(join(own, "refs/bisect"), { recursive: true });
    symlinkSync(join(theirs, "refs/heads/main"), join(own, "refs/bisect/theirs"));
    await refused("by-head/linked", /refs\/bisect\/theirs is a link/);
  });

  it("brings of indexes its own alone: neither another working tree's nor another project's", async () => {
    operator.repository("private", { secret: "private" });
    operator.repository("repo");
    operator.git("repo", "worktree", "add", "-q", "-b", "topic", operator.path("other"));
    operator.write("other/a.txt", "staged there, and committed nowhere");
    operator.git("other", "add", "a.txt");
    operator.write("repo/.git/objects/info/alternates", `${operator.path("private/.git/objects")}\n`);
    const index = operator.path("repo/.git/worktrees/by-link/index");
    mkdirSync(dirname(index));
    symlinkSync(operator.path("private/.git/index"), index);
    operator.write("repo/staged", "staged here");
    operator.git("repo", "add", "staged");
    await bring("repo");
    expect(
      await guest.sh(
        "git cat-file --batch --batch-all-objects --buffer | grep -a -o 'staged h.*\\|staged t.*\\|private' || true",
      ),
    ).toBe("staged here\n");
    expect(await guest.sh("git diff --cached --name-only; git fsck 2>&1")).toBe("staged\n");
  });

  it("may keep its history elsewhere when that names it: a submodule by itself, a separate git dir", async () => {
    operator.repository("lib", { "lib.c": "int x;" });
    operator.repository("repo");
    operator.git("repo", "submodule", "--quiet", "add", operator.path("lib"), "vendor/lib");
    await bring("repo/vendor/lib");
    expect(await guest.sh("git log --format=%s; ls")).toBe("first\nlib.c\n");
    await guest.sh("rm -rf .git *");
    mkdirSync(operator.path("apart"));
    operator.git("apart", "init", "-q", "--separate-git-dir", operator.path("apart.git"));
    await expect(bring("apart")).rejects.toMatchObject({
      hint: expect.stringContaining("config core.worktree") as string,
    });
    operator.git("apart", "config", "core.worktree", operator.path("apart"));
    expect((await bring("apart")).kind).toBe("repository");
  });

  it("is a repository whose .git git cannot use", async () => {
    operator.write("broken/.git", "gitdir: /nowhere\n");
    await expect(bring("broken")).rejects.toThrow(/git cannot use .*broken\/\.git/);
  });

  it.skipIf(process.getuid?.() !== 0)(
    "is a repository of another user's, and git's own remedy is named",
    async () => {
      operator.repository("theirs");
      for (const part of ["theirs", "theirs/.git"]) chownSync(operator.path(part), 4242, 4242);
      await expect(bring("theirs")).rejects.toMatchObject({
        message: expect.stringMatching(/belongs to another user/) as string,
        hint: expect.stringMatching(/git config --global --add safe.directory .*theirs/) as string,
      });
    },
  );

  it("is one with a file that cannot be read or is larger than it can be", async () => {
    mkdirSync(operator.path("plain"));
    writeFileSync(operator.path("plain/huge"), "");
    truncateSync(operator.path("plain/huge"), 3 * 1024 ** 3);
    await expect(bring("plain")).rejects.toThrow(/larger than 2 GiB/);
    expect(readdirSync(operator.path("state"))).toEqual([]);
  });
});
