/**
 * A hostile guest against the host, by way of its work. Each test leaves a canary where something of the guest's
 * would put it if it ran on the host; where it matters, a control shows that the trap is one.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { deflateSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Execution, Guest } from "../../../src/contract/backend.ts";
import { gitIdentityFile } from "../../../src/provision/git-identity.ts";
import { writeGuestFiles } from "../../../src/provision/transfer.ts";
import { exportWork } from "../../../src/provision/workspace/export.ts";
import { importWorkspace } from "../../../src/provision/workspace/import.ts";
import { pullWork } from "../../../src/provision/workspace/pull.ts";
import { makeWorkRepository, receivePack } from "../../../src/provision/workspace/receive-pack.ts";
import { type BaseSnapshot, emptyBase, snapshotBase } from "../../../src/provision/workspace/snapshot.ts";
import { diffWork, type WorkSummary } from "../../../src/provision/workspace/work.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";
import { createOperator, type Operator } from "../../support/operator.ts";

const ID = "evil-abcde";
const SETTINGS = { objectFormat: "sha1", alternate: undefined, shallow: [] } as const;
const W = "/home/node/workspace";

let operator: Operator;
let guest: LocalGuest;
let work: string;
let base: BaseSnapshot;

beforeEach(async () => {
  operator = createOperator();
  guest = createLocalGuest();
  mkdirSync(operator.path("state"));
  work = operator.path("state/work.git");
  await writeGuestFiles(guest.exec, [gitIdentityFile({ name: "Agent", email: "agent@example.com" })]);
  operator.repository("repo", { "a.txt": "one\n", "b/c.txt": "c\n" });
  const options = { scratchDir: operator.path("state"), progress: () => {} };
  base = await snapshotBase(guest, await importWorkspace(guest, operator.path("repo"), options));
});

afterEach(async () => {
  expect(operator.canaryIsUnharmed()).toBe(true);
  // Whatever was exported reads no setting but ours and has no hook.
  if (existsSync(work)) {
    expect(readFileSync(join(work, "config"), "utf8")).toMatch(
      /^\[core\]\n\trepositoryformatversion = [01]\n\tfilemode = true\n\tbare = true\n/,
    );
    expect(readdirSync(work)).not.toContain("hooks");
  }
  expect(readdirSync(operator.path("state")).filter((name) => name !== "work.git")).toEqual([]);
  await guest.remove();
  operator.remove();
});

function take(from: Guest = guest): Promise<WorkSummary> {
  return exportWork(from, base, work, { id: ID, operatorFolder: operator.path("repo") });
}

async function diff(): Promise<string> {
  return Buffer.concat((await diffWork(work).toArray()) as Buffer[]).toString();
}

const inWork = (...args: readonly string[]): string =>
  execFileSync("git", ["--git-dir", work, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** What an operator does next; none of it may run anything of the guest's. */
async function operatorLooksAround(): Promise<void> {
  await pullWork(work, ID, operator.path("repo"));
  operator.git("repo", "status");
  operator.git("repo", "log", "-p", "--all");
  operator.git("repo", "diff", "main", `refs/bottles/${ID}/base`);
  operator.git("repo", "fsck");
}

/** The guest, but for what it says where `match` is among the arguments of git. */
function lyingAbout(match: string, answer: (honest: Buffer) => Buffer | Readable): Guest {
  const exec: Guest["exec"] = async (argv, options) => {
    const honest = await guest.exec(argv, options);
    if (!argv.includes(match)) return honest;
    const stdout = new PassThrough();
    honest.stdout.toArray().then(
      (chunks) => {
        const said = answer(Buffer.concat(chunks as Buffer[]));
        if (said instanceof Readable) said.pipe(stdout);
        else stdout.end(said);
      },
      () => stdout.destroy(),
    );
    return { ...honest, stdout } satisfies Execution;
  };
  return { ...guest, exec };
}

