import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Execution, ExitStatus } from "../../../src/contract/backend.ts";
import { joined } from "../../../src/lib/archive/pack-tar.ts";
import { execUntil, runInGuest, streamFromGuest } from "../../../src/provision/guest-command.ts";
import { copyInOverExec, copyOutOverExec, writeGuestFiles } from "../../../src/provision/transfer.ts";
import { type RawEntry, rawArchive } from "../../support/archive-bytes.ts";
import { createLocalGuest, type LocalGuest } from "../../support/local-guest.ts";

const W = "/home/node/workspace";

let area: string;
let guest: LocalGuest;

beforeEach(() => {
  area = mkdtempSync(join(tmpdir(), "bottle-test-"));
  guest = createLocalGuest();
});

afterEach(async () => {
  await guest.remove();
  rmSync(area, { recursive: true, force: true });
});

describe("copying in", () => {
  it("makes a file with its mode, its content and the agent's ownership, folders on the way included", async () => {
    writeFileSync(join(area, "run.sh"), "#!/bin/sh\necho hi\n");
    chmodSync(join(area, "run.sh"), 0o755);
    await copyInOverExec(guest.exec, join(area, "run.sh"), "/home/node/new/dir/run.sh", { user: "agent" });
    expect(await guest.sh("stat -c '%a %u %g' ~/new/dir/run.sh ~/new/dir; ~/new/dir/run.sh")).toBe(
      "755 1000 1000\n755 1000 1000\nhi\n",
    );
  });

  it("takes a mode for every file instead of their own", async () => {
    mkdirSync(join(area, "d"));
    writeFileSync(join(area, "d", "key"), "x");
    await copyInOverExec(guest.exec, join(area, "d"), "/home/node/d", { user: "agent", mode: 0o600 });
    expect(await guest.sh("stat -c %a ~/d ~/d/key")).toBe("700\n600\n");
  });

  it("copies as the guest's root what only root may write", async () => {
    writeFileSync(join(area, "ca.pem"), "cert");
    await guest.copyIn(join(area, "ca.pem"), "/etc/ssl/bottle/ca.pem", { user: "root", mode: 0o644 });
    expect(await guest.sh("cat /etc/ssl/bottle/ca.pem; stat -c %a /etc/ssl/bottle/ca.pem")).toBe("cert644\n");
  });

  it("copies odd names, links as links, empty folders and 10 MB to the byte", async () => {
    const tree = join(area, "tree");
    mkdirSync(join(tree, "empty"), { recursive: true });
    writeFileSync(join(tree, "--checkpoint-action=exec=touch x"), "dash");
    writeFileSync(join(tree, "new\nline"), "n");
    writeFileSync(joined(tree, Buffer.from([0xff, 0xfe])), "bytes");
    writeFileSync(join(tree, "n".repeat(250)), "long");
    symlinkSync("/etc/shadow", join(tree, "absolute"));
    const big = Buffer.alloc(10 * 1024 * 1024, "0123456789abcdef");
    writeFileSync(join(tree, "big"), big);
    await guest.copyIn(tree, `${W}/tree`, { user: "agent" });
    const inside = guest.hostPath(`${W}/tree`);
    expect(readdirSync(inside, { encoding: "buffer" }).sort(Buffer.compare)).toEqual(
      readdirSync(tree, { encoding: "buffer" }).sort(Buffer.compare),
    );
    expect(readlinkSync(join(inside, "absolute"))).toBe("/etc/shadow");
    expect(readFileSync(join(inside, "big")).equals(big)).toBe(true);
    expect(readFileSync(join(inside, "new\nline"), "utf8")).toBe("n");
    expect(existsSync(join(inside, "x"))).toBe(false);
  });

  it("replaces a file that is there, and a link in its place instead of what it points to", async () => {
    writeFileSync(join(area, "f"), "new");
    await guest.sh("echo old > target; ln -s target f");
    await guest.copyIn(join(area, "f"), `${W}/f`, { user: "agent" });
    expect(await guest.sh("cat target f")).toBe("old\nnew");
  });

  it("says what tar says when the guest cannot write there", async () => {
    writeFileSync(join(area, "f"), "x");
    await expect(copyInOverExec(guest.exec, join(area, "f"), "/usr/f", { user: "agent" })).rejects.toThrow(
      /could not write \/usr\/f: .*(denied|Read-only)/,
    );
  });

  it("names a source that is not there, and refuses paths that are not absolute or climb", async () => {
    const copy = (from: string, to: string): Promise<void> =>
      copyInOverExec(guest.exec, from, to, { user: "agent" });
    await expect(copy(join(area, "none"), `${W}/f`)).rejects.toThrow(/cannot read .*none: ENOENT/);
    writeFileSync(join(area, "f"), "x");
    for (const to of ["f", "../f", "/home/../etc/f", "/", "/a\0b"])
      await expect(copy(join(area, "f"), to)).rejects.toThrow();
  });

  it("writes planned files with their modes in one go", async () => {
    await writeGuestFiles(guest.exec, [
      { path: "/home/node/.claude/settings.json", content: "{}", mode: 0o600 },
      { path: "/home/node/.prompt", content: "näh\n", mode: 0o644 },
    ]);
    expect(await guest.sh("stat -c %a ~/.claude/settings.json ~/.prompt; cat ~/.prompt")).toBe(
      "600\n644\nnäh\n",
    );
  });
});

