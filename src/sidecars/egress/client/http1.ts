/** An exchange over HTTP/1, in a tunnel or outside. */
import { type IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Connection } from "../accept/connection.ts";
import type { RequestHead } from "../rules/head.ts";
import type { AnswerHead, Client } from "./client.ts";

/** A body that is copied rather than written behind its head: what a TLS record holds besides. */
const ONE_WRITE_BYTES = 12 * 1024;

export class Http1Client implements Client {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly authority = undefined;
  readonly scheme = undefined;
  readonly version: string;
  readonly isPartial = false;
  readonly body: IncomingMessage;
  readonly sink: ServerResponse;
  readonly #connection: Connection;
  #close = false;
  #proceeded = false;

  constructor(connection: Connection, request: IncomingMessage, response: ServerResponse) {
    this.#connection = connection;
    this.method = request.method ?? "";
    this.url = request.url ?? "";
    this.rawHeaders = request.rawHeaders;
    this.version = request.httpVersion;
    this.body = request;
    this.sink = response;
    response.sendDate = false;
  }

  get answering(): boolean {
    return this.sink.headersSent;
  }

  get delivered(): boolean {
    return this.sink.writableFinished;
  }

  get received(): boolean {
    return this.body.complete;
  }

  hasBody(head: RequestHead): boolean {
    return head.chunked || (head.contentLength !== undefined && Number(head.contentLength) > 0);
  }

  answer({ status, phrase, headers }: AnswerHead): void {
    // Without a 100 before it, nobody knows whether the body still comes: the next bytes could be either.
    const unclear = this.body.headers.expect !== undefined && !this.#proceeded;
    const close = this.#close || unclear;
    this.sink.writeHead(status, phrase, close ? [...headers, "Connection", "close"] : [...headers]);
  }

  flush(): void {
    this.sink.flushHeaders();
  }

  trailers(raw: readonly string[]): void {
    const pairs: [string, string][] = [];
    for (let i = 0; i + 1 < raw.length; i += 2) pairs.push([raw[i] ?? "", raw[i + 1] ?? ""]);
    this.sink.addTrailers(pairs);
  }

  end(last?: string | Buffer): void {
    // Node puts head and body into one write when both are text, and of each byte latin1 makes one.
    const isShort = last instanceof Buffer && last.length <= ONE_WRITE_BYTES;
    if (isShort) this.sink.end(last.toString("latin1"), "latin1");
    else this.sink.end(last);
  }

  proceed(): void {
    this.#proceeded = true;
    this.sink.writeContinue();
  }

  closeAfter(): void {
    this.#close = true;
  }

  /** It is read and dropped; the connection bounds how much of it (`discardedBytes`). */
  settle(): void {
    this.body.removeAllListeners("data");
    this.body.resume();
  }

  reset(): void {
    this.#connection.reset();
  }
}

/**
 * Node hands over the bare socket of a request with `Upgrade`; this is how it is answered in HTTP after all,
 * until somebody takes the socket back with {@link takeSocket}.
 */
export function responseOn(socket: Socket, request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(socket);
  response.on("finish", () => {
    response.detachSocket(socket);
    socket.end();
  });
  return response;
}
