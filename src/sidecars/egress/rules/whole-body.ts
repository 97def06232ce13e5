/** A short body read to its end before anything of it goes on, where what it says decides. */
import type { Readable } from "node:stream";

/** @param then gets the bytes, or undefined when there are more than `maxBytes`; not called when the client leaves. */
export function wholeBody(body: Readable, maxBytes: number, then: (bytes: Buffer | undefined) => void): void {
  const chunks: Buffer[] = [];
  let length = 0;
  const stop = (): void => {
    body.off("data", onData);
    body.off("end", onEnd);
  };
  const onData = (chunk: Buffer): void => {
    length += chunk.length;
    chunks.push(chunk);
    if (length <= maxBytes) return;
    stop();
    then(undefined);
  };
  const onEnd = (): void => {
    stop();
    then(Buffer.concat(chunks));
  };
  body.on("data", onData);
  body.on("end", onEnd);
}