describe("commands hidden in the guest's repository", () => {
  it("run in the guest at most: hooks, fsmonitor, filters, diff drivers, aliases, pagers, in every config there is", async () => {
    const touch = `touch ${operator.canary} /tmp/ran-in-guest`;
    await guest.sh(`
      for hook in pre-commit post-index-change reference-transaction post-checkout pre-auto-gc update post-receive; do
        printf '#!/bin/sh\\n${touch}\\n' > .git/hooks-$hook; mkdir -p .git/hooks; cp .git/hooks-$hook .git/hooks/$hook; chmod +x .git/hooks/$hook
      done
      cat > /tmp/evil <<'END'
[core]
	fsmonitor = "${touch}"
	hooksPath = ${W}/.git/hooks
	sshCommand = "${touch}"
	pager = "${touch}"
	alternateRefsCommand = "${touch}"
[filter "evil"]
	clean = "${touch}; cat"
	smudge = "${touch}"
[diff "evil"]
	command = "${touch}"
	textconv = "${touch}"
[diff]
	external = "${touch}"
[merge "evil"]
	driver = "${touch}"
[uploadpack]
	packObjectsHook = "${touch}"
[alias]
	diff = "!${touch}"
	pack-objects = "!${touch}"
END
      cat /tmp/evil >> .git/config; cat /tmp/evil >> ~/.gitconfig; cat /tmp/evil >> ~/.bottle/snapshot.git/config
      echo '* filter=evil diff=evil merge=evil' > .gitattributes
      echo x > x; echo changed > a.txt
    `);
    expect((await take()).empty).toBe(false);
    // The control: to the guest's own git it was a trap.
    expect(existsSync(guest.hostPath("/tmp/ran-in-guest"))).toBe(true);
    expect(await diff()).toContain("+changed");
    await operatorLooksAround();
  });

  it("cannot hide a change from the operator's diff by attributes", async () => {
    await guest.sh(
      "printf '* -diff binary\\n*.txt -text diff=none\\n' > .gitattributes; echo sneaky >> a.txt; cp .gitattributes .git/info/attributes",
    );
    await take();
    expect(await diff()).toContain("+sneaky");
  });

  it("cannot hide objects behind replacements", async () => {
    await guest.sh(`
      echo bad > a.txt; git commit -qam bad; echo good > a.txt; git commit -q --amend -am good
      git replace -f $(git rev-parse HEAD) $(git rev-parse HEAD@{1})
    `);
    await take();
    expect(await diff()).toContain("+good");
    expect(inWork("for-each-ref")).not.toContain("replace");
  });
});

