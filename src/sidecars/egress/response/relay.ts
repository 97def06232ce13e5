/** The upstream's answer on its way to the guest: chunk by chunk, and never an end that was none. */
import type { Transform } from "node:stream";
import { Gathered } from "../../../lib/gathered.ts";
import type { AnswerHead, Client } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import { createDecoder } from "../inspection/content-coding.ts";
import type { Incoming, IncomingEvents } from "../inspection/incoming.ts";
import { answerTrailers } from "./head.ts";

export interface RelayEvents extends Pick<IncomingEvents, "flagged"> {
  /** The head goes out with this status. */
  began(status: number): void;
  bytes(count: number): void;
  /** It may not, or cannot, arrive; part of it may be there already. */
  refused(refusal: Refusal): void;
  /** The answer broke off. */
  broken(): void;
}

/** Where the answer comes from. */
export interface AnswerSource {
  pause(): void;
  resume(): void;
}

/** What is to be looked for in this answer, if anything. */
export type LookInto = (head: AnswerHead, events: IncomingEvents) => Incoming | undefined;

export class Relay {
  readonly #source: AnswerSource;
  readonly #client: Client;
  readonly #events: RelayEvents;
  readonly #head: AnswerHead;
  readonly #incoming: Incoming | undefined;
  #decoder: Transform | undefined;
  /** What goes out with the head, which waits for the end. */
  readonly #held: Gathered | undefined;
  /** What may be the last of it: it then goes out with the end, and all of a short answer at once. */
  #last: Buffer | undefined;
  #trailers: readonly string[] = [];
  #silent = true;
  #isOver = false;

  constructor(
    head: AnswerHead,
    source: AnswerSource,
    client: Client,
    lookInto: LookInto,
    events: RelayEvents,
  ) {
    this.#head = head;
    this.#source = source;
    this.#client = client;
    this.#events = events;
    this.#incoming = lookInto(head, {
      flagged: (findings) => events.flagged(findings),
      refused: (refusal) => this.#refuse(refusal),
    });
    if (this.#incoming?.isHeld === true) this.#held = new Gathered();
    else this.#begin(this.#incoming?.head ?? head);
  }

  push(chunk: Buffer): void {
    if (this.#isOver) return;
    const coding = this.#incoming?.coding;
    if (coding === undefined) {
      this.#pass(chunk);
      return;
    }
    this.#decoder ??= this.#decode(createDecoder(coding, chunk[0] ?? 0));
    if (!this.#decoder.write(chunk)) this.#source.pause();
  }

  /** Events and slow bodies must not hold the head back; a body that is there already goes with it. */
  caughtUp(): void {
    this.#writeLast();
    if (!this.#silent || this.#isOver || this.#held !== undefined) return;
    setImmediate(() => {
      if (this.#silent && !this.#isOver && !this.#client.sink.destroyed) this.#client.flush();
    });
  }

  /** @param trailers flat: name, value. */
  end(trailers: readonly string[]): void {
    this.#silent = false;
    this.#trailers = trailers;
    // Nothing at all is nothing in any coding.
    if (this.#decoder === undefined) this.#finish();
    else this.#decoder.end();
  }

  /** The guest is gone. */
  destroy(): void {
    this.#isOver = true;
    this.#decoder?.destroy();
  }

  #decode(decoder: Transform): Transform {
    decoder.on("error", () => {
      if (!this.#isOver) this.#events.broken();
    });
    decoder.on("data", (bytes: Buffer) => this.#pass(bytes));
    decoder.on("drain", () => this.#source.resume());
    decoder.on("end", () => this.#finish());
    return decoder;
  }

  #begin(head: AnswerHead): void {
    try {
      this.#client.answer(head);
    } catch {
      this.#refuse(refuse("upstream-protocol", "the answer has a header that cannot be sent on", "HTTP"));
      return;
    }
    this.#events.began(head.status);
  }

  #pass(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#silent = false;
    const bytes = this.#incoming?.pass(chunk) ?? chunk;
    if (this.#held === undefined) this.#put(bytes);
    else this.#held.push(bytes);
  }

  #put(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#writeLast();
    // What comes out of a decoder, nobody says the end of.
    if (this.#decoder === undefined) this.#last = bytes;
    else this.#write(bytes);
  }

  #writeLast(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last !== undefined) this.#write(last);
  }

  #write(bytes: Buffer): void {
    if (this.#isOver) return;
    this.#events.bytes(bytes.length);
    const { sink } = this.#client;
    if (this.#isOver || sink.write(bytes)) return;
    const flow = this.#decoder ?? this.#source;
    flow.pause();
    sink.once("drain", () => flow.resume());
  }

  #finish(): void {
    if (this.#isOver) return;
    const incoming = this.#incoming;
    const last = incoming?.finish();
    if (this.#isOver) return;
    if (this.#held !== undefined && incoming !== undefined) {
      this.#begin(incoming.markedHead);
      this.#put(this.#held.take());
    }
    if (last !== undefined) this.#put(last);
    const rest = this.#last;
    if (rest !== undefined && !this.#isOver) this.#events.bytes(rest.length);
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#head.trailers) {
      const trailers = answerTrailers(this.#trailers);
      this.#client.trailers(incoming?.trailers(trailers) ?? trailers);
    }
    this.#client.end(rest);
  }

  #refuse(refusal: Refusal): void {
    this.#isOver = true;
    this.#events.refused(refusal);
  }
}
