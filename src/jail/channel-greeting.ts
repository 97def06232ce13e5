/** How the two ends of a guest's channel find out whether what lies between them carries bytes as they are. */
import type { Readable } from "node:stream";

/** Each byte there is, once. */
export const EVERY_BYTE = Buffer.from(Array.from({ length: 256 }, (_, i) => i));

/** From the guest, as a line behind its own {@link EVERY_BYTE}. */
export interface Greeting {
  /** All of the other's came as they were sent. */
  readonly whole: boolean;
  /** Guest path at which a seat finds the server. */
  readonly socket: string;
}

/** Longest line of a greeting. */
const MAX_LINE_BYTES = 4_096;

/** @throws Error when the stream ends before. What follows stays in the stream, which is paused. */
export function readExactly(stream: Readable, length: number): Promise<Buffer> {
  return readUntil(stream, (held) => (held.length >= length ? length : undefined));
}

/** A line without its newline. @throws Error when it is too long, or the stream ends before. */
export async function readGreetingLine(stream: Readable): Promise<string> {
  const line = await readUntil(stream, (held) => {
    const end = held.indexOf(10);
    if (end < 0 && held.length > MAX_LINE_BYTES) throw new Error("no line came");
    return end < 0 ? undefined : end + 1;
  });
  return line.subarray(0, -1).toString("utf8");
}

function readUntil(stream: Readable, find: (held: Buffer) => number | undefined): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let held: Buffer = Buffer.alloc(0);
    const settle = (outcome: Buffer | Error): void => {
      stream.off("data", onData);
      stream.off("end", onEnd);
      stream.off("error", onEnd);
      stream.off("close", onEnd);
      stream.pause();
      if (outcome instanceof Error) reject(outcome);
      else resolve(outcome);
    };
    const onEnd = (): void => settle(new Error("it ended before it had said anything"));
    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      try {
        const end = find(held);
        if (end === undefined) return;
        settle(held.subarray(0, end));
        if (end < held.length) stream.unshift(held.subarray(end));
      } catch (error) {
        settle(error instanceof Error ? error : new Error(String(error)));
      }
    };
    stream.on("data", onData);
    stream.on("end", onEnd);
    stream.on("error", onEnd);
    stream.on("close", onEnd);
    // An earlier reader left it paused.
    stream.resume();
  });
}
