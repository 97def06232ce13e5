/**
 * What an agent leaves in its workspace never acts on the host: not when the bottle settles, not by diff, pull,
 * cp, rm or cleanup, and not when its keeper was killed and the work is salvaged. Every trap writes one file.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  createRealOperator,
  pause,
  type RealBottle,
  type RealOperator,
  runProgram,
} from "../../support/real-bottle.ts";

/**
 * Arguments: the file that a trap writes. Every way that git has of running a program, in configuration, hooks,
 * attributes, submodules and names; objects from elsewhere; trees that no git would make; traps for whoever walks.
 */
const HOSTILE = `set -u
canary=$1
mkdir -p "$(dirname "$canary")"
trap_="$HOME/trap"
printf '#!/bin/sh\\necho "$0 $*" >> %s\\nexec cat\\n' "$canary" > "$trap_"
chmod 755 "$trap_"

echo honest work >> README.md
git commit --quiet --all --message='Work'
printf 'esc \\033]52;c;aGk=\\007 \\033[2J' > "$(printf 'name\\033[31m')"
git add --all
git commit --quiet --message="$(printf 'Message \\033]0;title\\007 \\033[2J')"
git branch -- "evil/\\$(touch$IFS$canary)" 2>/dev/null
git update-ref "refs/heads/--upload-pack=$trap_" HEAD
git update-ref refs/heads/-x HEAD
git tag 'v1;touch'
ln -s / root-link; ln -s "$(dirname "$canary")" canary-link; ln -s ../../../../etc/passwd passwd
mkdir sub
git -C sub init --quiet
git -C sub commit --quiet --allow-empty --message=sub
cat > .gitmodules <<END
[submodule "sub"]
	path = sub
	url = ext::sh -c $trap_
END
echo '* filter=trap diff=trap merge=trap ident export-subst' > .gitattributes
git add --all
git commit --quiet --message='Traps as content'

mkdir -p .git/hooks .git/objects/info
for hook in applypatch-msg pre-applypatch post-applypatch pre-commit pre-merge-commit prepare-commit-msg commit-msg \\
  post-commit pre-rebase post-checkout post-merge pre-push pre-receive update proc-receive post-receive post-update \\
  reference-transaction push-to-checkout pre-auto-gc post-rewrite sendemail-validate fsmonitor-watchman post-index-change; do
  cp "$trap_" ".git/hooks/$hook"
done
printf '[core]\n\tfsmonitor = %s\n' "$trap_" > "$HOME/more"
cat >> .git/config <<END
[core]
	fsmonitor = $trap_
	hooksPath = $PWD/.git/hooks
	sshCommand = $trap_
	editor = $trap_
	pager = $trap_
	askPass = $trap_
	gitProxy = $trap_
	alternateRefsCommand = $trap_
	attributesFile = $PWD/.gitattributes
	worktree = /
[diff]
	external = $trap_
[diff "trap"]
	command = $trap_
	textconv = $trap_
[filter "trap"]
	clean = $trap_ %f
	smudge = $trap_ %f
[merge "trap"]
	driver = $trap_ %O %A %B
[credential]
	helper = !$trap_
[gpg]
	program = $trap_
[gpg "ssh"]
	program = $trap_
[log]
	showSignature = true
[commit]
	gpgSign = true
[uploadpack]
	packObjectsHook = $trap_
[remote "origin"]
	url = ext::sh -c $trap_
	uploadpack = $trap_
	receivepack = $trap_
	vcs = ext
	fetch = +refs/*:refs/*
	promisor = true
[extensions]
	partialClone = origin
[protocol "ext"]
	allow = always
[protocol]
	allow = always
[submodule "sub"]
	url = ext::sh -c $trap_
	update = !$trap_
	active = true
[alias]
	status = !$trap_
	diff = !$trap_
[interactive]
	diffFilter = $trap_
[include]
	path = $HOME/more
[safe]
	directory = *
END
echo '[broken' > "$HOME/.gitconfig"
mkdir -p .git/info
echo '* filter=trap diff=trap' > .git/info/attributes
echo "$(dirname "$canary")/project/.git/objects" > .git/objects/info/alternates
git update-ref refs/replace/$(git rev-parse HEAD) $(git rev-parse HEAD~1) 2>/dev/null
echo uncommitted > uncommitted.txt
mkdir -p locked/in; echo x > locked/in/file; chmod 000 locked/in
cp /bin/sh setuid; chmod 4755 setuid
mkfifo pipe
printf '[user]\n\tname = x\n' > "$HOME/.gitconfig"
git status >/dev/null 2>&1
echo '[broken' > "$HOME/.gitconfig"
# The control: here, where it may, a trap has gone off.
grep -q trap "$canary" && echo the traps are set
`;