describe("copying out", () => {
  it("brings a folder with modes, links within, empty folders and odd names", async () => {
    await guest.sh(
      "mkdir -p d/e d/empty; echo x > d/e/f; chmod 750 d/e; chmod 711 d/e/f; ln -s e/f d/l; touch 'd/ü -x'",
    );
    const to = join(area, "out");
    await guest.copyOut(`${W}/d`, to);
    expect(readdirSync(to).sort()).toEqual(["e", "empty", "l", "ü -x"]);
    expect(lstatSync(join(to, "e")).mode & 0o777).toBe(0o750);
    expect(lstatSync(join(to, "e/f")).mode & 0o777).toBe(0o711);
    expect(readlinkSync(join(to, "l"))).toBe("e/f");
  });

  it("brings one file, also one whose name starts with a dash", async () => {
    await guest.sh("echo hello > ./-rf");
    await guest.copyOut(`${W}/-rf`, join(area, "f"));
    expect(readFileSync(join(area, "f"), "utf8")).toBe("hello\n");
  });

  it("keeps what is already at the destination", async () => {
    writeFileSync(join(area, "mine"), "mine");
    await guest.sh("echo theirs > f");
    await expect(guest.copyOut(`${W}/f`, join(area, "mine"))).rejects.toThrow(/is there already/);
    expect(readFileSync(join(area, "mine"), "utf8")).toBe("mine");
  });

  it("says when there is nothing, and leaves nothing", async () => {
    await expect(guest.copyOut(`${W}/none`, join(area, "x"))).rejects.toThrow(
      /there is no \/home\/node\/workspace\/none/,
    );
    expect(readdirSync(area)).toEqual([]);
  });

  it("leaves out links to the outside, fifos, set-id bits and git's commands, and names each", async () => {
    await guest.sh(`
      mkdir -p d/.git/hooks d/.git/objects d/.git/refs/heads d/sub/.GIT d/bare/objects d/bare/refs d/bare/hooks d/wt
      ln -s /etc/passwd d/abs; ln -s ../../.. d/up; mkfifo d/pipe
      echo suid > d/suid; chmod 4755 d/suid
      echo 'ref: refs/heads/main' > d/.git/HEAD
      echo '[core]' > d/.git/config; echo evil > d/.git/hooks/pre-commit; echo evil > d/sub/.GIT/CONFIG
      echo x > d/bare/HEAD; echo evil > d/bare/config; echo evil > d/bare/hooks/post-checkout
      echo 'gitdir: ../bare' > d/wt/.git
      echo evil > 'd/.git./config' 2>/dev/null || { mkdir 'd/.git.'; echo evil > 'd/.git./config'; }
      echo fine > d/config
    `);
    const leftOut = new Map<string, string>();
    const to = join(area, "out");
    await copyOutOverExec(guest.exec, `${W}/d`, to, (path, reason) => void leftOut.set(path, reason));
    expect([...leftOut.keys()].sort()).toEqual(
      [
        ".git./config",
        ".git/config",
        ".git/hooks",
        ".git/hooks/pre-commit",
        "abs",
        "bare/config",
        "bare/hooks",
        "pipe",
        "sub/.GIT/CONFIG",
        "up",
        "wt/.git",
      ].sort(),
    );
    expect(lstatSync(join(to, "suid")).mode & 0o7000).toBe(0);
    expect(readdirSync(join(to, ".git")).sort()).toEqual(["HEAD", "objects", "refs"]);
    expect(readFileSync(join(to, "config"), "utf8")).toBe("fine\n");
    expect(readdirSync(join(to, "bare")).sort()).toEqual(["HEAD", "objects", "refs"]);
  });

  it("copies the rest when a file cannot be read, and passes on what tar says", async () => {
    await guest.sh("mkdir d; echo x > d/open; echo y > d/shut; chmod 000 d/shut");
    const told: string[] = [];
    await copyOutOverExec(guest.exec, `${W}/d`, join(area, "out"), (path, reason) =>
      told.push(`${path}: ${reason}`),
    );
    expect(readdirSync(join(area, "out"))).toEqual(["open"]);
    expect(told.join()).toMatch(/shut: Cannot open: Permission denied/);
  });
});

