/** The upstream's answer on its way to the guest: chunk by chunk, and never an end that was none. */
import type { IncomingMessage } from "node:http";
import type { AnswerHead, Client } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Incoming, IncomingEvents } from "../inspection/incoming.ts";
import { answerHead, answerTrailers } from "./head.ts";

export interface RelayEvents extends Pick<IncomingEvents, "flagged"> {
  /** The head goes out with this status. */
  began(status: number): void;
  bytes(count: number): void;
  /** It may not, or cannot, arrive; part of it may be there already. */
  refused(refusal: Refusal): void;
  /** The answer broke off. */
  broken(): void;
}

/** @param lookInto what is to be looked for in this answer, if anything. */
export function relay(
  response: IncomingMessage,
  client: Client,
  lookInto: (head: AnswerHead, events: IncomingEvents) => Incoming | undefined,
  events: RelayEvents,
): void {
  const { sink } = client;
  response.on("error", () => events.broken());
  const stated = answerHead(response, client.method);
  if (!stated.allow) {
    events.refused(stated);
    return;
  }
  let isOver = false;
  const incoming = lookInto(stated.value, {
    flagged: (findings) => events.flagged(findings),
    refused: (refusal) => {
      isOver = true;
      events.refused(refusal);
    },
  });
  const source = incoming?.source ?? response;
  const isHeld = incoming?.isHeld === true;
  const held: Buffer[] = [];

  const begin = (head: AnswerHead): void => {
    try {
      client.answer(head);
    } catch {
      isOver = true;
      events.refused(refuse("upstream-protocol", "the answer has a header that cannot be sent on", "HTTP"));
      return;
    }
    events.began(head.status);
  };
  const write = (bytes: Buffer): void => {
    if (isOver || bytes.length === 0) return;
    events.bytes(bytes.length);
    if (!sink.write(bytes)) source.pause();
  };

  if (!isHeld) begin(incoming?.head ?? stated.value);
  let silent = true;
  source.on("error", () => events.broken());
  source.on("data", (chunk: Buffer) => {
    if (isOver) return;
    silent = false;
    const bytes = incoming?.pass(chunk) ?? chunk;
    if (isHeld) held.push(bytes);
    else write(bytes);
  });
  sink.on("drain", () => source.resume());
  source.on("end", () => {
    silent = false;
    if (isOver) return;
    if (!response.complete) {
      events.broken();
      return;
    }
    const last = incoming?.finish();
    if (isOver) return;
    if (isHeld && incoming !== undefined) {
      begin(incoming.markedHead);
      for (const bytes of held) write(bytes);
    }
    if (last !== undefined) write(last);
    if (isOver) return;
    if (stated.value.trailers) {
      const trailers = answerTrailers(response.rawTrailers);
      client.trailers(incoming?.trailers(trailers) ?? trailers);
    }
    client.end();
  });
  // Events and slow bodies must not hold the head back; a body that is there already goes with it.
  setImmediate(() => {
    if (silent && !isHeld && !sink.destroyed) client.flush();
  });
}
