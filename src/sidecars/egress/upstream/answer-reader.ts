/**
 * Reads what an upstream answers: HTTP/1.1 (RFC 9112), and nothing looser. An upstream is hostile too, and what two readers
 * could take for two things (a line that ends in LF alone, a folded one, two lengths, a size with blanks behind it) is no
 * answer. Where one ends is decided here alone; what stands behind it never belongs to the next.
 */
import { type Refusal, refuse } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import { type AnswerFraming, answerHead, type StatedAnswer, type UpstreamHead } from "../response/head.ts";
import { canonicalName, isFieldText, isHeaderName } from "../rules/headers.ts";

export interface AnswerEvents {
  /** Of the answer that counts: informational ones are passed over. */
  head(answer: StatedAnswer): void;
  /** All that came of it at once: an upstream may put every byte into a chunk of its own. */
  body(bytes: Buffer): void;
  /** The answer is whole. @param trailers flat: name, value. */
  end(trailers: readonly string[]): void;
  /** What follows the head, `rest` and all that comes, is another protocol. */
  switched(rawHeaders: readonly string[], rest: Buffer): void;
  /** It cannot be understood. Nothing more is told. */
  refused(refusal: Refusal): void;
}

/** Answers before the answer (100, 103). A server has one or two to give; a flood of them is never over. */
const MOST_INFORMATIONAL = 100;
/** Bytes of the line before a chunk: its size, and extensions that nobody uses. */
const CHUNK_LINE_BYTES = 1024;

const HEAD_END = Buffer.from("\r\n\r\n");
const CR = 0x0d;
const LF = 0x0a;
const NOTHING = Buffer.alloc(0);
const NO_TRAILERS: readonly string[] = [];

/** What comes next. */
type Expected =
  /** Nothing: nobody has asked. */
  | "nothing"
  | "head"
  /** So many bytes of the body. */
  | "length"
  /** Body up to the end of the connection. */
  | "close"
  /** The line before a chunk, its bytes, the line break behind them. */
  | "size"
  | "chunk"
  | "break"
  | "trailers"
  /** It has changed to another protocol, or broken this one. */
  | "over";

export class AnswerReader {
  readonly #events: AnswerEvents;
  #expected: Expected = "nothing";
  #method = "";
  #left = 0;
  #informational = 0;
  /** The beginning of a head or of a line whose end has not come. */
  #held: Buffer = NOTHING;
  /** Of the body, and not told yet. */
  #pieces: Buffer[] = [];
  #trailers: string[] = [];
  #trailerBytes = 0;

  constructor(events: AnswerEvents) {
    this.#events = events;
  }

  /** An answer to this method comes next. */
  expect(method: string): void {
    this.#method = method;
    this.#expected = "head";
    this.#informational = 0;
  }

  push(chunk: Buffer): void {
    this.#read(chunk);
    this.#tell();
  }