/** An execution that writes what a lying guest wants. */
function lying(
  bytes: Buffer | Readable,
  status: ExitStatus = { kind: "exited", code: 0 },
): () => Promise<Execution> {
  return async () => ({
    stdin: new PassThrough().resume(),
    stdout: bytes instanceof Readable ? bytes : Readable.from([bytes], { objectMode: false }),
    stderr: Readable.from([]),
    exit: Promise.resolve(status),
    kill() {},
    resize() {},
  });
}

describe("a guest that lies about its tar", () => {
  const to = (): string => join(area, "sub", "out");
  const attempt = (...entries: readonly (RawEntry | Buffer)[]): Promise<void> =>
    copyOutOverExec(lying(rawArchive(...entries)), `${W}/d`, to());

  beforeEach(() => mkdirSync(join(area, "sub")));

  it.each([
    ["an absolute name", [{ name: "/tmp/bottle-canary", content: "x" }]],
    ["a climbing name", [{ name: "d/../../canary", content: "x" }]],
    [
      "a name beside the one asked for",
      [
        { name: "d", flag: "5" },
        { name: "e", content: "x" },
      ],
    ],
    [
      "a link in place of the folder",
      [
        { name: "d", flag: "2", target: "/etc" },
        { name: "d/passwd", content: "x" },
      ],
    ],
    [
      "a file through a link",
      [
        { name: "d/l", flag: "2", target: "." },
        { name: "d/l/x", content: "x" },
      ],
    ],
    ["a hard link to the outside", [{ name: "d/h", flag: "1", target: "../canary" }]],
    ["an endless size", [{ name: "d/big", size: 0o77777777777 }]],
    ["noise", [Buffer.alloc(2048, 7)]],
  ] as const)("is refused for %s, and the disk is as it was", async (_what, entries) => {
    await expect(attempt(...entries)).rejects.toThrow(/refused to copy/);
    expect(readdirSync(area)).toEqual(["sub"]);
    expect(readdirSync(join(area, "sub"))).toEqual([]);
    expect(existsSync("/tmp/bottle-canary")).toBe(false);
  });

  it("leaves nothing when the guest goes away in the middle", async () => {
    const whole = rawArchive({ name: "d/f", content: "x".repeat(5000) });
    const exec = lying(whole.subarray(0, 2000), { kind: "lost", reason: "killed\u001b[2J" });
    await expect(copyOutOverExec(exec, `${W}/d`, to())).rejects.toThrow(/was lost: killed\\u\{1b\}/);
    expect(readdirSync(join(area, "sub"))).toEqual([]);
  });
});

