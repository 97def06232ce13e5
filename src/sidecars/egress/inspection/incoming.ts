/**
 * An upstream's answer on its way to the guest. A credential that comes back in it is taken out, wherever it
 * stands: the guest must never have it (I2). Text that tries to instruct the agent is noted; a short answer says so in
 * its head, and where the operator wants that, it does not arrive. A packed answer is unpacked to be looked into.
 */
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import type { EchoScrubber, EchoScrubberFactory } from "../../../inspect/echo-scrubber.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { InspectionStream, Inspector } from "../../../inspect/inspector.ts";
import type { AnswerHead } from "../client/client.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { canonicalName } from "../rules/headers.ts";
import { type Codings, codingsOf, createDecoder } from "./content-coding.ts";

/** Tells the agent, and whoever reads its transcript, not to take orders from what follows. */
export const WARNING_HEADER = "x-bottle-warning";

export interface IncomingOptions {
  readonly route: CompiledRoute;
  /** Knows what was put on the request; absent when nothing was. */
  readonly scrubber: EchoScrubberFactory | undefined;
  readonly phrases: Inspector;
  readonly limits: Limits;
  /** What the client said it can unpack, already narrowed to what can be looked into. */
  readonly acceptEncoding: string;
}

export interface IncomingEvents {
  /** What of it looks like instructions to the agent. */
  flagged(findings: readonly Finding[]): void;
  refused(refusal: Refusal): void;
}

/** One answer being looked into; undefined where there is nothing to look for. */
export class Incoming {
  readonly head: AnswerHead;
  /** Read this instead of the answer. */
  readonly source: Readable;
  /** Its head waits for its end. */
  readonly isHeld: boolean;
  readonly #scrub: EchoScrubber | undefined;
  readonly #phrases: InspectionStream | undefined;
  readonly #mode: CompiledRoute["inspection"]["phrases"];
  readonly #events: IncomingEvents;
  #flagged = false;

  constructor(response: IncomingMessage, head: AnswerHead, options: IncomingOptions, events: IncomingEvents) {
    const { route, scrubber, limits } = options;
    this.#events = events;
    this.#mode = head.bodyless || !isText(head.headers) ? "off" : route.inspection.phrases;
    const wantsBody = !head.bodyless && (scrubber !== undefined || this.#mode !== "off");
    const coding = wantsBody ? readableCoding(head, options.acceptEncoding) : undefined;
    let headers =
      scrubber === undefined ? head.headers : head.headers.map((text) => scrubbedText(scrubber, text));
    if (coding?.kind === "one") headers = without(headers, ["content-encoding", "content-length"]);
    this.head = { ...head, headers };
    this.source = coding?.kind === "one" ? unpacked(response, coding.coding) : response;
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

  /** The head of an answer that was held, with what was found in it. */
  get markedHead(): AnswerHead {
    if (!this.#flagged) return this.head;
    return { ...this.head, headers: [...this.head.headers, WARNING_HEADER, "prompt-injection"] };
  }

  #look(bytes: Buffer, isLast: boolean): Buffer {
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

function scrubbedText(scrubber: EchoScrubberFactory, text: string): string {
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

/** A part of something packed cannot be unpacked, and what the client cannot unpack it wants as it is. */
function readableCoding(head: AnswerHead, acceptEncoding: string): Codings {
  const codings = codingsOf(valuesOf(head.headers, "content-encoding"));
  if (codings.kind !== "one" || head.status === 206) return { kind: "none" };
  const accepted = acceptEncoding.toLowerCase().split(/[\s,;]+/);
  return accepted.includes(codings.coding) ? codings : { kind: "none" };
}

function unpacked(response: IncomingMessage, coding: Extract<Codings, { kind: "one" }>["coding"]): Readable {
  // Which kind of deflate it is shows in its first byte; servers mean the one with zlib's header.
  const decoder = createDecoder(coding, 8);
  response.on("error", (error) => decoder.destroy(error));
  response.on("close", () => {
    if (!response.complete) decoder.destroy(new Error("the answer broke off"));
  });
  return response.pipe(decoder);
}

function headerOf(headers: readonly string[], name: string): string | undefined {
  return valuesOf(headers, name)[0];
}

function valuesOf(headers: readonly string[], name: string): string[] {
  return headers.flatMap((value, i) =>
    i % 2 === 1 && canonicalName(headers[i - 1] ?? "") === name ? [value] : [],
  );
}

function without(headers: readonly string[], names: readonly string[]): readonly string[] {
  return headers.filter((_, i) => !names.includes(canonicalName(headers[i - (i % 2)] ?? "")));
}