describe("a .git that is not what it was", () => {
  it.each([
    ["is gone", "rm -rf .git"],
    ["is a link to another folder", "mv .git ../elsewhere; ln -s ../elsewhere .git"],
    ["is a link to a folder of the host's", "rm -rf .git; ln -s HOST_REPOSITORY/.git .git"],
    ["is a file that points elsewhere", "mv .git ../elsewhere; echo 'gitdir: ../elsewhere' > .git"],
    ["is a file that points nowhere", "rm -rf .git; echo 'gitdir: /nowhere' > .git"],
    ["is noise", "rm -rf .git; head -c 1000 /dev/urandom > .git"],
    ["calls itself bare", "git config core.bare true"],
    ["has its working tree elsewhere", "git config core.worktree /tmp"],
    ["has a broken HEAD", "echo garbage > .git/HEAD"],
    ["has a broken index", "echo garbage > .git/index"],
    ["is of a future format", "git config core.repositoryformatversion 99"],
    ["has lost its objects", "rm -rf .git/objects"],
  ])(
    "when it %s: the work comes out or stays in the bottle, the host is untouched",
    async (_what, script) => {
      await guest.sh(`echo work > new.txt; ${script}`);
      const summary = await take().catch((error: unknown) => error);
      if (summary instanceof Error) expect(summary.name).toBe("UserError");
      else {
        // Never called empty: then it would be thrown away.
        expect((summary as WorkSummary).empty).toBe(false);
        await operatorLooksAround();
      }
    },
  );

  it("is gone with the whole workspace: every file of it is shown as deleted", async () => {
    await guest.sh("cd ~; rm -rf workspace");
    const summary = await take();
    expect(summary.uncommitted).toEqual({ files: 2, insertions: 0, deletions: 2 });
  });

  it("borrows objects from paths of the host's, and gets nothing of theirs", async () => {
    const secret = operator.git("repo", "rev-parse", "HEAD").trim();
    await guest.sh(`
      mkdir -p .git/objects/info ~/.bottle/snapshot.git/objects/info
      printf '%s\\n' ${operator.path("repo/.git/objects")} /srv/project/.git/objects | tee .git/objects/info/alternates > ~/.bottle/snapshot.git/objects/info/alternates
      echo x > x
    `);
    await take();
    expect(readFileSync(join(work, "objects/info/alternates"), "utf8")).toBe(
      `${operator.path("repo/.git/objects")}\n`,
    );
    expect(secret).toMatch(/^[0-9a-f]{40}$/);
  });

  it.each([
    ["deleted", "rm -rf ~/.bottle"],
    ["emptied", "rm -rf ~/.bottle/snapshot.git/objects/??"],
    ["full of noise", "for f in $(find ~/.bottle -type f); do chmod u+w $f; echo garbage > $f; done"],
    ["locked", "touch ~/.bottle/snapshot.git/index.lock"],
    ["a link into the workspace", `rm -rf ~/.bottle/snapshot.git; ln -s ${W}/b ~/.bottle/snapshot.git`],
  ])("does not lose the work when our own store in the guest was %s", async (_what, script) => {
    await guest.sh(`echo work > new.txt; echo two >> a.txt; ${script}`);
    const summary = await take().catch((error: unknown) => error);
    if (summary instanceof Error) expect(summary.name).toBe("UserError");
    else expect(await diff()).toContain("+work");
  });

  it("compares with the last commit when the agent destroyed the state it started from, and says so", async () => {
    await guest.remove();
    guest = createLocalGuest();
    operator.write("repo/a.txt", "dirty\n");
    const options = { scratchDir: operator.path("state"), progress: () => {} };
    base = await snapshotBase(guest, await importWorkspace(guest, operator.path("repo"), options));
    await guest.sh("rm -rf ~/.bottle; echo work > new.txt");
    const summary = await take();
    expect(summary.notes.join()).toContain("destroyed the state it started from");
    expect(await diff()).toContain("+dirty");
    expect(await diff()).not.toContain("c.txt");
  });
});

describe("objects that git must not have", () => {
  /** Commits a tree whose one entry is written by hand. */
  const commitTreeWith = (mode: string, name: string): string => `
    blob=$(echo ../x | git hash-object -w --stdin)
    tree=$(node -e 'process.stdout.write(Buffer.concat([Buffer.from("${mode} ${name}\\0"), Buffer.from(process.argv[1], "hex")]))' $blob |
      git hash-object -w -t tree --stdin --literally)
    git update-ref refs/heads/evil $(git commit-tree $tree -p HEAD -m evil)
  `;

  it.each([
    ["an entry named ..", commitTreeWith("100644", ".."), /hasDotdot/],
    ["an entry named .git", commitTreeWith("100644", ".git"), /hasDotgit/],
    ["an entry named .GIT", commitTreeWith("100644", ".GIT"), /hasDotgit/],
    ["an entry named git~1", commitTreeWith("100644", "git~1"), /hasDotgit/],
    ["an entry with a slash", commitTreeWith("100644", "a/b"), /fullPathname/],
    [
      "a .gitmodules whose url is an option",
      "printf '[submodule \"x\"]\\n\\tpath = x\\n\\turl = --upload-pack=evil\\n' > .gitmodules; git add .; git commit -qm evil",
      /gitmodulesUrl/,
    ],
    [
      "a .gitmodules whose name climbs",
      "printf '[submodule \"../../x\"]\\n\\tpath = x\\n\\turl = https://example.com\\n' > .gitmodules; git add .; git commit -qm evil",
      /gitmodulesName/,
    ],
    ["a .gitmodules that is a link", commitTreeWith("120000", ".gitmodules"), /gitmodulesSymlink/],
    [
      "a commit without an author",
      "printf 'tree %s\\n\\nx' $(git write-tree) | git hash-object -w -t commit --stdin --literally | xargs git update-ref refs/heads/evil",
      /missingAuthor/,
    ],
  ])("are refused: %s", async (_what, script, complaint) => {
    await guest.sh(script);
    await expect(take()).rejects.toThrow(new RegExp(`the guest's objects were refused.*${complaint.source}`));
    expect(existsSync(work)).toBe(false);
  });

  it("are refused when they point to objects that did not come", async () => {
    const missing = "1234567890123456789012345678901234567890";
    await guest.sh(
      `printf 'tree ${missing}\\nauthor a <a@b> 1 +0000\\ncommitter a <a@b> 1 +0000\\n\\nx' | git hash-object -w -t commit --stdin --literally > /tmp/oid`,
    );
    const oid = (await guest.sh("cat /tmp/oid")).trim();
    const pack = await guest.exec(["sh", "-c", `echo ${oid} | git -C ${W} pack-objects --stdout -q`]);
    pack.stdin.end();
    const bytes = Buffer.concat((await pack.stdout.toArray()) as Buffer[]);
    await guest.sh("echo x > x");
    await expect(take(lyingAbout("pack-objects", () => bytes))).rejects.toThrow(/refused|did not send/);
    expect(existsSync(work)).toBe(false);
  });
});

