/** One answer of the Messages API, whole or as the server-sent events that build it. */
import type { Reply } from "./tls-upstream.ts";

export type ContentBlock =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "tool_use";
      readonly id: string;
      readonly name: string;
      readonly input: Readonly<Record<string, unknown>>;
    };

export interface Message {
  readonly id: string;
  readonly model: string;
  readonly content: readonly ContentBlock[];
  readonly inputTokens: number;
}

/** Characters a delta carries: small, so that every answer of a sentence is several events. */
const DELTA_CHARACTERS = 12;

/** The body of an answer to a request that did not ask for a stream. */
export function messageBody(message: Message): Readonly<Record<string, unknown>> {
  return {
    ...envelope(message),
    content: message.content,
    stop_reason: stopReason(message),
    usage: { input_tokens: message.inputTokens, output_tokens: outputTokens(message) },
  };
}

/** Writes the events one by one and ends the reply. */
export async function streamMessage(
  message: Message,
  reply: Reply,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  reply.head(200, {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    ...headers,
  });
  for (const event of eventsOf(message)) {
    if (!(await reply.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`))) return;
  }
  reply.end();
}

type StreamEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

function* eventsOf(message: Message): Generator<StreamEvent> {
  yield {
    type: "message_start",
    message: {
      ...envelope(message),
      content: [],
      stop_reason: null,
      usage: { input_tokens: message.inputTokens, output_tokens: 1 },
    },
  };
  for (const [index, block] of message.content.entries()) {
    yield* blockEvents(block, index);
    if (index === 0) yield { type: "ping" };
  }
  yield {
    type: "message_delta",
    delta: { stop_reason: stopReason(message), stop_sequence: null },
    usage: { output_tokens: outputTokens(message) },
  };
  yield { type: "message_stop" };
}

function* blockEvents(block: ContentBlock, index: number): Generator<StreamEvent> {
  switch (block.type) {
    case "text":
      yield { type: "content_block_start", index, content_block: { type: "text", text: "" } };
      for (const text of pieces(block.text)) {
        yield { type: "content_block_delta", index, delta: { type: "text_delta", text } };
      }
      break;
    case "tool_use":
      yield { type: "content_block_start", index, content_block: { ...block, input: {} } };
      for (const json of pieces(JSON.stringify(block.input))) {
        yield {
          type: "content_block_delta",
          index,
          delta: { type: "input_json_delta", partial_json: json },
        };
      }
      break;
  }
  yield { type: "content_block_stop", index };
}

function envelope(message: Message): Readonly<Record<string, unknown>> {
  return { id: message.id, type: "message", role: "assistant", model: message.model, stop_sequence: null };
}

function stopReason(message: Message): "tool_use" | "end_turn" {
  return message.content.some((block) => block.type === "tool_use") ? "tool_use" : "end_turn";
}

function outputTokens(message: Message): number {
  return Math.ceil(JSON.stringify(message.content).length / 4);
}

function* pieces(text: string): Generator<string> {
  const characters = [...text];
  for (let i = 0; i < characters.length; i += DELTA_CHARACTERS) {
    yield characters.slice(i, i + DELTA_CHARACTERS).join("");
  }
}
