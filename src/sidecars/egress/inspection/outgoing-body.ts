/**
 * A request's body on its way to the upstream. A body that fits is looked into whole before anything of the
 * request leaves; a longer one is held back by the inspector's window, so that of a late finding only what was
 * before it has left, and the request is never brought to its end. A compressed one leaves uncompressed: what was
 * looked at is what is sent. It is exactly as long as was stated, or the rest could pass for another request.
 */
import type { Readable, Transform } from "node:stream";
import type { Finding } from "../../../inspect/finding.ts";
import type { InspectionStream, Inspector, Released } from "../../../inspect/inspector.ts";
import { mask } from "../../../inspect/mask.ts";
import { Gathered } from "../../../lib/gathered.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { UpstreamRequest } from "../upstream/connection.ts";
import { type Coding, createDecoder, READABLE_CODINGS } from "./content-coding.ts";
import type { Ruling } from "./ruling.ts";

export interface BodyOptions {
  /** As the client stated it. */
  readonly contentLength: string | undefined;
  readonly coding: Coding | undefined;
  readonly inspector: Inspector;
  readonly rule: (findings: readonly Finding[]) => Ruling;
  readonly limits: Limits;
  /** Held by all bodies together. */
  readonly held: { bytes: number };
}

/** How the body will be framed. */
export type Framing = { readonly contentLength: string } | { readonly chunked: true };

type BodySink = Pick<UpstreamRequest, "write" | "flush" | "end">;

export interface BodyEvents {
  /** Once: it may begin to leave. */
  cleared(framing: Framing): void;
  /** At most once, before or after. */
  refused(refusal: Refusal): void;
  masked(findings: readonly Finding[]): void;
  /** Once, before `cleared`: all of the body as the upstream gets it, or undefined when it is too long to be held. */
  whole(bytes: Buffer | undefined): Refusal | undefined;
  /** Came from the client. */
  received(bytes: number): void;
}

export class OutgoingBody {
  readonly #source: Readable;
  readonly #options: BodyOptions;
  readonly #events: BodyEvents;
  readonly #expected: number | undefined;
  #decoder: Transform | undefined;
  #request: BodySink | undefined;
  /** Not looked at yet. */
  readonly #collected = new Gathered();
  #stream: InspectionStream | undefined;
  /** Looked at, and waiting for the request. */
  #ready: Buffer[] = [];
  #received = 0;
  #plainBytes = 0;
  #ended = false;
  #over = false;