describe("a pack that is none", () => {
  const header = (count: number): Buffer => {
    const bytes = Buffer.from("PACK\0\0\0\x02\0\0\0\0", "latin1");
    bytes.writeUInt32BE(count, 8);
    return bytes;
  };
  const sealed = (...parts: readonly Buffer[]): Buffer => {
    const bytes = Buffer.concat(parts);
    return Buffer.concat([bytes, createHash("sha1").update(bytes).digest()]);
  };
  /** An object's head: type and size in groups of seven bits, the first of four. */
  const head = (type: number, size: number): Buffer => {
    const bytes = [(type << 4) | (size & 15)];
    for (let rest = Math.floor(size / 16); rest > 0; rest = Math.floor(rest / 128)) {
      bytes[bytes.length - 1]! |= 0x80;
      bytes.push(rest & 127);
    }
    return Buffer.from(bytes);
  };
  const varint = (value: number): Buffer => {
    const bytes: number[] = [];
    let rest = value;
    do {
      bytes.push((rest & 127) | (rest > 127 ? 0x80 : 0));
      rest = Math.floor(rest / 128);
    } while (rest > 0);
    return Buffer.from(bytes);
  };
  const blob = (content: string, claimed = content.length): Buffer =>
    Buffer.concat([head(3, claimed), deflateSync(content)]);
  const bomb = (): Buffer => {
    const target = createHash("sha1").update("blob 1\0x").digest();
    const delta = Buffer.concat([varint(1), varint(3 * 1024 ** 3), Buffer.from([0x90, 1])]);
    return Buffer.concat([head(7, delta.length), target, deflateSync(delta)]);
  };

  it.each([
    ["nothing", Buffer.alloc(0)],
    ["noise", Buffer.alloc(100_000, "noise")],
    ["a header alone", header(1)],
    ["four billion objects announced", sealed(header(0xffff_ffff), blob("x"))],
    ["a wrong checksum", Buffer.concat([header(1), blob("x"), Buffer.alloc(20)])],
    ["an object larger than it says", sealed(header(1), blob("xxxxxxxx", 2))],
    ["an object that says 5 GB", sealed(header(1), blob("x", 5 * 1024 ** 3))],
    ["a delta that says 3 GB", sealed(header(2), blob("x"), bomb())],
    ["an unknown kind of object", sealed(header(1), head(5, 1), deflateSync("x"))],
  ])("is refused: %s", async (_what, bytes) => {
    const place = await makeWorkRepository(operator.path("alone.git"), SETTINGS);
    const stream = Readable.from([bytes], { objectMode: false });
    await expect(receivePack(place, stream, { isPartial: false })).rejects.toThrow(
      /the guest's objects were refused/,
    );
    expect(
      readdirSync(operator.path("alone.git/objects/pack")).filter((name) => !name.startsWith("tmp_")),
    ).toEqual([]);
  });

  it("is refused in the place of an honest one, and the bottle still has its work", async () => {
    await guest.sh("echo work > new.txt");
    const noise = Buffer.alloc(100_000, "noise");
    await expect(take(lyingAbout("pack-objects", () => noise))).rejects.toThrow(
      /the guest's objects were refused/,
    );
    expect(existsSync(work)).toBe(false);
    expect((await take()).empty).toBe(false);
  });

  it("is refused when it does not hold what the guest named", async () => {
    await guest.sh("echo work > new.txt");
    const honest = sealed(header(1), blob("x"));
    await expect(take(lyingAbout("pack-objects", () => honest))).rejects.toThrow(
      /named files that it did not send/,
    );
  });

  it("is refused when it never ends, at the bound", async () => {
    const place = await makeWorkRepository(operator.path("bounded.git"), SETTINGS);
    const endless = Readable.from(
      (function* () {
        yield header(1);
        yield head(3, 1024 ** 4);
        for (;;) yield Buffer.alloc(65_536, 0x55);
      })(),
      { objectMode: false },
    );
    await expect(receivePack(place, endless, { isPartial: false, maxBytes: 1_000_000 })).rejects.toThrow(
      /refused/,
    );
    expect(endless.destroyed).toBe(true);
    const left = readdirSync(join(operator.path("bounded.git"), "objects/pack"));
    const sizes = left.map((name) => statSync(join(operator.path("bounded.git"), "objects/pack", name)).size);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2_000_000);
  });
});

