import { link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../../src/lib/errors.ts";
import { acquireLock, claim, type Holder, type Lock, tryLock } from "../../../src/lib/lock-file.ts";
import { processStart } from "../../../src/lib/process-start.ts";

/** Past every system's largest process number that is in use. */
const NOBODY = 4_999_999;

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lock-file-"));
  path = join(folder, "a.lock");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const names = async (): Promise<string[]> => (await readdir(folder)).sort();
const mark = (pid: number, start: string, random = "0123456789abcdef"): string => `${pid}.${start}.${random}`;
const ownStart = async (): Promise<string> => (await processStart(process.pid)) ?? "";

async function take(at = path): Promise<Lock> {
  const outcome = await tryLock(at);
  if ("release" in outcome) return outcome;
  throw new Error(`held by ${outcome.pid}`);
}

async function failure(promise: Promise<unknown>): Promise<UserError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return error as UserError;
}

describe("a lock", () => {
  it("is a private file that says who holds it, and is gone when given back", async () => {
    const lock = await take();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, "utf8")).toMatch(
      new RegExp(`^${process.pid}\\.${await ownStart()}\\.[0-9a-f]{16}\n$`),
    );
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
    expect(await names()).toEqual([]);
  });

  it("is held once, by two parts of one process too", async () => {
    const first = await take();
    expect(await tryLock(path)).toEqual({ pid: process.pid });
    await first.release();
    const second = await take();
    expect(await tryLock(path)).toEqual({ pid: process.pid });
    await second.release();
  });

  it("does not hinder another beside it, of a longer name", async () => {
    const locks = [await take(), await take(`${path}.b`)];
    expect(await names()).toEqual(["a.lock", "a.lock.b"]);
    for (const lock of locks) await lock.release();
  });

  it("is given back once, though asked twice", async () => {
    const first = await take();
    await Promise.all([first.release(), first.release()]);
    const second = await take();
    await first.release();
    expect(await names()).toEqual(["a.lock"]);
    await second.release();
  });

  it("is left alone by a release when it has become another's", async () => {
    const lock = await take();
    await rm(path);
    const other = await take();
    await lock.release();
    expect(await tryLock(path)).toEqual({ pid: process.pid });
    await other.release();
    await lock.release();
    expect(await names()).toEqual([]);
  });
});

describe("waiting", () => {
  it("is not done unless asked for: the error names the holder", async () => {
    const lock = await take();
    const error = await failure(acquireLock(path));
    expect(error.message).toBe(`${path} is held by process ${process.pid}`);
    expect(error.hint).toContain(`ps -p ${process.pid}`);
    await lock.release();
  });

  it("ends when the lock is given back, and was told of once", async () => {
    const lock = await take();
    const told: Holder[] = [];
    const begun = new Promise<void>((resolve) => {
      void acquireLock(path, {
        waitMs: Number.POSITIVE_INFINITY,
        onWait: (holder) => resolve(void told.push(holder)),
      })
        .then((second) => second.release())
        .then(() => told.push({ pid: 0 }));
    });
    await begun;
    await lock.release();
    await expect.poll(() => told).toEqual([{ pid: process.pid }, { pid: 0 }]);
  });

  it("ends with an error when time is up", async () => {
    const lock = await take();
    const told: Holder[] = [];
    const error = await failure(acquireLock(path, { waitMs: 30, onWait: (holder) => told.push(holder) }));
    expect(error.message).toContain("within 30 ms");
    expect(told).toEqual([{ pid: process.pid }]);
    await lock.release();
  });

  it("ends with the signal's reason when aborted, before or meanwhile", async () => {
    const lock = await take();
    const reason = new Error("enough");
    await expect(acquireLock(path, { waitMs: 60_000, signal: AbortSignal.abort(reason) })).rejects.toBe(
      reason,
    );
    const abort = new AbortController();
    const waiting = acquireLock(path, {
      waitMs: Number.POSITIVE_INFINITY,
      signal: abort.signal,
      onWait: () => abort.abort(reason),
    });
    await expect(waiting).rejects.toBe(reason);
    await lock.release();
    expect(await names()).toEqual([]);
  });

  it("lets each of many have it in turn", async () => {
    let inside = 0;
    let turns = 0;
    await Promise.all(
      Array.from({ length: 12 }, async () => {
        const lock = await acquireLock(path, { waitMs: 60_000 });
        expect(++inside).toBe(1);
        await names();
        inside--;
        turns++;
        await lock.release();
      }),
    );
    expect(turns).toBe(12);
    expect(await names()).toEqual([]);
  });
});

