/** The guest's request body on its way upstream: chunk by chunk, and exactly as long as was stated. */
import type { ClientRequest } from "node:http";
import type { Readable } from "node:stream";
import { type Refusal, refuse } from "../denial.ts";

export interface BodyEvents {
  bytes(count: number): void;
  /** The body cannot become the one that was announced; the rest of it could pass for another request. */
  refused(refusal: Refusal): void;
}

export function sendBody(
  body: Readable,
  request: ClientRequest,
  contentLength: string | undefined,
  events: BodyEvents,
): void {
  const expected = contentLength === undefined ? undefined : Number(contentLength);
  let sent = 0;
  body.on("data", (chunk: Buffer) => {
    // The upstream wants no more of it.
    if (request.destroyed) return;
    sent += chunk.length;
    if (expected !== undefined && sent > expected) {
      events.refused(wrongLength());
      return;
    }
    events.bytes(chunk.length);
    if (!request.write(chunk)) body.pause();
  });
  request.on("drain", () => body.resume());
  body.on("end", () => {
    if (expected === undefined || sent === expected) request.end();
    else events.refused(wrongLength());
  });
  // The head goes out with the body's beginning, but does not wait for it.
  setImmediate(() => {
    if (sent === 0 && !request.destroyed) request.flushHeaders();
  });
}

function wrongLength(): Refusal {
  return refuse("framing-refused", "the body is not as long as its Content-Length says", "Content-Length");
}