describe("names that the guest invents", () => {
  const claim =
    (names: readonly string[]): ((honest: Buffer) => Buffer) =>
    (honest) => {
      const oid =
        honest
          .toString("latin1")
          .split("\n")
          .find((line) => line.endsWith("refs/heads/main"))
          ?.split(" ")[0] ?? "";
      return Buffer.from(names.map((name) => `${oid} ${name}\n`).join(""), "latin1");
    };

  beforeEach(() => guest.sh("echo work > new.txt; git add new.txt; git commit -qm work"));

  it("become plain ones or none: options, climbing, reflog syntax, control bytes, shell, locks", async () => {
    const names = [
      "refs/heads/-x",
      "refs/heads/--upload-pack=touch x",
      "refs/heads/a..b",
      "refs/heads/../../../HEAD",
      "refs/heads/x@{0}",
      "refs/heads/a\u0001b",
      "refs/heads/a\u001b]52;c;x\u0007",
      "refs/heads/$(touch x)",
      "refs/heads/a b",
      "refs/heads/.hidden",
      "refs/heads/x.lock",
      "refs/heads/x.LOCK",
      "refs/heads/a//b",
      "refs/heads/a/",
      "refs/heads/@",
      `refs/heads/${"n".repeat(300)}`,
      "refs/heads/",
      "refs/replace/x",
      "refs/notes/x",
      "refs/bottles/other-abcde/heads/x",
      "HEAD",
      "../../config",
    ];
    const summary = await take(lyingAbout("for-each-ref", claim(names)));
    expect(summary.branches).toHaveLength(1);
    expect(summary.branches[0]).toMatch(/^odd-[0-9a-f]{16}$/);
    expect(inWork("for-each-ref", "--format=%(refname)").trim().split("\n")).toEqual([
      `refs/bottles/${ID}/base`,
      `refs/bottles/${ID}/heads/${summary.branches[0]}`,
      "refs/private/base",
      "refs/private/now",
    ]);
    await operatorLooksAround();
  });

  it("cannot stand in each other's way", async () => {
    const summary = await take(
      lyingAbout(
        "for-each-ref",
        claim(["refs/heads/a", "refs/heads/a/b", "refs/heads/A", "refs/heads/c/d", "refs/heads/c"]),
      ),
    );
    expect(summary.branches.slice(0, 1)).toEqual(["a"]);
    expect(summary.branches).toContain("c/d");
    expect(summary.branches).not.toContain("a/b");
  });

  it("are no ids: what is no hex, or names nothing or the wrong kind, is left out", async () => {
    const blob = (await guest.sh("git rev-parse HEAD:new.txt")).trim();
    const lines = [
      "--all refs/heads/option",
      `${"f".repeat(40)} refs/heads/nothing`,
      `${"F".repeat(40)} refs/heads/upper`,
      `${blob} refs/heads/blob`,
      `${blob} refs/tags/blob`,
      "HEAD refs/heads/symbolic",
      ` refs/heads/empty`,
    ];
    const text = Buffer.from(`${lines.join("\n")}\n`);
    // The guest's own git would not pack what is not there.
    await expect(take(lyingAbout("for-each-ref", () => text))).rejects.toThrow(
      /in the guest, git pack-objects exited/,
    );
    const present = Buffer.from(`${lines.filter((line) => !line.includes("nothing")).join("\n")}\n`);
    const summary = await take(lyingAbout("for-each-ref", () => present));
    expect(summary.branches).toEqual([]);
    expect(summary.tags).toEqual([]);
    expect(summary.notes.join()).toContain("2 refs lead to no commit");
  });

  it("are bounded in number", async () => {
    const many = Array.from({ length: 700 }, (_, index) => `refs/heads/b${index}`);
    const summary = await take(lyingAbout("for-each-ref", claim(many)));
    expect(summary.branches).toHaveLength(500);
    expect(summary.notes.join()).toContain("200 of 700");
  });

  it("do not reach the operator's terminal as they are", async () => {
    await guest.sh("printf x > \"$(printf 'a\\033]0;owned\\007')\"");
    await take();
    const stat = Buffer.concat((await diffWork(work, { stat: true }).toArray()) as Buffer[]).toString();
    expect(stat).toContain("\\033]0;owned\\a");
    expect(stat).not.toContain("\u001b");
  });
});

