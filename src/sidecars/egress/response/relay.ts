/** The upstream's answer on its way to the guest: chunk by chunk, and never an end that was none. */
import type { IncomingMessage } from "node:http";
import type { Client } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import { answerHead, answerTrailers } from "./head.ts";

export interface RelayEvents {
  /** The head goes out with this status. */
  began(status: number): void;
  bytes(count: number): void;
  /** Nothing has been sent to the guest yet. */
  refused(refusal: Refusal): void;
  /** The answer broke off. */
  broken(): void;
}

export function relay(response: IncomingMessage, client: Client, events: RelayEvents): void {
  const { sink } = client;
  response.on("error", () => events.broken());
  const head = answerHead(response, client.method);
  if (!head.allow) {
    events.refused(head);
    return;
  }
  try {
    client.answer(head.value);
  } catch {
    events.refused(refuse("upstream-protocol", "the answer has a header that cannot be sent on", "HTTP"));
    return;
  }
  events.began(head.value.status);

  let silent = true;
  response.on("data", (chunk: Buffer) => {
    silent = false;
    events.bytes(chunk.length);
    if (!sink.write(chunk)) response.pause();
  });
  sink.on("drain", () => response.resume());
  response.on("end", () => {
    silent = false;
    if (!response.complete) {
      events.broken();
      return;
    }
    if (head.value.trailers) client.trailers(answerTrailers(response.rawTrailers));
    client.end();
  });
  // Events and slow bodies must not hold the head back; a body that is there already goes with it.
  setImmediate(() => {
    if (silent && !sink.destroyed) client.flush();
  });
}
