/** Waiting for streams. */
import type { Readable } from "node:stream";
import { finished } from "node:stream/promises";

/** Resolves when nothing more will come, by its end or its death; at once when that has been. */
export function untilEnded(stream: Readable): Promise<void> {
  // A socket without data tells its end whether or not anybody listens yet: an "end" listener may come too late.
  return finished(stream, { writable: false }).catch(() => {});
}
