/**
 * Puts lines on the disk in their order, many in one go, and stops for good at the first that fails.
 *
 * fdatasync comes before the answer: a guest that shares the host's kernel may be able to bring it down,
 * and must not erase with that the record of how it did. Lines that come while one sync runs share the next.
 */

import type { FileHandle } from "node:fs/promises";
import { lstat } from "node:fs/promises";

export interface LogWriter {
  /** Resolves once `line` is on the disk. Rejects when it, or any line before it, could not be written. */
  write(line: string): Promise<void>;
  /** Bytes handed over and not yet on their way to the disk. */
  readonly waitingBytes: number;
  /** Why nothing more will be written. */
  readonly failure: Error | undefined;
  /** Waits for what was handed over, and lets go of the file. */
  close(): Promise<void>;
}

interface Waiting {
  readonly bytes: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** `file` is open for appending and was made or verified under `path`; `explain` words a failure. */
export function createLogWriter(
  file: FileHandle,
  path: string,
  explain: (cause: unknown) => Error,
): LogWriter {
  let queue: Waiting[] = [];
  let waitingBytes = 0;
  let flushing: Promise<void> | undefined;
  let failure: Error | undefined;
  /** The file's length as we left it. */
  let size: number | undefined;

  async function flush(): Promise<void> {
    // Lines of the same turn of the event loop share a write.
    await undefined;
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      waitingBytes = 0;
      try {
        await append(Buffer.concat(batch.map(({ bytes }) => bytes)));
      } catch (cause) {
        // Never tried again: after a failed sync the kernel may have dropped the pages and call the next good.
        failure = explain(cause);
        for (const { reject } of [...batch, ...queue]) reject(failure);
        queue = [];
        break;
      }
      for (const { resolve } of batch) resolve();
    }
    flushing = undefined;
  }

  async function append(bytes: Buffer): Promise<void> {
    const before = await checkedSize();
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done);
      done += bytesWritten;
    }
    await file.datasync();
    size = before + bytes.length;
  }

  /** What goes into a file that is no longer the log, or behind somebody else's line, is not recorded. */
  async function checkedSize(): Promise<number> {
    const [named, ours] = await Promise.all([lstat(path, { bigint: true }), file.stat({ bigint: true })]);
    if (named.ino !== ours.ino || named.dev !== ours.dev) throw new Error("the file was replaced");
    const actual = Number(ours.size);
    if (size !== undefined && actual !== size) throw new Error("somebody else changed the file");
    return actual;
  }

  return {
    get waitingBytes() {
      return waitingBytes;
    },
    get failure() {
      return failure;
    },
    write(line) {
      if (failure !== undefined) return Promise.reject(failure);
      const bytes = Buffer.from(line);
      return new Promise((resolve, reject) => {
        queue.push({ bytes, resolve, reject });
        waitingBytes += bytes.length;
        flushing ??= flush();
      });
    },
    async close() {
      await flushing;
      await file.close();
    },
  };
}
