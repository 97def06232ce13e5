/**
 * What takes too long, is too large, comes too often or is not whole: each ends in bounded time with an answer, and leaves
 * upstream as it was, or says that it does not know. The bounds themselves are made small for these tests.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { LIMITS } from "../../../src/sidecars/git-gate/limits.ts";
import { startTarget, type Target } from "../../support/git-attack.ts";
import { must, newFolder, OWN, repoPolicy, run, snapshot, startSite } from "../../support/git-gate.ts";
import { leftovers, until } from "../../support/git-gate-process.ts";
import { packet, packOf, rawPush } from "../../support/raw-push.ts";
import { stallingRelay } from "../../support/stalling-relay.ts";

const USUAL = { ...LIMITS };
const bound = (change: Partial<Record<keyof typeof LIMITS, number>>): void =>
  void Object.assign(LIMITS, change);
/** Far more than any of the bounds that are set here, and far less than the usual ones. */
const SOON_MS = 20_000;

let target: Target;
const closing: (() => unknown)[] = [];
const PATH = process.env["PATH"];

/** A `git` that comes first, and is this text where its words match the pattern; the real one is `$git`. */
async function insteadOfGit(pattern: string, text: string): Promise<string> {
  const folder = newFolder();
  const git = await must(["sh", "-c", "command -v git"]);
  const script = `#!/bin/sh\ngit=${git} folder=${folder}\ncase "$*" in ${pattern})\n${text}\n;; esac\nexec $git "$@"\n`;
  writeFileSync(join(folder, "git"), script, { mode: 0o755 });
  process.env["PATH"] = `${folder}:${PATH}`;
  closing.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

beforeEach(async () => {
  target = await startTarget();
});
afterEach(async () => {
  Object.assign(LIMITS, USUAL);
  if (PATH !== undefined) process.env["PATH"] = PATH;
  await target.close();
  for (const close of closing.splice(0).reverse()) await close();
});

async function soon<T>(work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("it was not bounded")), SOON_MS);
  });
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

const mirrorOf = ({ site }: Target): string => join(site.config.stateDir, "app.git");

