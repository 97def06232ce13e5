/**
 * A WebSocket's messages, looked into like bodies, both ways: each is held until it is whole, its fragments
 * joined, control frames among them. A message that may not pass ends the connection with the reason in its close.
 * What all of them hold, with what a peer leaves lying, is bounded together: who goes beyond it, and beyond its own small part, is ended.
 */
import type { EchoScrubberFactory } from "../../../inspect/echo-scrubber.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { mask } from "../../../inspect/mask.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { Limits } from "../limits.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import type { Through } from "../tunnel/splice.ts";
import { FrameFault, framesWith, type Message, MessageReader } from "./frames.ts";
import { scrubbed, scrubbedText } from "./incoming.ts";
import type { Ruling } from "./ruling.ts";

export interface MessageOptions {
  readonly route: Pick<CompiledRoute, "inspection">;
  readonly limits: Pick<Limits, "messageBytes" | "allMessageBytes" | "ownMessageBytes">;
  /** By all WebSockets. */
  readonly held: { bytes: number };
  readonly ruleOn: (payload: Buffer) => Ruling;
  readonly scrubber: EchoScrubberFactory | undefined;
  readonly phrases: Inspector;
}

export interface MessageEvents {
  masked(findings: readonly Finding[]): void;
  flagged(findings: readonly Finding[]): void;
  /** Once; nothing passes any more. */
  refused(refusal: Refusal): void;
}

export interface MessageInspection extends Through {
  /** What may go on of the head with which the upstream consents. */
  head(text: string): string;
}

const NOTHING: readonly Buffer[] = [];

export function inspectMessages(options: MessageOptions, events: MessageEvents): MessageInspection {
  const { route, limits, held } = options;
  const maxBytes = limits.messageBytes;
  const guest = new MessageReader({ masked: true, maxBytes });
  const upstream = new MessageReader({ masked: false, maxBytes });
  const waiting = { up: 0, down: 0 };
  let isOver = false;
  let counted = 0;

  const stop = (refusal: Refusal): readonly Buffer[] => {
    const isFirst = !isOver;
    isOver = true;
    guest.forget();
    upstream.forget();
    if (isFirst) events.refused(refusal);
    return NOTHING;
  };

  const count = (): void => {
    const own = guest.held + upstream.held + waiting.up + waiting.down;
    held.bytes += own - counted;
    counted = own;
  };

  /** What it may hold: undefined, or why that is too much. */
  function excess(): Refusal | undefined {
    count();
    if (counted <= limits.ownMessageBytes || held.bytes <= limits.allMessageBytes) return undefined;
    const reason = "WebSockets hold too much that is not whole or that nobody takes";
    return refuse("overloaded", reason, `at most ${limits.allMessageBytes} bytes of all messages`);
  }

  function outgoing(message: Message): readonly Buffer[] {
    const ruling = options.ruleOn(message.payload);
    switch (ruling.kind) {
      case "refuse":
        return stop(ruling.refusal);
      case "mask":
        events.masked(ruling.findings);
        return framesWith(message, mask(message.payload, ruling.findings));
      case "pass":
        return framesWith(message, message.payload);
    }
  }

  function incoming(message: Message): readonly Buffer[] {
    const { phrases } = route.inspection;
    const findings = phrases === "off" ? [] : options.phrases.scan(message.payload);
    if (findings.length > 0) {
      events.flagged(findings);
      if (phrases === "block") {
        const names = [...new Set(findings.map(({ detector }) => detector))].join(", ");
        return stop(
          refuse("answer-refused", "a message tries to instruct the agent", `prompt injection: ${names}`),
        );
      }
    }
    const { scrubber } = options;
    return framesWith(
      message,
      scrubber === undefined ? message.payload : scrubbed(scrubber, message.payload),
    );
  }

  const through =
    (reader: MessageReader, look: (message: Message) => readonly Buffer[]) =>
    (chunk: Buffer): readonly Buffer[] => {
      if (isOver) return NOTHING;
      try {
        const passed: Buffer[] = [];
        for (const message of reader.read(chunk)) {
          if (isOver) break;
          passed.push(...look(message));
        }
        const refusal = excess();
        return refusal === undefined ? passed : stop(refusal);
      } catch (error) {
        if (!(error instanceof FrameFault)) throw error;
        return stop(refuse("upgrade-refused", `this is no proper WebSocket: ${error.message}`, "RFC 6455"));
      } finally {
        count();
      }
    };
  const waits = (side: keyof typeof waiting, bytes: number): void => {
    waiting[side] = bytes;
    const refusal = excess();
    if (refusal !== undefined) stop(refusal);
    count();
  };
  return {
    head: (text) => (options.scrubber === undefined ? text : scrubbedText(options.scrubber, text)),
    up: through(guest, outgoing),
    down: through(upstream, incoming),
    upWaits: (bytes) => waits("up", bytes),
    downWaits: (bytes) => waits("down", bytes),
    closed() {
      isOver = true;
      guest.forget();
      upstream.forget();
      waiting.up = 0;
      waiting.down = 0;
      count();
    },
  };
}