describe("a program in the guest that misbehaves", () => {
  it("is ended when it neither reads nor writes", async () => {
    const started = streamFromGuest(guest.exec, ["sleep", "600"], { maxSilenceMs: 200 }, (out) =>
      out.toArray(),
    );
    await expect(started).rejects.toThrow(/sleep 600 was silent for 0.2 s/);
  });

  it("is ended when its input cannot be read, with that error", async () => {
    const stdin = new Readable({ read() {} });
    const running = runInGuest(guest.exec, ["cat"], { stdin });
    stdin.destroy(new Error("the disk broke"));
    await expect(running).rejects.toThrow("the disk broke");
  });

  it("is judged by its exit code when it ends without reading its input", async () => {
    const stdin = Readable.from([Buffer.alloc(5_000_000)], { objectMode: false });
    const result = await runInGuest(guest.exec, ["sh", "-c", "echo no >&2; exit 3"], { stdin });
    expect(result).toMatchObject({ code: 3, stderr: "no" });
  });

  it("cannot hold us by a process in the background that keeps its stderr", async () => {
    const result = await runInGuest(guest.exec, ["sh", "-c", "sleep 30 >/dev/null & echo done"]);
    expect(result.stdout.toString()).toBe("done\n");
  }, 20_000);

  it("stops when the caller does", async () => {
    const stopper = new AbortController();
    const running = runInGuest(guest.exec, ["sleep", "600"], { signal: stopper.signal });
    setTimeout(() => stopper.abort(new Error("enough")), 50);
    await expect(running).rejects.toThrow("enough");
  });

  it("is not listened to beyond the limit of all that it is one of, however it trickles", async () => {
    const late = new AbortController();
    const ran: Execution[] = [];
    const exec = execUntil(late.signal, async (...call) => {
      const execution = await guest.exec(...call);
      ran.push(execution);
      return execution;
    });
    const trickle = ["sh", "-c", "while echo x; do sleep 0.01; done"] as const;
    const running = runInGuest(exec, [...trickle]);
    const direct = await exec([...trickle]);
    direct.stdout.on("error", () => {}).resume();
    await runInGuest(exec, ["true"]);
    late.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    for (const { exit } of ran.slice(0, 2))
      expect(await exit).toEqual({ kind: "signalled", signal: "SIGKILL" });
    await expect(runInGuest(exec, ["true"])).rejects.toThrow("enough");
    expect(ran).toHaveLength(3);
  });

  it("has its complaint shown escaped", async () => {
    const result = await runInGuest(guest.exec, ["sh", "-c", "printf '\\033]52;c;aGk=\\007bad' >&2; exit 1"]);
    expect(result.stderr).toBe("\\u{1b}]52;c;aGk=\\u{7}bad");
  });
});

it("real tar reads what we pack, and we read what real tar packs in each of its formats", async () => {
  const tree = join(area, "tree");
  mkdirSync(join(tree, "d".repeat(150)), { recursive: true });
  writeFileSync(join(tree, "d".repeat(150), "f".repeat(120)), "deep");
  symlinkSync("t".repeat(180), join(tree, "long-link"));
  writeFileSync(join(tree, "ü"), "u");
  const { extractTar } = await import("../../../src/lib/archive/extract-tar.ts");
  for (const format of ["gnu", "pax", "oldgnu"]) {
    const tar = spawn("tar", ["-C", area, `--format=${format}`, "-cf", "-", "tree"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const to = join(area, `from-${format}`);
    await extractTar(tar.stdout, to, { maxEntries: 100, maxBytes: 1000, root: Buffer.from("tree") });
    expect(readdirSync(to).sort()).toEqual(readdirSync(tree).sort());
    expect(readFileSync(join(to, "d".repeat(150), "f".repeat(120)), "utf8")).toBe("deep");
    expect(readlinkSync(join(to, "long-link"))).toBe("t".repeat(180));
  }
});