describe("what takes too long", () => {
  it("at the upstream takes too long to be waited for: neither ok nor no, and the next fetch shows the truth", async () => {
    const file = join(target.bare, "hooks", "pre-receive");
    await writeFile(file, `#!/bin/sh\nsleep 4\n`, { mode: 0o755 });
    const copy = await target.copy();
    const id = await copy.commit({ "a.txt": "a\n" });
    bound({ forwardMs: 1_500, killMs: 200 });
    const { code, stderr } = await soon(copy.push("slow"));
    expect(code).not.toBe(0);
    expect(stderr).not.toMatch(/denied: |rejected/);
    expect(stderr).toContain("did not say whether it took the push; fetch to see");
    expect(target.site.events("git.unresolved")).toHaveLength(1);
    Object.assign(LIMITS, USUAL);
    const at = (): Promise<string> => must(["git", "--git-dir", target.bare, "for-each-ref", OWN]);
    await copy.git("fetch", "-q");
    const seen = await copy.try("rev-parse", "-q", "--verify", "origin/bottle/coder-ab1cd/slow");
    expect(seen.stdout.trim() === id).toBe((await at()).includes(id));
  });

  it("while it is looked at is not sent on", async () => {
    await insteadOfGit('*"cat-file --buffer"*', "exec sleep 60");
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n" });
    const before = await snapshot(target.bare);
    bound({ inspectMs: 200, killMs: 200 });
    const { code, stderr } = await soon(copy.push("looked"));
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: inspection-failed: ");
    expect(await snapshot(target.bare)).toBe(before);
  });

  it("while git puts it together is not waited for", async () => {
    const data = Buffer.alloc(250 * 1024 ** 2);
    const before = await snapshot(target.bare);
    bound({ receiveMs: 20, killMs: 200 });
    const tip = "ab".repeat(20);
    const commands = [`${"0".repeat(40)} ${tip} ${OWN}/bomb`];
    const pack = packOf([{ type: "blob", data }]);
    const { text } = await soon(rawPush(`${target.site.url}/app.git`, commands, pack));
    expect(text).toContain("denied: pack-refused: ");
    expect(text).toContain(`ng ${OWN}/bomb not taken`);
    expect(await snapshot(target.bare)).toBe(before);
    await until(() => leftovers(mirrorOf(target)).length === 0);
  });

  it("because the upstream does not answer fails with the reason", async () => {
    const silent = createServer((socket) => socket.on("error", () => {}));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : 0;
    const url = `https://127.0.0.1:${port}/x.git`;
    const site = await startSite({ upstream: { kind: "https", url, ca: [] } });
    closing.push(() => {
      silent.close();
      return site.close();
    });
    bound({ listMs: 500, killMs: 200 });
    const listed = await soon(run(["git", "ls-remote", `${site.url}/app.git`]));
    expect(listed.code).not.toBe(0);
    expect(listed.stderr).toContain("denied: upstream-unreachable: the upstream did not answer in time");
  });

  it("because the operator does not answer is refused", async () => {
    await target.site.reload({}, { review: true });
    bound({ reviewMs: 300 });
    await soon(
      target.refuses("review-unanswered", async (copy) => {
        await copy.commit({ "a.txt": "a\n" });
        return await copy.push("asked");
      }),
    );
  });

  it("because the client stops in the middle is cut off, and leaves nothing", async () => {
    bound({ idleMs: 700, killMs: 200 });
    const before = await snapshot(target.bare);
    const copy = await target.copy();
    await copy.commit({ "half.bin": randomBytes(600_000) });
    const relay = await stallingRelay(Number(new URL(target.site.url).port), 300_000);
    closing.push(() => relay.close());
    const url = `http://127.0.0.1:${relay.port}/app.git`;
    const pushing = copy.try("-c", "http.postBuffer=65536", "push", url, `HEAD:${OWN}/half`);
    expect((await soon(pushing)).code).not.toBe(0);
    expect(await snapshot(target.bare)).toBe(before);
    await until(() => leftovers(mirrorOf(target)).length === 0);
  });

  it("because the bottle ends: what is in progress ends, and nothing new is let in", async () => {
    await target.site.reload({}, { review: true });
    bound({ drainMs: 1_500 });
    const before = await snapshot(target.bare);
    const copy = await target.copy();
    await copy.commit({ "a.txt": "a\n" });
    const pushing = copy.push("late");
    await until(() => target.site.messages.some(({ type }) => type === "ask"));
    const agent = request(`${target.site.url}/app.git/HEAD`);
    const draining = target.site.gate.drain();
    agent.destroy();
    agent.on("error", () => {});
    expect((await soon(pushing)).code).not.toBe(0);
    await soon(draining);
    expect(await snapshot(target.bare)).toBe(before);
  });
});

