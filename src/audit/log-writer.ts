/**
 * Puts lines on the disk in their order, many in one go, and stops at the first that fails: for good, or, where there
 * was no room for it, until somebody says that there is again. What may still be refused is refused then and never
 * written; what has happened waits, and nothing of it is lost.
 *
 * fdatasync comes before the answer: a guest that shares the host's kernel may be able to bring it down,
 * and must not erase with that the record of how it did. Lines that come while one sync runs share the next.
 */

import type { FileHandle } from "node:fs/promises";
import { lstat } from "node:fs/promises";
import { isLackOfRoom } from "../lib/errors.ts";

/** What becomes of a line for which there is no room: it is refused, or waits for some. */
export type Patience = "refused" | "waits";

export interface LogWriter {
  /**
   * Resolves once the line is on the disk. Rejects when it, or any line before it, could not be written.
   * @param compose the line, on top of the last that was composed. Asked again when one between the two is not to be.
   */
  write(compose: () => string, patience: Patience): Promise<void>;
  /** Bytes handed over and not yet on their way to the disk. */
  readonly waitingBytes: number;
  /** Why nothing more will be written. */
  readonly failure: Error | undefined;
  /** Why nothing is written until {@link retry}: there is no room. */
  readonly lack: Error | undefined;
  /** Writes what waits. @throws the lack that there is still. */
  retry(): Promise<void>;
  /** From now on nothing waits for room: what waits is tried once more, and a lack is a failure. */
  giveUp(): Promise<void>;
  /** Waits for what was handed over, and lets go of the file. */
  close(): Promise<void>;
}

export interface LogWriterOptions {
  /** Words a failure. */
  readonly explain: (cause: unknown) => Error;
  /** The last line that is on the disk is the last that was composed: what came after it is composed anew. */
  readonly rewind: () => void;
  /** There is no room, and lines wait. */
  readonly onLack: (lack: Error) => void;
}

interface Waiting {
  bytes: Buffer;
  readonly compose: () => string;
  readonly patience: Patience;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** `file` is open for appending and was made or verified under `path`. */
export function createLogWriter(
  file: FileHandle,
  path: string,
  { explain, rewind, onLack }: LogWriterOptions,
): LogWriter {
  let queue: Waiting[] = [];
  let waitingBytes = 0;
  let flushing: Promise<void> | undefined;
  let failure: Error | undefined;
  let lack: Error | undefined;
  let isLast = false;
  /** The file's length as we left it, and up to where it is whole lines that are on the disk. */
  let size: number | undefined;
  let whole = 0;

  function start(): Promise<void> {
    flushing ??= flush();
    return flushing;
  }

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
        const lines = [...batch, ...queue];
        queue = [];
        if (isLackOfRoom(cause) && !isLast) await wait(lines, explain(cause));
        else fail(lines, explain(cause));
        break;
      }
      for (const { resolve } of batch) resolve();
    }
    flushing = undefined;
  }

  /** Not tried again: after another error than these the kernel may have dropped pages that it calls good. */
  function fail(lines: readonly Waiting[], error: Error): void {
    failure = error;
    waitingBytes = 0;
    for (const { reject } of lines) reject(error);
  }

  async function wait(lines: readonly Waiting[], error: Error): Promise<void> {
    lack = error;
    // Readers see whole lines; where even that cannot be written, the next try does it.
    await cut().catch(() => {});
    queue = [...lines, ...queue].filter(({ patience }) => patience === "waits");
    rewind();
    for (const line of queue) line.bytes = Buffer.from(line.compose());
    waitingBytes = queue.reduce((sum, { bytes }) => sum + bytes.length, 0);
    for (const { patience, reject } of lines) if (patience === "refused") reject(error);
    onLack(error);
  }

  async function append(bytes: Buffer): Promise<void> {
    await checkSize();
    await cut();
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done);
      done += bytesWritten;
      size = whole + done;
    }
    await file.datasync();
    whole += bytes.length;
  }

  /** What of a line is there came before the disk was full, or was not synced: it is nowhere promised. */
  async function cut(): Promise<void> {
    if (size === whole) return;
    await file.truncate(whole);
    size = whole;
  }

  /** What goes into a file that is no longer the log, or behind somebody else's line, is not recorded. */
  async function checkSize(): Promise<void> {
    const [named, ours] = await Promise.all([lstat(path, { bigint: true }), file.stat({ bigint: true })]);
    if (named.ino !== ours.ino || named.dev !== ours.dev) throw new Error("the file was replaced");
    const actual = Number(ours.size);
    if (size === undefined) {
      size = actual;
      whole = actual;
    }
    if (actual !== size) throw new Error("somebody else changed the file");
  }

  async function again(): Promise<void> {
    if (lack === undefined) return;
    lack = undefined;
    await start();
  }

  return {
    get waitingBytes() {
      return waitingBytes;
    },
    get failure() {
      return failure;
    },
    get lack() {
      return lack;
    },
    write(compose, patience) {
      const refusal = failure ?? (patience === "refused" ? lack : undefined);
      if (refusal !== undefined) return Promise.reject(refusal);
      const bytes = Buffer.from(compose());
      return new Promise((resolve, reject) => {
        queue.push({ bytes, compose, patience, resolve, reject });
        waitingBytes += bytes.length;
        if (lack === undefined) void start();
      });
    },
    async retry() {
      await flushing;
      await again();
      const problem = failure ?? lack;
      if (problem !== undefined) throw problem;
    },
    async giveUp() {
      isLast = true;
      await flushing;
      await again();
    },
    async close() {
      await flushing;
      await file.close();
    },
  };
}
