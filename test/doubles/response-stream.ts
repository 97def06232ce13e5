/** One answer of the Responses API, whole or as the server-sent events that build it. */
import type { Reply } from "../../demo/upstreams/tls-upstream.ts";

export type OutputItem =
  | { readonly type: "message"; readonly id: string; readonly text: string }
  | {
      readonly type: "custom_tool_call";
      readonly id: string;
      readonly callId: string;
      readonly name: string;
      /** Whatever text the tool takes. */
      readonly input: string;
    };

export interface ModelResponse {
  readonly id: string;
  readonly model: string;
  readonly item: OutputItem;
  readonly inputTokens: number;
}

/** Characters a delta carries: small, so that every answer of a sentence is several events. */
const DELTA_CHARACTERS = 12;
const CREATED_AT = 1_700_000_000;

/** The body of an answer to a request that did not ask for a stream. */
export function responseBody(response: ModelResponse): Readonly<Record<string, unknown>> {
  return envelope(response, "completed");
}

/** Writes the events one by one and ends the reply. */
export async function streamResponse(
  response: ModelResponse,
  reply: Reply,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  reply.head(200, { "content-type": "text/event-stream", "cache-control": "no-cache", ...headers });
  let sequence = 0;
  for (const event of eventsOf(response)) {
    const data = JSON.stringify({ ...event, sequence_number: sequence++ });
    if (!(await reply.write(`event: ${event.type}\ndata: ${data}\n\n`))) return;
  }
  reply.end();
}

type StreamEvent = { readonly type: string } & Readonly<Record<string, unknown>>;

function* eventsOf(response: ModelResponse): Generator<StreamEvent> {
  const { item } = response;
  yield { type: "response.created", response: envelope(response, "in_progress") };
  yield { type: "response.in_progress", response: envelope(response, "in_progress") };
  yield { type: "response.output_item.added", output_index: 0, item: wireItem(item, "in_progress") };
  const place = { item_id: item.id, output_index: 0 };
  switch (item.type) {
    case "message": {
      const within = { ...place, content_index: 0 };
      yield { type: "response.content_part.added", ...within, part: textPart("") };
      for (const delta of pieces(item.text)) yield { type: "response.output_text.delta", ...within, delta };
      yield { type: "response.output_text.done", ...within, text: item.text };
      yield { type: "response.content_part.done", ...within, part: textPart(item.text) };
      break;
    }
    case "custom_tool_call":
      for (const delta of pieces(item.input))
        yield { type: "response.custom_tool_call_input.delta", ...place, delta };
      yield { type: "response.custom_tool_call_input.done", ...place, input: item.input };
      break;
  }
  yield { type: "response.output_item.done", output_index: 0, item: wireItem(item, "completed") };
  yield { type: "response.completed", response: envelope(response, "completed") };
}

function envelope(
  response: ModelResponse,
  status: "in_progress" | "completed",
): Readonly<Record<string, unknown>> {
  const isDone = status === "completed";
  const outputTokens = Math.ceil(JSON.stringify(response.item).length / 4);
  return {
    id: response.id,
    object: "response",
    created_at: CREATED_AT,
    status,
    model: response.model,
    error: null,
    incomplete_details: null,
    output: isDone ? [wireItem(response.item, "completed")] : [],
    usage: isDone
      ? {
          input_tokens: response.inputTokens,
          input_tokens_details: { cached_tokens: 0 },
          output_tokens: outputTokens,
          output_tokens_details: { reasoning_tokens: 0 },
          total_tokens: response.inputTokens + outputTokens,
        }
      : null,
  };
}

function wireItem(item: OutputItem, status: "in_progress" | "completed"): Readonly<Record<string, unknown>> {
  const isDone = status === "completed";
  switch (item.type) {
    case "message":
      return {
        type: "message",
        id: item.id,
        status,
        role: "assistant",
        content: isDone ? [textPart(item.text)] : [],
      };
    case "custom_tool_call":
      return {
        type: "custom_tool_call",
        id: item.id,
        status,
        call_id: item.callId,
        name: item.name,
        input: isDone ? item.input : "",
      };
  }
}

function textPart(text: string): Readonly<Record<string, unknown>> {
  return { type: "output_text", text, annotations: [] };
}

function* pieces(text: string): Generator<string> {
  const characters = [...text];
  for (let i = 0; i < characters.length; i += DELTA_CHARACTERS) {
    yield characters.slice(i, i + DELTA_CHARACTERS).join("");
  }
}
