/**
 * One advisory lock between processes, and between the parts of one: a file that exists while somebody holds
 * it and says which process that is, so that a holder that was killed is noticed and succeeded.
 *
 * A lock file holds one *mark*, `<pid>.<start>.<random>`. The process lives if its number is in use by a process
 * that started at that moment: a number given to somebody else does not keep a dead lock. No mark is made twice.
 *
 * The trap is the takeover. "The holder is dead: unlink, create" lets a second taker, who read the same dead
 * mark but acts later, unlink the first taker's living lock. So nobody ever unlinks a lock that is not his:
 *
 * 1. A mark is written to `<path>.<mark>.new` first, and appears elsewhere only by link() or rename(): no reader
 *    sees an empty or half-written lock, and link() refuses a name that exists.
 * 2. A free lock is taken by link() to `path`.
 * 3. A dead mark D is succeeded by link() to `<path>.<D>.next`. Only one can win that name. If he dies before
 *    step 4, his own mark is succeeded in the same way: from `path` on, the marks form one chain, and whoever
 *    lives at its end holds the lock.
 * 4. The winner reads the chain again from `path`. If it leads to him, every mark before him is dead and only
 *    he may go on: he renames his draft over `path` (so `path` is never absent), then removes the `.next` names.
 * 5. If it does not, he came too late: D had left `path` and its `.next` was cleared away. He removes
 *    the name he made, which nobody can reach since D's mark never comes back, and begins again.
 * 6. A release unlinks `path` while it bears the releaser's own mark. As he lives, nobody else may replace it.
 *
 * A crash at any point leaves a chain that ends in a dead mark. All who use a lock must see the same processes
 * (one pid namespace) and a local disk. There is no queue: whoever looks first after a release has it, and
 * one who takes it again and again without a pause may starve the others.
 */
import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { link, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf, messageOf, UserError } from "./errors.ts";
import { isProcessAlive, ownProcessStart, UNTOLD } from "./process-start.ts";

export interface Lock {
  /** Gives the lock back. Further calls do nothing. */
  release(): Promise<void>;
}

/** Who has the lock. */
export interface Holder {
  readonly pid: number;
}

export interface LockOptions {
  /** Milliseconds to wait for the holder; `Infinity` is allowed. Default 0: fail at once. */
  readonly waitMs?: number;
  /** Ends the wait; its reason is thrown. */
  readonly signal?: AbortSignal;
  /** Called once, when a wait begins. */
  readonly onWait?: (holder: Holder) => void;
}

/** Between looks, doubled at each: a short hold is noticed at once, a long one costs a look of 0.3 ms now and then. */
const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 80;

/** A mark has some 50 bytes. Whatever is longer is none, and is not read into memory. */
const MAX_MARK_BYTES = 256;

/**
 * Takes the lock `path`, whose folder must exist.
 * @throws UserError naming the holder's process when it is not given back in time; or saying why no lock can
 * be kept there. The signal's reason, when aborted.
 */
export async function acquireLock(path: string, options: LockOptions = {}): Promise<Lock> {
  const { waitMs = 0, signal, onWait } = options;
  const deadline = performance.now() + waitMs;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    signal?.throwIfAborted();
    const outcome = await tryLock(path);
    if ("release" in outcome) return outcome;
    const left = deadline - performance.now();
    if (left <= 0) {
      const waited = waitMs > 0 ? ` and was not given back within ${waitMs} ms` : "";
      throw new UserError(`${path} is held by process ${outcome.pid}${waited}`, {
        hint: `wait until it has ended, or see what it is: ps -p ${outcome.pid}`,
      });
    }
    if (pause === FIRST_PAUSE_MS) onWait?.(outcome);
    // Unequal pauses, or those who wait together would look together for ever.
    const jittered = pause * (0.5 + Math.random());
    await sleep(Math.min(left, jittered), undefined, signal && { signal }).catch(() => {});
  }
}

/**
 * Takes the lock `path` if nobody alive has it, else says who has. Waits for nobody.
 * @throws UserError when no lock can be kept there.
 */
export async function tryLock(path: string): Promise<Lock | Holder> {
  try {
    for (;;) {
      const { end, alive } = await followChain(path);
      if (end !== undefined && alive) return { pid: end.pid };
      const own = await claim(path, end);
      if (own !== undefined) return lockOf(path, own);
      // Somebody was faster, and so the loop ends: every turn is another's success or death.
    }
  } catch (error) {
    throw error instanceof UserError ? error : explain(path, error);
  }
}

/** Who has the lock `path`; undefined when nobody alive does. Takes nothing, makes nothing, waits for nobody. */
export async function lockHolder(path: string): Promise<Holder | undefined> {
  const { end, alive } = await followChain(path);
  return end !== undefined && alive ? { pid: end.pid } : undefined;
}

