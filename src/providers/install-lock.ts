/**
 * At most one process installs a thing at a time. The lock is a file that its holder touches every
 * second: when the holder is killed, in whatever way and pid namespace it ran, the file goes stale and
 * the next one takes it. Two can hold it when one was asleep (a laptop's lid) for longer than that: what
 * they work on must end in one atomic rename, so that the loser fails and the result is whole.
 */
import { randomBytes } from "node:crypto";
import { type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { codeOf } from "../lib/errors.ts";

const HEARTBEAT_MS = 1_000;
/** Many heartbeats, so that a busy machine is not taken for a dead one. */
const STALE_AFTER_MS = 15_000;
const POLL_MS = 100;

/** Runs `work` alone. `onWait` is called once, when somebody else holds the lock; `signal` ends the wait. */
export async function withInstallLock<T>(
  path: string,
  onWait: () => void,
  work: () => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const lock = await acquire(path, onWait, signal);
  const heartbeat = setInterval(() => {
    const now = new Date();
    lock.utimes(now, now).catch(() => {});
  }, HEARTBEAT_MS);
  try {
    return await work();
  } finally {
    clearInterval(heartbeat);
    await release(path, lock);
  }
}

async function acquire(
  path: string,
  onWait: () => void,
  signal: AbortSignal | undefined,
): Promise<FileHandle> {
  let told = false;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await open(path, "wx", 0o600);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    if (await isStale(path)) {
      // Of several who see it stale, one renames it; the others find the name gone and race for a new one.
      await moveAway(path);
      continue;
    }
    if (!told) onWait();
    told = true;
    await sleep(POLL_MS);
  }
}

async function isStale(path: string): Promise<boolean> {
  try {
    const { mtimeMs } = await stat(path);
    return Date.now() - mtimeMs > STALE_AFTER_MS;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
}

async function moveAway(path: string): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
  await rm(aside, { force: true });
}

/** Removes the file unless it has become another holder's. */
async function release(path: string, lock: FileHandle): Promise<void> {
  try {
    const [mine, there] = await Promise.all([lock.stat(), stat(path)]);
    if (mine.ino === there.ino && mine.dev === there.dev) await rm(path, { force: true });
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  } finally {
    await lock.close();
  }
}
