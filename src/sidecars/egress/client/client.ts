/** The guest's side of one exchange, the same for HTTP/1 and HTTP/2. */
import type { Readable, Writable } from "node:stream";
import type { RequestHead } from "../rules/head.ts";

export interface AnswerHead {
  readonly status: number;
  readonly phrase: string;
  /** Flat: name, value. */
  readonly headers: readonly string[];
  /** No body follows, whatever the headers say (HEAD, 204, 304). */
  readonly bodyless: boolean;
  /** Trailers may follow the body. */
  readonly trailers: boolean;
}

export interface Client {
  readonly method: string;
  /** The request target as it was sent. */
  readonly url: string;
  /** Flat: name, value; without HTTP/2's pseudo headers. */
  readonly rawHeaders: readonly string[];
  /** HTTP/2's name for Host. */
  readonly authority: string | undefined;
  /** What HTTP/2 says besides, and nobody needs: it can only contradict the tunnel. */
  readonly scheme: string | undefined;
  /** `2` for HTTP/2; otherwise what the request line says. */
  readonly version: string;
  /** Not all of it is here: the client wrote something else than what could be read. */
  readonly isPartial: boolean;
  readonly body: Readable;
  readonly sink: Writable;
  /** True once the answer's head is out, and only breaking off is left. */
  readonly answering: boolean;
  /** True once the whole answer is handed over; asked when the exchange closes. */
  readonly delivered: boolean;
  /** False while the rest of the request is still to come. */
  readonly received: boolean;
  hasBody(head: RequestHead): boolean;
  /** @throws Error when a header cannot be sent on. */
  answer(head: AnswerHead): void;
  /** Lets the head go out although no body has come yet. */
  flush(): void;
  /** Flat: name, value. */
  trailers(raw: readonly string[]): void;
  /** All is said; `last` is the rest of the body. */
  end(last?: string | Buffer): void;
  /** Says `100 Continue`. */
  proceed(): void;
  /** After this answer the connection ends (HTTP/1). */
  closeAfter(): void;
  /** The answer is out: takes care of a body that nobody wants any more. */
  settle(): void;
  /** Breaks off; the client can tell that the answer is not whole. */
  reset(): void;
}
