/**
 * A WebSocket's messages, looked into like bodies, both ways: each is held until it is whole, its fragments
 * joined, control frames among them. A message that may not pass ends the connection with the reason in its close.
 */
import type { EchoScrubberFactory } from "../../../inspect/echo-scrubber.ts";
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { mask } from "../../../inspect/mask.ts";
import { type Refusal, refuse } from "../denial.ts";
import type { CompiledRoute } from "../policy/compile.ts";
import { FrameFault, framesWith, type Message, MessageReader } from "./frames.ts";
import { scrubbed, scrubbedText } from "./incoming.ts";
import type { Ruling } from "./ruling.ts";

export interface MessageOptions {
  readonly route: CompiledRoute;
  readonly maxBytes: number;
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

export interface MessageInspection {
  /** What may go on of the head with which the upstream consents. */
  head(text: string): string;
  /** From the guest: what may go on of this chunk and what was held. */
  up(chunk: Buffer): readonly Buffer[];
  /** From the upstream. */
  down(chunk: Buffer): readonly Buffer[];
}

const NOTHING: readonly Buffer[] = [];

export function inspectMessages(options: MessageOptions, events: MessageEvents): MessageInspection {
  const { maxBytes, route } = options;
  const guest = new MessageReader({ masked: true, maxBytes });
  const upstream = new MessageReader({ masked: false, maxBytes });
  let isOver = false;

  const stop = (refusal: Refusal): readonly Buffer[] => {
    if (!isOver) events.refused(refusal);
    isOver = true;
    return NOTHING;
  };

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
        return passed;
      } catch (error) {
        if (!(error instanceof FrameFault)) throw error;
        return stop(refuse("upgrade-refused", `this is no proper WebSocket: ${error.message}`, "RFC 6455"));
      }
    };
  return {
    head: (text) => (options.scrubber === undefined ? text : scrubbedText(options.scrubber, text)),
    up: through(guest, outgoing),
    down: through(upstream, incoming),
  };
}
