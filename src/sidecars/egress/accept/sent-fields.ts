/**
 * Which requests an HTTP/2 connection was sent, and with how many fields, counted before node's library reads them. The library
 * resets by itself those that HTTP/2 forbids; and it leaves out, and tells nobody, a field whose name or value cannot be one (a line break, a NUL, a blank in a name): who
 * sees fewer than were sent has another request before them than their client wrote, and somebody plays a game.
 *
 * Only lengths are read: HPACK (RFC 7541, section 6) says of each field where the next begins, without its table and without
 * Huffman's code. Whatever is no HTTP/2 the library finds out for itself, and ends the connection.
 */
import { FieldCounter } from "./field-counter.ts";

/** RFC 9113, section 3.4: `PRI * HTTP/2.0`, and what follows it. */
const PREFACE_BYTES = 24;
const FRAME_HEAD_BYTES = 9;
const HEADERS = 0x1;
const CONTINUATION = 0x9;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const PRIORITY = 0x20;
const PRIORITY_BYTES = 5;

/** Requests that the library has not told of. It tells at once, or never: of those it resets itself. */
const MOST_UNTOLD = 1024;

export class SentFields {
  readonly #counter = new FieldCounter();
  #skip = PREFACE_BYTES;
  /** Of the frame whose payload comes. */
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  #isBlock = false;
  #endsBlock = false;
  #stream = 0;
  #hasPadding = false;
  /** Bytes of the block in this frame, and of its padding. */
  #left = 0;
  #padding = 0;
  #latest = 0;
  readonly #requests = new Map<number, number>();
  readonly #trailers = new Map<number, number>();

  /** What the client has sent. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        at += step;
      } else if (this.#hasPadding) {
        this.#padding = Math.min(chunk[at++] ?? 0, this.#left);
        this.#left -= this.#padding;
        this.#hasPadding = false;
        this.#skipPriority();
      } else if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left);
        this.#counter.push(chunk, at, end);
        this.#left -= end - at;
        at = end;
      } else {
        this.#head[this.#headBytes++] = chunk[at++] ?? 0;
        if (this.#headBytes === FRAME_HEAD_BYTES) this.#begin();
      }
      if (this.#isBlock && this.#left === 0 && !this.#hasPadding && this.#skip === 0) this.#end();
    }
  }

  /** There are requests that nobody has told of yet. */
  get hasUntold(): boolean {
    return this.#requests.size > 0;
  }

  /** A request came with so many fields. @returns whether it was sent with as many. */
  came(stream: number, fields: number): boolean {
    const sent = this.#requests.get(stream);
    this.#requests.delete(stream);
    return sent === fields;
  }

  /** The library is through with all requests up to this one. @returns whether it told nobody of some. */
  passed(stream: number): boolean {
    let isMissing = false;
    for (const number of this.#requests.keys()) {
      if (number > stream) break;
      this.#requests.delete(number);
      isMissing = true;
    }
    return isMissing;
  }

  /** The request is whole, and its trailers, if any, came with so many fields. @returns whether as many were sent. */
  ended(stream: number, fields: number): boolean {
    return (this.#trailers.get(stream) ?? 0) === fields;
  }

  /** Nothing more comes on this stream. */
  forget(stream: number): void {
    this.#trailers.delete(stream);
  }

  #begin(): void {
    const head = this.#head;
    const length = head.readUIntBE(0, 3);
    const type = head[3] ?? 0;
    const flags = head[4] ?? 0;
    this.#headBytes = 0;
    this.#isBlock = type === HEADERS || type === CONTINUATION;
    if (!this.#isBlock) {
      this.#skip = length;
      return;
    }
    this.#endsBlock = (flags & END_HEADERS) !== 0;
    this.#left = length;
    this.#padding = 0;
    if (type === CONTINUATION) return;
    this.#stream = head.readUInt32BE(5) & 0x7fffffff;
    this.#counter.begin();
    this.#hasPriority = (flags & PRIORITY) !== 0;
    this.#hasPadding = (flags & PADDED) !== 0 && length > 0;
    if (this.#hasPadding) this.#left -= 1;
    else this.#skipPriority();
  }

  #hasPriority = false;

  #skipPriority(): void {
    if (!this.#hasPriority) return;
    this.#skip = Math.min(PRIORITY_BYTES, this.#left);
    this.#left -= this.#skip;
  }

  /** Of a frame; of the block if it is its last. */
  #end(): void {
    this.#isBlock = false;
    this.#skip = this.#padding;
    if (!this.#endsBlock) return;
    const stream = this.#stream;
    const { count } = this.#counter;
    if (stream > this.#latest) {
      this.#latest = stream;
      this.#requests.set(stream, count);
      if (this.#requests.size > MOST_UNTOLD) this.#forgetOldest(this.#requests);
    } else {
      this.#trailers.set(stream, count);
      if (this.#trailers.size > MOST_UNTOLD) this.#forgetOldest(this.#trailers);
    }
  }

  #forgetOldest(counts: Map<number, number>): void {
    const oldest = counts.keys().next().value;
    if (oldest !== undefined) counts.delete(oldest);
  }
}