  constructor(source: Readable, options: BodyOptions, events: BodyEvents) {
    this.#source = source;
    this.#options = options;
    this.#events = events;
    this.#expected = options.contentLength === undefined ? undefined : Number(options.contentLength);
    source.on("data", (chunk: Buffer) => this.#receive(chunk));
    source.on("end", () => this.#receivedAll());
    source.once("close", () => {
      if (!source.readableEnded) this.#letGo();
    });
  }

  /** Whether the upstream gets it in another form than the client sent. */
  get decodes(): boolean {
    return this.#options.coding !== undefined;
  }

  /** From now on what may leave does. */
  sendTo(request: BodySink): void {
    this.#request = request;
    if (this.#ready.length === 0 && !this.#ended) request.flush();
    for (const chunk of this.#ready) request.write(chunk);
    this.#ready = [];
    if (this.#ended) request.end();
    else this.#flow.resume();
  }

  /** The upstream takes more. */
  drained(): void {
    this.#flow.resume();
  }

  /** What waits when the upstream is slow: of a packed body the unpacked one, a thousand times the larger. */
  get #flow(): Readable {
    return this.#decoder ?? this.#source;
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    this.#received += chunk.length;
    this.#events.received(chunk.length);
    if (this.#expected !== undefined && this.#received > this.#expected) {
      this.#refuse(wrongLength());
    } else if (this.#options.coding === undefined) {
      this.#look(chunk);
    } else {
      this.#decoder ??= this.#decode(this.#options.coding, chunk[0] ?? 0);
      if (!this.#decoder.write(chunk)) this.#source.pause();
    }
  }

  #receivedAll(): void {
    if (this.#over) return;
    if (this.#expected !== undefined && this.#received !== this.#expected) this.#refuse(wrongLength());
    else if (this.#decoder === undefined) this.#finish();
    else this.#decoder.end();
  }

  #decode(coding: Coding, first: number): Transform {
    const decoder = createDecoder(coding, first);
    decoder.on("error", () => this.#refuse(unreadable(coding)));
    decoder.on("data", (chunk: Buffer) => this.#look(chunk));
    decoder.on("drain", () => this.#source.resume());
    decoder.on("end", () => this.#finish());
    return decoder;
  }

  #look(chunk: Buffer): void {
    if (this.#over) return;
    const { limits, held, inspector } = this.#options;
    this.#plainBytes += chunk.length;
    if (this.#decoder !== undefined && this.#plainBytes > limits.inflatedBytes) {
      this.#refuse(tooLarge(limits.inflatedBytes));
      return;
    }
    if (this.#stream !== undefined) {
      this.#pass(this.#stream.push(chunk));
      return;
    }
    this.#collected.push(chunk);
    held.bytes += chunk.length;
    if (this.#collected.length <= limits.heldBytes && held.bytes <= limits.allHeldBytes) return;
    const stream = inspector.stream();
    this.#stream = stream;
    this.#pass(stream.push(this.#takeCollected()));
    const refusal = this.#over ? undefined : this.#events.whole(undefined);
    if (refusal !== undefined) this.#refuse(refusal);
    if (this.#over) return;
    // Until somebody takes what is ready.
    if (this.#request === undefined) this.#flow.pause();
    const asStated = this.#expected !== undefined && this.#decoder === undefined;
    this.#events.cleared(asStated ? { contentLength: String(this.#expected) } : { chunked: true });
  }

  #finish(): void {
    if (this.#over) return;
    if (this.#stream !== undefined) {
      this.#pass(this.#stream.end());
      if (!this.#over) this.#end();
      return;
    }
    const bytes = this.#takeCollected();
    this.#pass({ bytes, findings: this.#options.inspector.scan(bytes) });
    if (this.#over) return;
    const refusal = this.#events.whole(bytes);
    if (refusal !== undefined) {
      this.#refuse(refusal);
      return;
    }
    this.#end();
    const stated = this.#expected !== undefined || this.#decoder !== undefined;
    this.#events.cleared(stated ? { contentLength: String(bytes.length) } : { chunked: true });
  }

  #pass({ bytes, findings }: Released): void {
    if (this.#over) return;
    const ruling = this.#options.rule(findings);
    switch (ruling.kind) {
      case "refuse":
        this.#refuse(ruling.refusal);
        return;
      case "mask":
        this.#events.masked(ruling.findings);
        this.#write(mask(bytes, ruling.findings));
        return;
      case "pass":
        this.#write(bytes);
    }
  }

  #write(bytes: Buffer): void {
    if (bytes.length === 0) return;
    if (this.#request === undefined) this.#ready.push(bytes);
    else if (!this.#request.write(bytes)) this.#flow.pause();
  }

  #end(): void {
    this.#ended = true;
    this.#request?.end();
  }

  #takeCollected(): Buffer {
    this.#options.held.bytes -= this.#collected.length;
    return this.#collected.take();
  }

  #refuse(refusal: Refusal): void {
    if (this.#over) return;
    this.#letGo();
    this.#events.refused(refusal);
  }

  #letGo(): void {
    this.#over = true;
    this.#takeCollected();
    this.#decoder?.destroy();
  }
}

function wrongLength(): Refusal {
  return refuse("framing-refused", "the body is not as long as its Content-Length says", "Content-Length");
}

function unreadable(coding: Coding): Refusal {
  return refuse(
    "encoding-refused",
    `the body is not what its Content-Encoding says, ${coding}, so it cannot be looked into`,
    `bodies plain, or in one of ${READABLE_CODINGS}`,
  );
}

function tooLarge(limit: number): Refusal {
  return refuse("body-too-large", `the body unpacks to more than ${limit} bytes`, "size of an unpacked body");
}
