/** `agent.log`: what the agent said, as it said it. Where there is no room for it, it waits and with it the agent. */
import { type FileHandle, open } from "node:fs/promises";
import { isLackOfRoom } from "../lib/errors.ts";

/** A log that fills the host's disk would be an attack on it; what comes later is counted and not kept. */
const MAX_LOG_BYTES = 256 * 1024 * 1024;

export interface AgentLog {
  /** Resolves once it is written, or never will be. */
  append(chunk: Buffer): Promise<void>;
  /** Writes what waits, where there is room again. */
  retry(): void;
  /** What waits still is tried once more. */
  close(): Promise<void>;
}

interface Waiting {
  readonly chunk: Buffer;
  readonly resolve: () => void;
}

/** @param onLack told of each chunk that found no room. */
export function openAgentLog(path: string, onLack: (error: unknown) => void): AgentLog {
  let file: FileHandle | undefined;
  const queue: Waiting[] = [];
  let flushing: Promise<void> | undefined;
  let lacks = false;
  let isLast = false;
  let isBroken = false;
  let taken = 0;
  let dropped = 0;

  function start(): Promise<void> {
    flushing ??= flush().finally(() => {
      flushing = undefined;
    });
    return flushing;
  }

  async function flush(): Promise<void> {
    for (let next = queue[0]; next !== undefined && !lacks; next = queue[0]) {
      const rest = await written(next.chunk);
      queue.shift();
      if (rest === undefined) next.resolve();
      else queue.unshift({ ...next, chunk: rest });
    }
  }

  /** Undefined when nothing of it is left to be written. */
  async function written(chunk: Buffer): Promise<Buffer | undefined> {
    let done = 0;
    try {
      file ??= await open(path, "a", 0o600);
      while (!isBroken && done < chunk.length) done += (await file.write(chunk, done)).bytesWritten;
    } catch (error) {
      if (isLackOfRoom(error) && !isLast) {
        lacks = true;
        onLack(error);
        return chunk.subarray(done);
      }
      // What the agent said is lost then, and not the agent.
      isBroken = true;
    }
    return undefined;
  }

  const put = (chunk: Buffer): Promise<void> =>
    new Promise((resolve) => {
      queue.push({ chunk, resolve });
      if (!lacks) void start();
    });
  const again = async (): Promise<void> => {
    await flushing;
    lacks = false;
    await start();
  };

  // There from the beginning, for who reads along.
  void put(Buffer.alloc(0));
  return {
    append(chunk) {
      if (taken + chunk.length > MAX_LOG_BYTES) {
        dropped += chunk.length;
        return Promise.resolve();
      }
      taken += chunk.length;
      return put(chunk);
    },
    retry: () => void again(),
    async close() {
      isLast = true;
      if (dropped > 0) void put(Buffer.from(`\n[${dropped} more bytes were not kept]\n`));
      await again();
      await file?.close().catch(() => {});
    },
  };
}
