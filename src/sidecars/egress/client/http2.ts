/** An exchange over HTTP/2. */
import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { codeOf } from "../../../lib/errors.ts";
import type { AnswerHead, Client } from "./client.ts";

/** Of what an HTTP/1 upstream may say, what has no place in HTTP/2 (RFC 9113, section 8.2.2) is gone already. */
export class Http2Client implements Client {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly authority: string | undefined;
  readonly scheme: string | undefined;
  readonly version = "2";
  readonly isPartial: boolean;
  readonly body: ServerHttp2Stream;
  readonly sink: ServerHttp2Stream;
  readonly #stream: ServerHttp2Stream;
  readonly #hasBody: boolean;
  #trailers: Record<string, string | string[]> = {};
  #owesTrailers = false;
  #ended = false;

  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    raw: readonly string[],
    isWhole: boolean,
  ) {
    this.isPartial = !isWhole;
    this.#stream = stream;
    this.body = stream;
    this.sink = stream;
    this.method = String(headers[":method"] ?? "");
    this.url = String(headers[":path"] ?? "");
    this.authority = headers[":authority"] === undefined ? undefined : String(headers[":authority"]);
    this.scheme = headers[":scheme"] === undefined ? undefined : String(headers[":scheme"]);
    this.rawHeaders = withoutPseudo(raw);
    this.#hasBody = !stream.endAfterHeaders;
  }

  get answering(): boolean {
    return this.#stream.headersSent;
  }

  /** Its own word counts: node also ends, and finishes, a stream that was reset. */
  get delivered(): boolean {
    return this.#ended && this.#stream.rstCode === constants.NGHTTP2_NO_ERROR;
  }

  get received(): boolean {
    return this.#stream.readableEnded;
  }

  hasBody(): boolean {
    return this.#hasBody;
  }

  answer({ status, headers, bodyless, trailers }: AnswerHead): void {
    const options = { endStream: bodyless, waitForTrailers: trailers && !bodyless };
    unlessTwice(toObject(headers), (all) => this.#stream.respond({ ":status": status, ...all }, options));
    if (!trailers || bodyless) return;
    this.#owesTrailers = true;
    this.#stream.once("wantTrailers", () => {
      this.#owesTrailers = false;
      // The upstream's words: what cannot be said of them ends this stream, and never the process.
      try {
        unlessTwice(this.#trailers, (all) => this.#stream.sendTrailers(all));
      } catch {
        this.reset();
      }
      this.settle();
    });
  }

  flush(): void {}

  trailers(raw: readonly string[]): void {
    this.#trailers = toObject(raw);
  }

  end(last?: string | Buffer): void {
    this.#ended = true;
    this.#stream.end(last);
  }

  proceed(): void {
    this.#stream.additionalHeaders({ ":status": 100 });
  }

  closeAfter(): void {}

  settle(): void {
    const unread = this.#hasBody && !this.#stream.readableEnded;
    if (unread && !this.#owesTrailers) this.#stream.close(constants.NGHTTP2_NO_ERROR);
  }

  /** Not `close(code)`: that sends a regular end of the stream before the reset. */
  reset(): void {
    this.#stream.destroy(new Error("the answer broke off"));
  }
}

/** HTTP/2 may split `cookie` into one header for each (RFC 9113, section 8.2.3); HTTP/1 must not have two. */
function withoutPseudo(raw: readonly string[]): readonly string[] {
  const plain: string[] = [];
  const cookies: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const value = raw[i + 1] ?? "";
    if (name.startsWith(":")) continue;
    if (name === "cookie") cookies.push(value);
    else plain.push(name, value);
  }
  return cookies.length === 0 ? plain : [...plain, "cookie", cookies.join("; ")];
}

/** A header that was said twice in the same words is said once. */
function toObject(raw: readonly string[]): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = (raw[i] ?? "").toLowerCase();
    const value = raw[i + 1] ?? "";
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else if (before !== value || name === "set-cookie") headers[name] = [before, value];
  }
  return headers;
}

/** Says all of them, or, where HTTP/2 cannot say one of them twice, the first of each. */
function unlessTwice(
  all: Record<string, string | string[]>,
  say: (headers: OutgoingHttpHeaders) => void,
): void {
  try {
    say(all);
  } catch (error) {
    if (codeOf(error) !== "ERR_HTTP2_HEADER_SINGLE_VALUE") throw error;
    say(firstOfEach(all));
  }
}

/** What clients make of a contradiction in HTTP/1, where it can be said: two `Content-Type`, say. */
function firstOfEach(headers: Record<string, string | string[]>): OutgoingHttpHeaders {
  const first = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) && name !== "set-cookie" ? value[0] : value,
  ]);
  return Object.fromEntries(first) as OutgoingHttpHeaders;
}