function lockOf(path: string, own: Mark): Lock {
  let released: Promise<void> | undefined;
  async function release(): Promise<void> {
    // The operator may have removed the file, and another have taken the lock since.
    if ((await readMark(path))?.text === own.text) await rm(path, { force: true });
  }
  return {
    release() {
      released ??= release();
      return released;
    },
  };
}

interface Mark {
  readonly text: string;
  readonly pid: number;
  readonly start: string;
}

/** `<pid>.<start>.<random>`. A file that is no lock counts as the dead mark `0.0.<inode>-<time>`. */
const MARK = /^([0-9]{1,10})\.([0-9a-f-]+)\.[0-9a-f-]+$/;

function parseMark(text: string): Mark | undefined {
  const [, pid, start] = MARK.exec(text) ?? [];
  return pid === undefined || start === undefined ? undefined : { text, pid: Number(pid), start };
}

const successorOf = (path: string, mark: Mark): string => `${path}.${mark.text}.next`;

async function followChain(path: string): Promise<{ end: Mark | undefined; alive: boolean }> {
  const seen = new Set<string>();
  let end: Mark | undefined;
  for (let mark = await readMark(path); mark !== undefined; mark = await readMark(successorOf(path, mark))) {
    if (seen.has(mark.text)) {
      throw new UserError(`${path} is damaged: its marks lead in a circle`, { hint: `rm ${path}*` });
    }
    seen.add(mark.text);
    end = mark;
    if (await isAlive(mark)) return { end, alive: true };
  }
  return { end, alive: false };
}

/**
 * Steps 1 to 5, for one who has seen `path` free, or its chain end in `dead`: which may be long ago. Exported for
 * tests, which can be late on purpose. @returns the mark that now holds the lock, or undefined if it was too late.
 */
export async function claim(path: string, dead: Mark | undefined): Promise<Mark | undefined> {
  const own = await newMark();
  const draft = `${path}.${own.text}.new`;
  try {
    await writeFile(draft, `${own.text}\n`, { flag: "wx", mode: 0o600 });
    if (dead === undefined) return (await linked(draft, path)) ? own : undefined;
    return (await succeed(path, dead, own, draft)) ? own : undefined;
  } finally {
    await rm(draft, { force: true }).catch(() => {});
  }
}

async function succeed(path: string, dead: Mark, own: Mark, draft: string): Promise<boolean> {
  const successor = successorOf(path, dead);
  if (!(await linked(draft, successor))) return false;
  let succeeded = false;
  try {
    if ((await followChain(path)).end?.text !== own.text) return false;
    await rename(draft, path);
    succeeded = true;
  } finally {
    // A claim that came too late, or could not be finished, must not stand for as long as this process lives.
    if (!succeeded) await rm(successor, { force: true });
  }
  // What cannot be removed now is out of everybody's reach, and goes with the next takeover.
  await sweep(path).catch(() => {});
  return true;
}

/**
 * Removes what takeovers left beside the lock. Only for its holder: while his living mark is in `path`, no
 * `.next` can be reached from there, so each of them is void. A draft goes when its writer is dead.
 */
async function sweep(path: string): Promise<void> {
  const prefix = `${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    const [, text, kind] =
      (name.startsWith(prefix) && /^(.+)\.(new|next)$/.exec(name.slice(prefix.length))) || [];
    const mark = text === undefined ? undefined : parseMark(text);
    if (mark === undefined || (kind === "new" && (await isAlive(mark)))) continue;
    await rm(join(dirname(path), name), { force: true });
  }
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

/** Undefined when there is no such file. Never waits, even on a pipe; never follows a link. */
async function readMark(path: string): Promise<Mark | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_MARK_BYTES), 0, MAX_MARK_BYTES, 0);
    const mark = parseMark(buffer.toString("latin1", 0, bytesRead).trimEnd());
    if (mark !== undefined) return mark;
    // A power cut may leave an empty file. It needs a name that no other file will have.
    const { ino, mtimeNs } = await file.stat({ bigint: true });
    return { text: `0.0.${ino.toString(16)}-${mtimeNs.toString(16)}`, pid: 0, start: UNTOLD };
  } finally {
    await file.close();
  }
}

async function newMark(): Promise<Mark> {
  const start = await ownProcessStart();
  return { text: `${process.pid}.${start}.${randomBytes(8).toString("hex")}`, pid: process.pid, start };
}

const isAlive = ({ pid, start }: Mark): Promise<boolean> => isProcessAlive(pid, start);

const HINTS: Readonly<Record<string, string>> = {
  ENOENT: "create the folder first",
  ENOSPC: "make room on that disk",
  EDQUOT: "make room on that disk",
};

function explain(path: string, cause: unknown): UserError {
  const code = codeOf(cause);
  return new UserError(`cannot keep a lock at ${path}: ${code ?? messageOf(cause)}`, {
    hint: HINTS[code ?? ""] ?? `see that ${dirname(path)} is a folder on a local disk that you can write`,
    cause,
  });
}