describe("a dead holder's lock", () => {
  it.each([
    ["whose number nobody has", async () => mark(NOBODY, await ownStart())],
    ["whose number another process was given", async () => mark(process.pid, "deadbeef-1")],
    [
      "of an earlier boot",
      async () =>
        mark(
          process.pid,
          (await ownStart()).replace(/^./, (c) => (c === "0" ? "1" : "0")),
        ),
    ],
    ["of number 0", async () => mark(0, "0")],
  ])("is taken at once: one %s", async (_name, content) => {
    await writeFile(path, `${await content()}\n`);
    const lock = await take();
    expect(await readFile(path, "utf8")).toContain(`${process.pid}.${await ownStart()}.`);
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
    expect(await names()).toEqual([]);
  });

  it.each([
    ["empty, as after a power cut", ""],
    ["half written", `${process.pid}.`],
    ["of bytes", "\x00\xff\x1b[31m\n"],
    ["of another program", "12345\n"],
    ["very long", `${"1".repeat(1_000_000)}.1.1`],
    ["with a path in it", `1.1.0123456789abcdef/../../x`],
  ])("is taken when it is no lock at all: one %s", async (_name, content) => {
    await writeFile(path, content);
    const lock = await take();
    expect(await tryLock(path)).toEqual({ pid: process.pid });
    await lock.release();
    expect(await names()).toEqual([]);
  });

  it("has one heir among fifty takers", async () => {
    for (let round = 0; round < 10; round++) {
      await writeFile(path, round % 2 === 0 ? mark(NOBODY, "1") : "");
      const outcomes = await Promise.all(Array.from({ length: 50 }, () => tryLock(path)));
      const locks = outcomes.filter((outcome) => "release" in outcome);
      expect(locks).toHaveLength(1);
      expect(
        outcomes.filter((outcome) => !("release" in outcome) && outcome.pid === process.pid),
      ).toHaveLength(49);
      await locks[0]!.release();
      expect(await names()).toEqual([]);
    }
  });

  it("that keeps its number is alive where the system does not tell when processes began", async () => {
    await writeFile(path, mark(process.pid, "0"));
    expect(await tryLock(path)).toEqual({ pid: process.pid });
  });
});

describe("one who acts on what he saw too late", () => {
  const dead = { text: mark(NOBODY, "1"), pid: NOBODY, start: "1" };

  it("takes no lock that another has taken over meanwhile, and leaves nothing behind", async () => {
    await writeFile(path, dead.text);
    const lock = await take();
    const content = await readFile(path, "utf8");
    expect(await claim(path, dead)).toBeUndefined();
    expect(await readFile(path, "utf8")).toBe(content);
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
  });

  it("takes none that was taken over and given back, and none that died anew", async () => {
    expect(await claim(path, dead)).toBeUndefined();
    expect(await names()).toEqual([]);
    await writeFile(path, mark(NOBODY, "2"));
    expect(await claim(path, dead)).toBeUndefined();
    expect(await names()).toEqual(["a.lock"]);
    await (await take()).release();
  });

  it("takes none that another is taking over, or that was free and is not", async () => {
    await writeFile(path, dead.text);
    await writeFile(`${path}.${dead.text}.next`, mark(process.pid, await ownStart()));
    expect(await claim(path, dead)).toBeUndefined();
    expect(await claim(path, undefined)).toBeUndefined();
    expect(await names()).toEqual(["a.lock", `a.lock.${dead.text}.next`]);
    expect(await readFile(path, "utf8")).toBe(dead.text);
  });
});

