/**
 * One connection to an upstream, and on it one request after the other, each once the answer before it is whole. It is
 * listened to from its first byte to its last, also between requests: an upstream that ends then, or speaks without being
 * asked, does not get the next one. What a credential was sent over stays with it (pool.ts).
 */
import type { Socket } from "node:net";
import { type Refusal, refuse } from "../denial.ts";
import type { StatedAnswer } from "../response/head.ts";
import { isFieldText, isHeaderName } from "../rules/headers.ts";
import { AnswerReader } from "./answer-reader.ts";

export interface Message {
  readonly method: string;
  readonly path: string;
  /** Flat; written as they are. Secret. */
  readonly headers: readonly string[];
  /** How the body, if there is one, is written. */
  readonly chunked: boolean;
}

export interface RequestEvents {
  head(answer: StatedAnswer): void;
  body(bytes: Buffer): void;
  /** All that has come so far was told of. */
  caughtUp(): void;
  /** The answer is whole. @param trailers flat: name, value. */
  end(trailers: readonly string[]): void;
  /** The socket is the caller's, and paused: what follows is not HTTP any more. */
  switched(rawHeaders: readonly string[], socket: Socket, rest: Buffer): void;
  /** There is room for more of the body. */
  drain(): void;
  /** No whole answer comes. @param heard that an answer had begun, or could not be understood. */
  lost(refusal: Refusal, heard: boolean): void;
}

/** A request under way. */
export interface UpstreamRequest {
  /** False when it is better to wait for `drain`. */
  write(bytes: Buffer): boolean;
  /** Sends the head, if it has not gone with anything else. */
  flush(): void;
  /** The body is complete. */
  end(): void;
  readonly ended: boolean;
  /** Of the answer. */
  pause(): void;
  resume(): void;
  /** Gives it up, and the connection with it, if it is still under way. Nothing more is told. */
  destroy(): void;
}

/** Says where a connection goes that has served a request and can serve another. */
export type Freed = (connection: UpstreamConnection) => void;

export class UpstreamConnection {
  readonly #socket: Socket;
  readonly #freed: Freed;
  readonly #reader: AnswerReader;
  #request: Request | undefined;

  constructor(socket: Socket, freed: Freed) {
    this.#socket = socket;
    this.#freed = freed;
    this.#reader = new AnswerReader({
      head: (answer) => this.#request?.began(answer),
      body: (bytes) => this.#request?.events.body(bytes),
      end: (trailers) => this.#request?.answered(trailers),
      switched: (rawHeaders, rest) => this.#switch(rawHeaders, rest),
      refused: (refusal) => this.#lose(refusal, true),
    });
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onEnd);
    socket.on("drain", this.#onDrain);
  }

  /** Whether another request can be sent on it. */
  get usable(): boolean {
    const socket = this.#socket;
    return this.#request === undefined && !socket.destroyed && socket.writable && !socket.readableEnded;
  }

  /** Called once it is gone for good. */
  onClose(forget: () => void): void {
    this.#socket.once("close", forget);
  }

  /** @returns undefined when the message has something in it that cannot be sent. */
  ask(message: Message, events: RequestEvents): UpstreamRequest | undefined {
    const head = headOf(message);
    if (head === undefined) return undefined;
    this.#reader.expect(message.method);
    const request = new Request(this, this.#socket, head, message.chunked, events);
    this.#request = request;
    return request;
  }

  /** Whether this is the request that is under way: others have had their answer, and nothing more to say here. */
  serves(request: UpstreamRequest): boolean {
    return this.#request === request;
  }

  /** The request is sent, its answer read: for the next one, or not. */
  settle(): void {
    const request = this.#request;
    if (request === undefined || !request.settled) return;
    this.#request = undefined;
    if (!request.persistent || !this.usable) {
      this.destroy();
      return;
    }
    this.#socket.resume();
    this.#freed(this);
  }

  destroy(): void {
    this.#request = undefined;
    this.#socket.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#reader.push(chunk);
    this.#request?.events.caughtUp();
    this.settle();
  };

  readonly #onEnd = (): void => {
    const isWhole = this.#reader.close();
    this.settle();
    if (this.#request !== undefined && !isWhole) this.#lose(broken(), false);
    else if (this.#request === undefined) this.#socket.destroy();
  };

  readonly #onDrain = (): void => this.#request?.events.drain();

  #switch(rawHeaders: readonly string[], rest: Buffer): void {
    const request = this.#request;
    this.#request = undefined;
    const socket = this.#socket;
    socket.off("data", this.#onData).off("end", this.#onEnd).off("close", this.#onEnd);
    socket.off("drain", this.#onDrain).pause();
    if (request === undefined) socket.destroy();
    else request.events.switched(rawHeaders, socket, rest);
  }

  #lose(refusal: Refusal, heard: boolean): void {
    const request = this.#request;
    this.destroy();
    if (request !== undefined && !request.isAnswered) request.events.lost(refusal, heard || request.hasBegun);
  }
}

class Request implements UpstreamRequest {
  readonly events: RequestEvents;
  ended = false;
  hasBegun = false;
  isAnswered = false;
  persistent = false;
  readonly #connection: UpstreamConnection;
  readonly #socket: Socket;
  readonly #chunked: boolean;
  #head: string;

  constructor(
    connection: UpstreamConnection,
    socket: Socket,
    head: string,
    chunked: boolean,
    events: RequestEvents,
  ) {
    this.#connection = connection;
    this.#socket = socket;
    this.#head = head;
    this.#chunked = chunked;
    this.events = events;
  }

  get settled(): boolean {
    return this.ended && this.isAnswered;
  }

  began(answer: StatedAnswer): void {
    this.hasBegun = true;
    this.persistent = answer.persistent;
    this.events.head(answer);
  }

  answered(trailers: readonly string[]): void {
    this.isAnswered = true;
    this.events.end(trailers);
  }

  write(bytes: Buffer): boolean {
    const socket = this.#socket;
    // Nobody waits for one that is gone.
    if (bytes.length === 0 || socket.destroyed) return true;
    const framed = this.#chunked ? `${this.#head}${bytes.length.toString(16)}\r\n` : this.#head;
    this.#head = "";
    // One record for all of it.
    socket.cork();
    if (framed !== "") socket.write(framed, "latin1");
    let hasRoom = socket.write(bytes);
    if (this.#chunked) hasRoom = socket.write("\r\n", "latin1");
    socket.uncork();
    return hasRoom;
  }

  flush(): void {
    if (this.#head !== "") this.#socket.write(this.#head, "latin1");
    this.#head = "";
  }

  end(): void {
    if (this.#chunked) this.#head += "0\r\n\r\n";
    this.flush();
    this.ended = true;
    this.#connection.settle();
  }

  pause(): void {
    if (this.#connection.serves(this)) this.#socket.pause();
  }

  resume(): void {
    if (this.#connection.serves(this)) this.#socket.resume();
  }

  destroy(): void {
    if (this.#connection.serves(this)) this.#connection.destroy();
  }
}

/** Undefined when it would say something else than was meant. */
function headOf({ method, path, headers }: Message): string | undefined {
  if (!isFieldText(path) || path.includes(" ")) return undefined;
  let head = `${method} ${path} HTTP/1.1\r\n`;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? "";
    const value = headers[i + 1] ?? "";
    if (!isHeaderName(name) || !isFieldText(value)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  return `${head}\r\n`;
}

function broken(): Refusal {
  const rule = "an upstream that answers in HTTP/1.1";
  return refuse("upstream-failed", "the upstream ended the connection before it answered", rule);
}