  #read(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      switch (this.#expected) {
        case "head":
          rest = this.#readHead(rest);
          break;
        case "length":
        case "chunk":
          rest = this.#readCounted(rest);
          break;
        case "close":
          this.#pieces.push(rest);
          return;
        case "size":
        case "break":
        case "trailers":
          rest = this.#readLine(rest);
          break;
        case "nothing":
          // It says something that nobody asked for, or more than it said it would.
          this.#fail();
          return;
        case "over":
          return;
      }
    }
  }

  /** The connection has ended. False when that is in the middle of an answer. */
  close(): boolean {
    if (this.#expected === "close") this.#finish(NO_TRAILERS);
    return this.#expected === "nothing" || this.#expected === "over";
  }

  #readHead(chunk: Buffer): Buffer {
    const before = this.#held.length;
    const bytes = before === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length));
    if (end > LIMITS.responseHeadBytes || (end < 0 && bytes.length > LIMITS.responseHeadBytes))
      return this.#fail();
    if (end < 0) {
      this.#held = bytes;
      return isHopeless(bytes, before) ? this.#fail() : NOTHING;
    }
    this.#held = NOTHING;
    const rest = bytes.subarray(end + HEAD_END.length);
    const head = parseHead(bytes.toString("latin1", 0, end));
    if (head === undefined) return this.#fail();
    if (head.status === 101) {
      this.#expected = "over";
      this.#events.switched(head.rawHeaders, rest);
      return NOTHING;
    }
    if (head.status < 200) {
      const isFlood = ++this.#informational > MOST_INFORMATIONAL;
      return isFlood || head.rawHeaders.some(isAboutBody) ? this.#fail() : rest;
    }
    const answer = answerHead(head, this.#method);
    if (!answer.allow) return this.#fail(answer);
    this.#frame(answer.value.framing);
    this.#events.head(answer.value);
    if (this.#expected === "nothing") this.#finish(NO_TRAILERS);
    return rest;
  }

  #frame(framing: AnswerFraming): void {
    switch (framing.kind) {
      case "length":
        this.#left = framing.bytes;
        this.#expected = framing.bytes === 0 ? "nothing" : "length";
        return;
      case "none":
        this.#expected = "nothing";
        return;
      case "close":
        this.#expected = "close";
        return;
      case "chunked":
        this.#expected = "size";
    }
  }

  #readCounted(chunk: Buffer): Buffer {
    const isChunk = this.#expected === "chunk";
    const size = Math.min(chunk.length, this.#left);
    this.#left -= size;
    if (this.#left === 0) this.#expected = isChunk ? "break" : "nothing";
    this.#pieces.push(size === chunk.length ? chunk : chunk.subarray(0, size));
    if (this.#left === 0 && !isChunk) this.#finish(NO_TRAILERS);
    return chunk.subarray(size);
  }

  #readLine(chunk: Buffer): Buffer {
    const end = chunk.indexOf(LF);
    const part = end < 0 ? chunk : chunk.subarray(0, end + 1);
    const bytes = this.#held.length === 0 ? part : Buffer.concat([this.#held, part]);
    if (bytes.length > CHUNK_LINE_BYTES && this.#expected !== "trailers") return this.#fail();
    if (this.#trailerBytes + bytes.length > LIMITS.responseHeadBytes) return this.#fail();
    if (end < 0) {
      this.#held = bytes;
      return NOTHING;
    }
    this.#held = NOTHING;
    const line = bytes.toString("latin1", 0, bytes.length - 2);
    if (bytes.at(-2) !== CR || !this.#took(line)) return this.#fail();
    return chunk.subarray(end + 1);
  }

  /** A line of what is around chunks, without its end. False when it is none. */
  #took(line: string): boolean {
    switch (this.#expected) {
      case "size": {
        const digits = CHUNK_SIZE.exec(line)?.[1];
        if (digits === undefined) return false;
        this.#left = Number.parseInt(digits, 16);
        this.#expected = this.#left === 0 ? "trailers" : "chunk";
        return true;
      }
      case "break":
        this.#expected = "size";
        return line === "";
      default:
        if (line === "") {
          const trailers = this.#trailers;
          this.#trailers = [];
          this.#trailerBytes = 0;
          this.#finish(trailers);
          return true;
        }
        this.#trailerBytes += line.length;
        return (
          this.#trailers.length < 2 * LIMITS.responseHeaders &&
          addField(line, this.#trailers) &&
          !isAboutBody(this.#trailers.at(-2) ?? "", 0)
        );
    }
  }

  #tell(): void {
    const pieces = this.#pieces;
    const [only] = pieces;
    if (only === undefined) return;
    this.#pieces = [];
    this.#events.body(pieces.length === 1 ? only : Buffer.concat(pieces));
  }

  #finish(trailers: readonly string[]): void {
    this.#tell();
    this.#expected = "nothing";
    this.#events.end(trailers);
  }

  #fail(refusal: Refusal = unreadable()): Buffer {
    this.#tell();
    this.#expected = "over";
    this.#held = NOTHING;
    this.#events.refused(refusal);
    return NOTHING;
  }
}

/** At most 2^52; nothing but extensions behind it. */
const CHUNK_SIZE =
  /^0*([0-9A-Fa-f]{1,13})(?:;[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:=(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+|"[\t !#-[\]-~\x80-\xff]*"))?)*$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?$/;

const BEGINNING = Buffer.from("HTTP/1.");

/** What has come of a head will not become one: whoever waits for its end may wait for ever. @param from looked at before */
function isHopeless(bytes: Buffer, from: number): boolean {
  const size = Math.min(bytes.length, BEGINNING.length);
  if (bytes.compare(BEGINNING, 0, size, 0, size) !== 0) return true;
  for (let at = bytes.indexOf(LF, from); at >= 0; at = bytes.indexOf(LF, at + 1))
    if (bytes[at - 1] !== CR) return true;
  return false;
}

/** Undefined when it is none. @param text without the empty line at its end. */
function parseHead(text: string): UpstreamHead | undefined {
  let end = text.indexOf("\r\n");
  if (end < 0) end = text.length;
  const [line, minor, status, phrase = ""] = STATUS_LINE.exec(text.slice(0, end)) ?? [];
  if (line === undefined) return undefined;
  const rawHeaders: string[] = [];
  while (end < text.length) {
    const begin = end + 2;
    end = text.indexOf("\r\n", begin);
    if (end < 0) end = text.length;
    if (!addField(text.slice(begin, end), rawHeaders)) return undefined;
  }
  return { status: Number(status), phrase, isOld: minor === "0", rawHeaders };
}

/** There is none behind an informational answer, and none any more behind trailers. @param i of names and values */
function isAboutBody(name: string, i: number): boolean {
  return i % 2 === 0 && ["content-length", "transfer-encoding"].includes(canonicalName(name));
}

/** False when the line is no field. */
function addField(line: string, into: string[]): boolean {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(0, colon));
  if (!isHeaderName(name) || !isFieldText(line)) return false;
  into.push(name, trimmed(line, colon + 1));
  return true;
}

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09;

/** From there on, without blanks at either end. Not a pattern: blanks in the middle would make it look again and again. */
function trimmed(line: string, from: number): string {
  let begin = from;
  let end = line.length;
  while (begin < end && isBlank(line.charCodeAt(begin))) begin++;
  while (end > begin && isBlank(line.charCodeAt(end - 1))) end--;
  return line.slice(begin, end);
}

function unreadable(): Refusal {
  const rule = "an upstream that answers in HTTP/1.1";
  return refuse("upstream-protocol", "the upstream's answer is not proper HTTP", rule);
}