/** Argument: a name. Commits a tree that git itself would not make, with that name in it. */
const ODD_TREE = `
const { execFileSync } = require("node:child_process");
const git = (args, input) => execFileSync("git", args, { input, encoding: "latin1" }).trim();
const blob = Buffer.from(git(["hash-object", "-w", "--stdin"], "x\\n"), "hex");
const entry = Buffer.concat([Buffer.from("100644 " + process.argv[1] + "\\0"), blob]);
const tree = git(["hash-object", "-w", "-t", "tree", "--literally", "--stdin"], entry);
git(["update-ref", "refs/heads/odd", git(["commit-tree", "-m", "odd", tree])]);
`;

const ODD_SUBMODULE = `
printf '[submodule "x"]\\n\\tpath = x\\n\\turl = ./x\\n\\tupdate = !touch ran\\n' > .gitmodules
git add .gitmodules && git commit --quiet --message=odd
`;

const IDENTITY = { "git-gate": { user: { name: "Agent", email: "agent@example.com" } } };

let operator: RealOperator;
let canary: string;
/** The operator's own repository, apart from what is fetched into it. */
let before: string;

beforeAll(async () => {
  operator = await createRealOperator({ "README.md": "# A project\n", "hostile.sh": HOSTILE });
  // A name of its own, so that a find is no other test's.
  mkdirSync(operator.path("watched"));
  canary = operator.path("watched", "canary");
  operator.agent("hostile", {
    ...IDENTITY,
    agent_provider: { template: "command", command: ["sh", "hostile.sh"] },
  });
  operator.agent("lingering", {
    ...IDENTITY,
    agent_provider: {
      template: "command",
      command: ["sh", "-c", 'sh hostile.sh "$0" </dev/null; sleep infinity', canary],
    },
  });
  before = await repositoryState();
});
afterAll(() => operator.remove());
afterEach(async () => {
  expect(existsSync(canary) ? readFileSync(canary, "utf8") : "no trap went off").toBe("no trap went off");
  expect(readdirSync(operator.path("watched"))).toEqual([]);
  expect(await repositoryState()).toBe(before);
});

async function repositoryState(): Promise<string> {
  const git = join(operator.repository, ".git");
  return JSON.stringify({
    config: readFileSync(join(git, "config"), "utf8"),
    hooks: readdirSync(join(git, "hooks")).filter((name) => !name.endsWith(".sample")),
    status: await operator.git("status", "--porcelain"),
    heads: await operator.git("for-each-ref", "refs/heads", "refs/tags", "refs/remotes", "refs/replace"),
    files: readdirSync(git)
      .filter((name) => name !== "packed-refs" && name !== "FETCH_HEAD")
      .sort(),
    alternates: existsSync(join(git, "objects/info/alternates")),
  });
}

async function ok(...args: readonly string[]) {
  const run = await operator.bottle(args);
  expect(run.code, `bottle ${args.join(" ")}: ${run.stderr}`).toBe(0);
  return run;
}

/** Looks at it in every way that there is. */
async function lookAt(id: string): Promise<void> {
  const diff = await ok("diff", id);
  expect(diff.stdout).toContain("+honest work");
  expect(diff.stdout).toContain("uncommitted.txt");
  expect((await ok("diff", "--stat", id)).stdout).toContain("README.md");
  await ok("pull", id);
  await ok("pull", id);
  const refs = (await operator.git("for-each-ref", "--format=%(refname)")).split("\n");
  expect(refs).toContain(`refs/bottles/${id}/heads/main`);
  expect(
    refs.filter((ref) => !ref.startsWith("refs/heads/main") && !ref.startsWith("refs/bottles/")),
  ).toEqual([]);
  // What was fetched is sound, and looking at it with the operator's own git sets nothing off.
  await operator.git("fsck", "--strict", "--no-dangling");
  await operator.git("log", "--patch", `refs/bottles/${id}/heads/main`);
  await operator.git("show", `refs/bottles/${id}/uncommitted`);
}