describe("pulling", () => {
  it("runs no hook and no program of the operator's repository either", async () => {
    const touch = `touch ${operator.canary}`;
    for (const hook of [
      "reference-transaction",
      "post-checkout",
      "post-merge",
      "pre-auto-gc",
      "post-update",
    ]) {
      operator.write(`repo/.git/hooks/${hook}`, `#!/bin/sh\n${touch}\n`);
      execFileSync("chmod", ["+x", operator.path("repo/.git/hooks", hook)]);
    }
    operator.git("repo", "config", "core.fsmonitor", touch);
    // Asked where objects are borrowed.
    operator.repository("lender", { "b.txt": "b\n" });
    operator.write("repo/.git/objects/info/alternates", `${operator.path("lender/.git/objects")}\n`);
    operator.git("repo", "config", "core.alternateRefsCommand", `${touch}; echo`);
    operator.git("repo", "config", "protocol.ext.allow", "always");
    operator.git("repo", "config", "fetch.recurseSubmodules", "true");
    operator.git("repo", "config", "fetch.prune", "true");
    operator.git("repo", "config", "gc.auto", "1");
    await guest.sh("echo work > new.txt; git add .; git commit -qm work");
    await take();
    await pullWork(work, ID, operator.path("repo"));
    expect(operator.git("repo", "for-each-ref", "--format=%(refname)", "refs/bottles")).toContain(
      "heads/main",
    );
    expect(operator.canaryIsUnharmed()).toBe(true);
    // The control.
    operator.git("repo", "update-ref", "refs/heads/control", "HEAD");
    expect(operator.canaryIsUnharmed()).toBe(false);
    execFileSync("rm", [operator.canary]);
  });

  it("of one bottle touches no ref of another's", async () => {
    const head = operator.git("repo", "rev-parse", "HEAD").trim();
    operator.git("repo", "update-ref", "refs/bottles/other-abcde/heads/main", head);
    await guest.sh("echo x > x");
    await take();
    await pullWork(work, ID, operator.path("repo"));
    expect(operator.git("repo", "rev-parse", "refs/bottles/other-abcde/heads/main").trim()).toBe(head);
  });
});

it("an agent that started with nothing cannot make the host read above its workspace", async () => {
  await guest.sh(
    "cd ~; rm -rf workspace; git init -q .; echo secret > above; git add above; git commit -qm above; mkdir workspace; echo mine > workspace/mine",
  );
  base = emptyBase();
  const summary = await take();
  expect(summary).toMatchObject({ commits: 0, branches: [], uncommitted: { files: 1 } });
});