describe("what is too large or too much", () => {
  it.each<readonly [string, string, Partial<typeof USUAL>, Record<string, string | Buffer>, string]>([
    ["a commit", "object-too-large", { objectBytes: 1_000 } as never, { "a.txt": "a\n" }, "x".repeat(2_000)],
    [
      "what objects unpack to",
      "too-many-objects",
      { inspectedBytes: 3_000 } as never,
      { "a.txt": "a".repeat(4_000) },
      "m",
    ],
    [
      "what archives unpack to",
      "archive-too-large",
      { unpackedBytes: 50_000 } as never,
      { "a.gz": gzipSync(Buffer.alloc(90_000)) },
      "m",
    ],
    [
      "a file of archive members",
      "archive-too-large",
      { members: 3 } as never,
      { "a.bin": Buffer.concat(Array.from({ length: 5 }, (_, i) => gzipSync(`${i}`))) },
      "m",
    ],
    [
      "a .gitattributes",
      "inspection-failed",
      { rulesFileBytes: 100 } as never,
      { ".gitattributes": "# x\n".repeat(40) },
      "m",
    ],
  ])("%s is refused: %s", async (_, code, limits, files, message) => {
    bound(limits);
    await target.refuses(code, async (copy) => {
      await copy.commit(files, message);
      return await copy.push("large");
    });
  });

  it("rules files are refused: each would be held with its path", async () => {
    const files = { ".gitattributes": "*.a text\n", "b/.gitattributes": "*.b text\n", "c/.gitmodules": "\n" };
    bound({ rulesFiles: 2 });
    await target.refuses("too-many-files", async (copy) => {
      await copy.commit(files);
      return await copy.push("rules");
    });
    bound({ rulesFiles: 3 });
    const copy = await target.copy();
    await copy.commit(files);
    expect(await copy.push("rules")).toMatchObject({ code: 0 });
  });

  it("pointers to large files are refused, also where the first of them are excepted", async () => {
    const pointer = (name: string): string =>
      `version https://git-lfs.github.com/spec/v1\noid sha256:${name.repeat(64)}\nsize 1\n`;
    const exceptions = ["a", "b"].map((subject) => ({ repo: "app", code: "lfs-pointer", subject }));
    await target.site.reload({ exceptions });
    bound({ pointers: 1 });
    await target.refuses("lfs-pointer", async (copy) => {
      await copy.commit({ a: pointer("a"), b: pointer("b") });
      return await copy.push("pointers");
    });
    bound({ pointers: 2 });
    const copy = await target.copy();
    await copy.commit({ a: pointer("a"), b: pointer("b") });
    expect(await copy.push("pointers")).toMatchObject({ code: 0 });
  });

  it("paths that a merge takes back are refused: each would be held", async () => {
    const copy = await target.copy();
    await copy.commit({ "a.txt": "a\n" });
    await copy.git("switch", "-q", "-c", "theirs", "origin/main");
    await copy.commit({ ".github/workflows/a.yml": "a\n", ".github/workflows/b.yml": "b\n" });
    await copy.git("push", "-q", target.bare, "theirs:main");
    await copy.git("fetch", "-q");
    await copy.git("switch", "-q", "-");
    await copy.git("merge", "-q", "-s", "ours", "-m", "merge", "origin/main");
    expect((await copy.push("merge")).stderr).toContain("denied: path-protected: ");
    bound({ rulesFiles: 1 });
    expect((await copy.push("merge")).stderr).toContain("denied: inspection-failed: ");
  });

  it("requests at once are told to come again", async () => {
    bound({ exchanges: 0 });
    const { code, stderr } = await run(["git", "ls-remote", `${target.site.url}/app.git`]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: overloaded: ");
  });

  it("regression: connections are closed, and those that there are go on", async () => {
    bound({ connections: 3 });
    const { port } = new URL(target.site.url);
    const dial = (): Promise<Socket> =>
      new Promise((resolve) => {
        const socket = connect(Number(port), "127.0.0.1", () => resolve(socket));
        socket.on("error", () => {});
        closing.push(() => socket.destroy());
      });
    const first = await Promise.all([dial(), dial(), dial()]);
    await soon(once(await dial(), "close"));
    const [one] = first;
    one?.write("GET /app.git/info/refs?service=git-upload-pack HTTP/1.1\r\nHost: gate\r\n\r\n");
    expect(String((await soon(once(one ?? first[0], "data")))[0])).toContain("HTTP/1.1 200");
    for (const socket of first) socket.destroy();
    await until(async () => (await run(["git", "ls-remote", `${target.site.url}/app.git`])).code === 0);
  });

  it("what makes git work hard waits for its turn, and leaves it to the next one", async () => {
    bound({ working: 1 });
    const folder = await insteadOfGit(
      "*http-backend*",
      '[ "$REQUEST_METHOD" = POST ] && echo begins >>$folder/seen; $git "$@"; code=$?; [ "$REQUEST_METHOD" = POST ] && sleep 0.2 && echo ends >>$folder/seen; exit $code',
    );
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    const asking = Array.from({ length: 4 }, () => run(["git", "ls-remote", `${site.url}/app.git`]));
    expect((await soon(Promise.all(asking))).map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    const seen = readFileSync(join(folder, "seen"), "utf8");
    expect(seen).toBe("begins\nends\n".repeat(4));
  });

  it("pushes that nobody has decided fill the disk up to a bound, and one that waits keeps nobody from working", async () => {
    bound({ working: 1, heldBytes: 100_000, framingBytes: 1_000 });
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    const packBytes = 600_000;
    await site.reload({}, { review: true, limits: { ...repoPolicy().limits, packBytes } });
    const asks = (): string[] =>
      site.messages.flatMap((message) => (message.type === "ask" ? [message.ask] : []));
    const copies = [await site.clone(), await site.clone()] as const;
    for (const [i, copy] of copies.entries()) await copy.commit({ [`${i}.bin`]: randomBytes(400_000) });
    const first = copies[0].push("first");
    await until(() => asks().length === 1);
    const second = await soon(copies[1].push("second"));
    expect(second.stderr).toContain("denied: overloaded: ");
    expect(second.stderr).toContain("not decided yet");
    site.gate.answer(asks()[0] ?? "", { decision: "refuse" });
    expect((await soon(first)).stderr).toContain("denied: review-refused: ");
    const again = copies[1].push("second");
    await until(() => asks().length === 2);
    site.gate.answer(asks()[1] ?? "", { decision: "approve" });
    expect((await soon(again)).code).toBe(0);
  });

  it("a pack that goes on and on is heard to its end, and told why it was not taken", async () => {
    const packBytes = 200_000;
    await target.site.reload({}, { limits: { ...repoPolicy().limits, packBytes } });
    const before = await snapshot(target.bare);
    const { code, stderr } = await soon(
      target.copy().then(async (copy) => {
        await copy.commit({ "a.bin": randomBytes(6_000_000) });
        return await copy.try("-c", "http.postBuffer=65536", "push", "origin", `HEAD:${OWN}/long`);
      }),
    );
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: pack-refused: ");
    expect(stderr).toContain('ask: explain_denial {"code":"pack-refused","target":"push app ');
    expect(await snapshot(target.bare)).toBe(before);
    await until(() => leftovers(mirrorOf(target)).length === 0);
  });
});

describe("what is not whole", () => {
  it("an answer of git's that was cut short is no answer", async () => {
    await insteadOfGit('*"cat-file --buffer"*', 'head -n 2 | $git "$@"; exit 0');
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n" });
    const before = await snapshot(target.bare);
    const { code, stderr } = await copy.push("short");
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: inspection-failed: ");
    expect(stderr).toContain("git did not show all that the push brings");
    expect(await snapshot(target.bare)).toBe(before);
  });

  it.each([
    ["objects", '*"rev-list --objects"*'],
    ["contents", '*"cat-file --buffer"*'],
    ["paths", '*"diff-tree"*'],
    ["commits", '*"rev-list --reverse"*'],
    ["sizes of rules", '*"cat-file --batch-check=%(objecttype) %(objectsize)"*'],
    ["rules", '*"cat-file --batch=%(objectname) %(objectsize)"'],
    ["types", '*"cat-file --batch-check=%(objecttype)"'],
  ])("a git that fails while it shows %s sends nothing on", async (_, pattern) => {
    await insteadOfGit(pattern, '$git "$@" | head -c 60; exit 3');
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n", ".gitattributes": "*.txt text\n" });
    const before = await snapshot(target.bare);
    const { code, stderr } = await copy.push("failing");
    expect(code).not.toBe(0);
    expect(stderr).toContain("denied: inspection-failed: ");
    expect(await snapshot(target.bare)).toBe(before);
  });

  it("a history that a shallow clone pretends to be whole", async () => {
    const copy = await target.copy();
    await copy.git("checkout", "-q", "--orphan", "other");
    for (const name of ["a", "b", "c"]) await copy.commit({ [name]: name });
    const shallow = join(target.site.folder, "shallow");
    await must(["git", "clone", "-q", "--depth=1", `file://${copy.folder}`, shallow]);
    const { stderr } = await target.refuses("inspection-failed", async () =>
      run(["git", "push", `${target.site.url}/app.git`, `HEAD:${OWN}/shallow`], { cwd: shallow }),
    );
    expect(stderr).toContain("shallow update not allowed");
  });
});

describe("Git-Protocol", () => {
  it.each([
    ["version=2", "version=2"],
    ["version=1", "version=1"],
    ["version=2:evil=1", ""],
    ["version=3", ""],
    ["version=2\tx", ""],
    ["$(touch x)", ""],
  ])("%j becomes %j", async (header, passed) => {
    const folder = await insteadOfGit("*http-backend*", 'printf "%s\\n" "$GIT_PROTOCOL" >>$folder/seen');
    const site = await startSite({ upstream: { kind: "local", path: target.bare } });
    closing.push(() => site.close());
    await new Promise((resolve, reject) => {
      const url = `${site.url}/app.git/info/refs?service=git-upload-pack`;
      const sent = request(url, { headers: { "Git-Protocol": header } }, (response) => {
        response.resume().on("end", resolve);
      });
      sent.on("error", reject);
      sent.end();
    });
    expect(readFileSync(join(folder, "seen"), "utf8")).toBe(`${passed}\n`);
  });
});

describe("I8: what cannot be recorded", () => {
  it("is what a fetch without git's first question would be: it is looked for and told like any other", async () => {
    const { site, bare } = target;
    const copy = await target.copy();
    await copy.commit({ "a.txt": "a\n" });
    await must(["git", "push", "-q", bare, "HEAD:refs/heads/later"], { cwd: copy.folder });
    const id = (await copy.git("rev-parse", "HEAD")).trim();
    const ask = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const type = "application/x-git-upload-pack-request";
        const headers = { "Content-Type": type, "Git-Protocol": "version=2" };
        const url = `${site.url}/app.git/git-upload-pack`;
        const sent = request(url, { method: "POST", headers }, (response) => {
          const chunks: Buffer[] = [];
          response.on("data", (chunk: Buffer) => chunks.push(chunk));
          response.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
        });
        sent.on("error", reject);
        sent.end(Buffer.concat([packet("command=ls-refs\n"), Buffer.from("00010000")]));
      });
    const before = site.events("git.fetched").length;
    expect(await ask()).not.toContain(id);
    expect(site.events("git.fetched")).toHaveLength(before);
    bound({ fetchedMs: 0 });
    expect(await ask()).toContain(id);
    expect(site.events("git.fetched")).toHaveLength(before + 1);
  });

  it("is neither sent on nor shown", async () => {
    let isBroken = false;
    const asked: string[] = [];
    const site = await startSite({
      upstream: { kind: "local", path: target.bare },
      async recording(event) {
        asked.push(event);
        if (isBroken) throw new Error("no space left");
      },
    });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n" });
    expect(await copy.push("one")).toMatchObject({ code: 0 });
    expect(asked).toEqual(["git.fetched", "git.forwarding"]);
    const order = site.messages.flatMap((each) => (each.type === "event" ? [each.event] : []));
    expect(order).toEqual(["git.fetched", "git.forwarding", "git.pushed"]);

    isBroken = true;
    const before = await snapshot(target.bare);
    await copy.commit({ "a.txt": "b\n" });
    const pushed = await copy.push("two");
    expect(pushed.code).not.toBe(0);
    expect(pushed.stderr).toContain("denied: log-unavailable: ");
    const fetched = await copy.try("fetch");
    expect(fetched.code).not.toBe(0);
    expect(fetched.stderr).toContain("denied: log-unavailable: ");
    expect(await snapshot(target.bare)).toBe(before);
  });

  it("is waited for: until then nothing goes to the upstream", async () => {
    let write: () => void = () => {};
    const written = new Promise<void>((resolve) => {
      write = resolve;
    });
    let isAsked = false;
    const site = await startSite({
      upstream: { kind: "local", path: target.bare },
      recording(event) {
        isAsked ||= event === "git.forwarding";
        return event === "git.forwarding" ? written : Promise.resolve();
      },
    });
    closing.push(() => site.close());
    const copy = await site.clone();
    await copy.commit({ "a.txt": "a\n" });
    const before = await snapshot(target.bare);
    const pushing = copy.push("waits");
    await until(() => isAsked);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await snapshot(target.bare)).toBe(before);
    write();
    expect(await pushing).toMatchObject({ code: 0 });
  });
});