describe("a hostile workspace", () => {
  it("sets off nothing when its bottle settles, nor by diff, pull and rm", async () => {
    const run = await operator.bottle(["start", "hostile", "--cwd", "--prompt", canary]);
    expect(run, run.stderr).toMatchObject({
      code: 0,
      stdout: expect.stringContaining("the traps are set\n"),
    });
    expect(run.stderr).not.toContain("could not be taken out");
    const id = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? "";
    expect(run.stderr).not.toMatch(/[\x00-\x08\x0b-\x1f]/);
    await lookAt(id);
    // What could not be taken out was not pulled either, and is asked about.
    await ok("rm", "--force", id);
    expect(existsSync(join(operator.home, "state", id))).toBe(false);
  });

  describe("of a bottle that runs on", () => {
    let bottle: RealBottle;
    beforeAll(async () => {
      bottle = await operator.start("lingering", ["--cwd"]);
      for (let i = 0; !(await ok("logs", bottle.id)).stdout.includes("the traps are set"); i++) {
        expect(i, "the agent is not done").toBeLessThan(100);
        await pause(50);
      }
    });

    it("sets off nothing by diff and pull meanwhile, nor in a copy that was taken out", async () => {
      await lookAt(bottle.id);
      const copy = operator.path("copy");
      await ok("cp", `${bottle.id}:workspace`, copy);
      expect(readFileSync(join(copy, "README.md"), "utf8")).toContain("honest work");
      expect(existsSync(join(copy, ".git", "config"))).toBe(false);
      expect(existsSync(join(copy, "root-link"))).toBe(false);
      // Whatever the operator's git makes of it, and of a repository around it.
      await runProgram(["git", "-C", copy, "status"], { env: operator.env });
      await runProgram(["git", "-C", copy, "diff"], { env: operator.env });
    });

    it("sets off nothing when its keeper is killed and the work salvaged, nor by cleanup and rm", async () => {
      process.kill(bottle.keeper, "SIGKILL");
      for (let i = 0; i < 100 && existsSync(`/proc/${bottle.keeper}`); i++) await pause(20);
      expect((await ok("list")).stdout).toContain("crashed");
      await lookAt(bottle.id);
      await ok("cleanup", "--yes");
      await lookAt(bottle.id);
      await ok("rm", "--force", bottle.id);
      expect(existsSync(join(operator.home, "state", bottle.id))).toBe(false);
      expect((await ok("cleanup", "--dry-run", "--json")).stdout.trim()).toBe("[]");
    });
  });
});

describe("objects that no honest git makes", () => {
  it.each([
    ["a file called .git", ["node", "-e", ODD_TREE, ".git"]],
    ["a file called git~1", ["node", "-e", ODD_TREE, "git~1"]],
    ["a file above its folder", ["node", "-e", ODD_TREE, ".."]],
    ["a submodule that runs a program", ["sh", "-c", ODD_SUBMODULE]],
  ])("are refused, and nothing of them is fetched: %s", async (_what, command) => {
    operator.agent("forger", {
      ...IDENTITY,
      agent_provider: { template: "command", command },
    });
    const run = await operator.bottle(["start", "forger", "--cwd", "--prompt", "go"]);
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).toContain("the guest's objects were refused");
    const id = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? "";
    const pull = await operator.bottle(["pull", id]);
    expect(pull.code).toBe(1);
    expect(pull.stderr).toContain("refused");
    expect(await operator.git("for-each-ref", `refs/bottles/${id}`)).toBe("");
    await ok("rm", "--force", id);
  });
});

describe("a workspace whose .git is", () => {
  it.each([
    ["a link to another's", 'rm -rf .git; ln -s "$0/project/.git" .git'],
    ["a file that names another's", 'rm -rf .git; echo "gitdir: $0/project/.git" > .git'],
    ["an empty file", "rm -rf .git; : > .git"],
    [
      "one whose filter fails",
      "git config filter.x.clean false; git config filter.x.required true; echo '* filter=x' > .gitattributes",
    ],
    ["one that git cannot read", "echo '[broken' > .git/config; echo '[broken' > ~/.gitconfig"],
    ["one that says its files are elsewhere", "git config core.worktree /etc"],
  ])("%s gives up its files, or says why not", async (_what, text) => {
    operator.agent("breaker", {
      agent_provider: {
        template: "command",
        command: ["sh", "-c", `${text}; echo left behind > left.txt`, operator.root],
      },
    });
    const run = await operator.bottle(["start", "breaker", "--cwd", "--prompt", "go"]);
    expect(run.code).toBe(0);
    const id = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? "";
    const diff = await operator.bottle(["diff", id]);
    // Either the files come out all the same, or the bottle is kept and says why.
    if (diff.code === 0) {
      expect(diff.stdout).toContain("+left behind");
      expect(diff.stdout).not.toContain("passwd");
    } else expect(run.stderr).toContain("could not be taken out");
    await ok("rm", "--force", id);
  });
});