describe("an unfinished takeover", () => {
  const [first, second] = [mark(NOBODY, "1", "aaaaaaaaaaaaaaaa"), mark(NOBODY, "2", "bbbbbbbbbbbbbbbb")];

  it("is continued when its taker died before he replaced the lock", async () => {
    await writeFile(path, first);
    await writeFile(`${path}.${first}.next`, second);
    await writeFile(`${path}.${second}.new`, second);
    const lock = await take();
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
  });

  it("is continued when its taker died after it", async () => {
    await writeFile(path, second);
    await link(path, `${path}.${first}.next`);
    const lock = await take();
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
  });

  it("belongs to its taker while he lives", async () => {
    const living = mark(process.pid, await ownStart());
    await writeFile(path, first);
    await writeFile(`${path}.${first}.next`, living);
    expect(await tryLock(path)).toEqual({ pid: process.pid });
    expect(await readFile(path, "utf8")).toBe(first);
  });

  it("is out of the way when the lock it was for is gone", async () => {
    const living = mark(process.pid, await ownStart());
    await writeFile(`${path}.${first}.next`, living);
    await (await take()).release();
    await writeFile(path, second);
    const lock = await take();
    expect(await names()).toEqual(["a.lock"]);
    await lock.release();
  });

  it("loses its draft to the next taker only when the writer is dead, and nothing else is removed", async () => {
    const living = mark(process.pid, await ownStart());
    const kept = [`a.lock.${living}.new`, "a.lock.b.new", `b.lock.${second}.new`, `a.lock.x.${second}.next`];
    for (const name of [...kept, `a.lock.${second}.new`]) await writeFile(join(folder, name), "");
    await writeFile(path, first);
    await (await take()).release();
    expect(await names()).toEqual(kept.sort());
  });

  it("that leads in a circle is refused", async () => {
    await writeFile(path, first);
    await writeFile(`${path}.${first}.next`, first);
    expect((await failure(tryLock(path))).message).toContain("circle");
  });
});

describe("where no lock can be kept, the error says so", () => {
  it("in a folder that is not there", async () => {
    const error = await failure(acquireLock(join(folder, "none", "a.lock")));
    expect(error.message).toContain(`${join(folder, "none", "a.lock")}: ENOENT`);
    expect(error.hint).toContain("create the folder");
  });

  it("in a folder that is a file", async () => {
    await writeFile(join(folder, "file"), "");
    expect((await failure(tryLock(join(folder, "file", "a.lock")))).message).toContain("ENOTDIR");
  });

  it("in a folder that cannot be written", async () => {
    const root = process.getuid?.() === 0;
    const closed = root ? "/sys" : join(folder, "closed");
    if (!root) await mkdir(closed, { mode: 0o500 });
    const error = await failure(acquireLock(join(closed, "a.lock")));
    expect(error.message).toMatch(/EACCES|EROFS|EPERM/);
    expect(error.hint).toContain(`${closed} is a folder`);
  });

  it("in place of a folder, which stays", async () => {
    await mkdir(path);
    expect((await failure(tryLock(path))).message).toContain("EISDIR");
    expect((await stat(path)).isDirectory()).toBe(true);
  });

  it("through a link, whose target stays", async () => {
    await writeFile(join(folder, "target"), "precious");
    await symlink("target", path);
    expect((await failure(tryLock(path))).message).toContain("ELOOP");
    expect(await readFile(join(folder, "target"), "utf8")).toBe("precious");
  });
});

describe("processStart", () => {
  it("is the same for the same process, and undefined for none", async () => {
    expect(await ownStart()).toMatch(/^[0-9a-f-]+$/);
    expect(await processStart(process.pid)).toBe(await ownStart());
    expect(await processStart(NOBODY)).toBeUndefined();
  });

  it("differs between processes that were not begun together", async () => {
    expect(await processStart(1)).not.toBe(await ownStart());
  });
});
