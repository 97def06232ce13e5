/**
 * An upstream's answer on its way to the guest. A credential that comes back in it is taken out, wherever it
 * stands: the guest must never have it (I2). Text that tries to instruct the agent is noted; a short answer says so in
 * its head, and where the operator wants that, it does not arrive. A packed answer is unpacked to be looked into.
 */
import type { EchoScrubber, EchoScrubberFactory } from "../../../inspect/echo-scrubber.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { InspectionStream, Inspector } from "../../../inspect/inspector.ts";
import type { AnswerHead } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { RequestHead } from "../rules/head.ts";
import { canonicalName } from "../rules/headers.ts";
import { acceptedEncoding, accepts, type Coding, codingsOf } from "./content-coding.ts";
import type { TokenReader } from "./issuance.ts";

/** Tells the agent, and whoever reads its transcript, not to take orders from what follows. */
export const WARNING_HEADER = "x-bottle-warning";

export interface IncomingOptions {
  readonly route: CompiledRoute;
  /** Knows what was put on the request; absent when nothing was. */
  readonly scrubber: EchoScrubberFactory | undefined;
  /** Wants to read the body. */
  readonly tokens: TokenReader | undefined;
  readonly phrases: Inspector;
  readonly limits: Limits;
  /** The request's: what the client can unpack. */
  readonly asked: Pick<RequestHead, "names" | "raw">;
}

export interface IncomingEvents {
  /** What of it looks like instructions to the agent. */
  flagged(findings: readonly Finding[]): void;
  refused(refusal: Refusal): void;
}

/** One answer being looked into; undefined where there is nothing to look for. */
export class Incoming {
  readonly head: AnswerHead;
  /** The body is to be unpacked before it comes here. */
  readonly coding: Coding | undefined;
  /** Its head waits for its end. */
  readonly isHeld: boolean;
  readonly #scrubber: EchoScrubberFactory | undefined;
  readonly #scrub: EchoScrubber | undefined;
  readonly #tokens: TokenReader | undefined;
  readonly #phrases: InspectionStream | undefined;
  readonly #mode: CompiledRoute["inspection"]["phrases"];
  readonly #events: IncomingEvents;
  #flagged = false;

  constructor(head: AnswerHead, options: IncomingOptions, events: IncomingEvents) {
    const { route, scrubber, tokens, limits } = options;
    this.#events = events;
    this.#tokens = tokens;
    this.#scrubber = scrubber;
    this.#mode = head.bodyless || !isText(head.headers) ? "off" : route.inspection.phrases;
    const wantsBody =
      !head.bodyless && (scrubber !== undefined || tokens !== undefined || this.#mode !== "off");
    this.coding = wantsBody ? codingToUndo(head, options) : undefined;
    const [phrase = "", ...scrubbed] = this.#scrubbed([head.phrase, ...head.headers]);
    const headers =
      this.coding === undefined ? scrubbed : without(scrubbed, ["content-encoding", "content-length"]);
    this.head = { ...head, phrase, headers };
    this.#scrub = wantsBody ? scrubber?.open() : undefined;
    this.#phrases = this.#mode === "off" ? undefined : options.phrases.stream();
    const length = Number(headerOf(headers, "content-length") ?? Number.NaN);
    this.isHeld = this.#mode !== "off" && length <= limits.heldAnswerBytes;
  }

  /** What may go on. */
  pass(chunk: Buffer): Buffer {
    return this.#look(this.#scrub?.push(chunk) ?? chunk, false);
  }

  finish(): Buffer {
    return this.#look(this.#scrub?.end() ?? EMPTY, true);
  }

  /** What may go on of the trailers. Flat: name, value. */
  trailers(raw: readonly string[]): readonly string[] {
    return this.#scrubbed(raw);
  }

  #scrubbed(texts: readonly string[]): readonly string[] {
    const scrubber = this.#scrubber;
    if (scrubber === undefined) return texts;
    // All at once, since there is almost never anything in them.
    const joined = texts.join("\n");
    return scrubbedText(scrubber, joined) === joined
      ? texts
      : texts.map((text) => scrubbedText(scrubber, text));
  }

  /** The head of an answer that was held, with what was found in it. */
  get markedHead(): AnswerHead {
    if (!this.#flagged) return this.head;
    return { ...this.head, headers: [...this.head.headers, WARNING_HEADER, "prompt-injection"] };
  }

  #look(bytes: Buffer, isLast: boolean): Buffer {
    this.#tokens?.push(bytes);
    if (isLast) this.#tokens?.end();
    if (this.#phrases === undefined) return bytes;
    let { bytes: released, findings } = this.#phrases.push(bytes);
    if (isLast) {
      const last = this.#phrases.end();
      released = Buffer.concat([released, last.bytes]);
      findings = [...findings, ...last.findings];
    }
    if (findings.length > 0) {
      this.#flagged = true;
      this.#events.flagged(findings);
      if (this.#mode === "block") this.#events.refused(refusedAnswer(findings));
    }
    // Only who may be cut off has to wait: an event stream must not.
    return this.#mode === "block" ? released : bytes;
  }
}

const EMPTY = Buffer.alloc(0);

/** Something that is there whole. */
export function scrubbed(scrubber: EchoScrubberFactory, bytes: Buffer): Buffer {
  const stream = scrubber.open();
  return Buffer.concat([stream.push(bytes), stream.end()]);
}

export function scrubbedText(scrubber: EchoScrubberFactory, text: string): string {
  return scrubbed(scrubber, Buffer.from(text, "latin1")).toString("latin1");
}

function refusedAnswer(findings: readonly Finding[]): Refusal {
  const names = [...new Set(findings.map(({ detector }) => detector))].join(", ");
  return refuse("answer-refused", "the answer tries to instruct the agent", `prompt injection: ${names}`);
}

function isText(headers: readonly string[]): boolean {
  const type = headerOf(headers, "content-type")?.toLowerCase() ?? "text/plain";
  return type.startsWith("text/") || /[/+](json|xml|javascript|x-ndjson|xhtml|markdown)\b/.test(type);
}

/**
 * A part of something packed cannot be unpacked. What the client did not ask for packed it wants as it is (an archive that
 * its server calls gzip), but text in which a credential could come back is unpacked for everybody.
 */
function codingToUndo(head: AnswerHead, { asked, scrubber }: IncomingOptions): Coding | undefined {
  const codings = codingsOf(valuesOf(head.headers, "content-encoding"));
  if (codings.kind !== "one" || head.status === PARTIAL_CONTENT) return undefined;
  const { coding } = codings;
  return accepts(acceptedEncoding(asked), coding) || (scrubber !== undefined && isText(head.headers))
    ? coding
    : undefined;
}

const PARTIAL_CONTENT = 206;

function headerOf(headers: readonly string[], name: string): string | undefined {
  return valuesOf(headers, name)[0];
}

function valuesOf(headers: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < headers.length; i += 2)
    if (canonicalName(headers[i] ?? "") === name) values.push(headers[i + 1] ?? "");
  return values;
}

function without(headers: readonly string[], names: readonly string[]): readonly string[] {
  return headers.filter((_, i) => !names.includes(canonicalName(headers[i - (i % 2)] ?? "")));
}
