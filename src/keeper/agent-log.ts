/** `agent.log`: what the agent said, as it said it. Where there is no room for it, it waits and with it the agent. */
import { type FileHandle, open } from "node:fs/promises";
import { isLackOfRoom } from "../lib/errors.ts";

/** A log that fills the host's disk would be an attack on it; what comes later is counted and not kept. */
const MAX_LOG_BYTES = 256 * 1024 * 1024;

/** What an agent may be ahead of the disk: more would be the keeper's memory at the agent's will. */
const MAX_WAITING_BYTES = 1024 * 1024;

export interface AgentLog {
  /** Resolves when more may come. */
  append(chunk: Buffer): Promise<void>;
  /** Writes what waits, where there is room again. */
  retry(): void;
  /** What waits still is tried once more. */
  close(): Promise<void>;
}

/** @param onLack told of each try that found no room. */
export function openAgentLog(path: string, onLack: (error: unknown) => void): AgentLog {
  let file: FileHandle | undefined;
  let waiting: Buffer[] = [];
  let waitingBytes = 0;
  let goOn: (() => void)[] = [];
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
    do {
      const batch = Buffer.concat(waiting);
      waiting = [];
      const rest = await written(batch);
      if (rest.length > 0) waiting.unshift(rest);
      waitingBytes -= batch.length - rest.length;
    } while (waiting.length > 0 && !lacks);
    if (lacks) return;
    for (const go of goOn) go();
    goOn = [];
  }

  /** @returns what there was no room for. */
  async function written(batch: Buffer): Promise<Buffer> {
    let done = 0;
    try {
      file ??= await open(path, "a", 0o600);
      while (!isBroken && done < batch.length) done += (await file.write(batch, done)).bytesWritten;
    } catch (error) {
      if (isLackOfRoom(error) && !isLast) {
        lacks = true;
        onLack(error);
        return batch.subarray(done);
      }
      // What the agent said is lost then, and not the agent.
      isBroken = true;
    }
    return Buffer.alloc(0);
  }

  function put(chunk: Buffer): Promise<void> {
    waiting.push(chunk);
    waitingBytes += chunk.length;
    if (!lacks) void start();
    if (!lacks && waitingBytes <= MAX_WAITING_BYTES) return Promise.resolve();
    return new Promise((resolve) => goOn.push(resolve));
  }

  async function again(): Promise<void> {
    await flushing;
    lacks = false;
    await start();
  }

  // There from the beginning, for who reads along.
  void start();
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
