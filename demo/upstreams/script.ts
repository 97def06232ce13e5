/** What a stand-in model says, as data, and which line of it a request has reached. */
import * as z from "zod";

/** One answer of the model; what it says may depend on what tools returned. After the script's last turn it answers {@link LAST_WORDS} for ever. */
export type ScriptedTurn =
  | { readonly text: string }
  /** Asks the agent to run a tool of its own, and waits for what it returns. */
  | { readonly tool: string; readonly input: ToolInput | ((results: readonly string[]) => ToolInput) }
  /** Fails the way the API does: `{status: 529, type: "overloaded_error", message: "Overloaded"}`. */
  | { readonly error: { readonly status: number; readonly type: string; readonly message: string } };

/** With whatever depended on the conversation. */
export type SpokenTurn =
  | Exclude<ScriptedTurn, { tool: string }>
  | { readonly tool: string; readonly input: ToolInput };

type ToolInput = Readonly<Record<string, unknown>>;

export const LAST_WORDS = "The script has ended.";

const block = z.looseObject({
  type: z.string(),
  id: z.string().optional(),
  tool_use_id: z.string().optional(),
  content: z.unknown().optional(),
});
type Block = z.infer<typeof block>;

/** The part of a request to the Messages API that an answer depends on. */
export const messagesRequestSchema = z.looseObject({
  model: z.string().min(1),
  max_tokens: z.number().int().positive(),
  stream: z.boolean().optional(),
  messages: z
    .array(z.looseObject({ role: z.string(), content: z.union([z.string(), z.array(block)]) }))
    .min(1),
  tools: z.array(z.unknown()).optional(),
  output_config: z.looseObject({ format: z.looseObject({ schema: z.unknown() }).optional() }).optional(),
});
export type MessagesRequest = z.infer<typeof messagesRequestSchema>;

/**
 * The turn a request asks for. What was said so far is in the request, so nothing is remembered: a
 * repeated request gets the same answer, and any number of conversations may run at once.
 * A request without tools is no turn of the agent's loop but one of its errands (a title, a quota check).
 */
export function turnFor(request: MessagesRequest, script: readonly ScriptedTurn[]): SpokenTurn {
  if ((request.tools?.length ?? 0) === 0) return { text: errandAnswer(request) };
  const said = request.messages.filter((message) => message.role === "assistant").length;
  const turn = script[said] ?? { text: LAST_WORDS };
  if (!("tool" in turn)) return turn;
  const { tool, input } = turn;
  return { tool, input: typeof input === "function" ? input(toolResultsOf(request)) : input };
}

/** The results of tools that the conversation holds, as text, oldest first. */
export function toolResultsOf(request: MessagesRequest): readonly string[] {
  return request.messages
    .flatMap((message) => blocksOf(message.content))
    .filter((part) => part.type === "tool_result")
    .map((part) => textOf(part.content));
}

/**
 * The API's rule for tools: every `tool_use` is answered in the very next message, and nothing else is.
 * Returns its complaint, or undefined.
 */
export function brokenToolLoop(request: MessagesRequest): string | undefined {
  let asked = new Set<string>();
  for (const [index, message] of request.messages.entries()) {
    // A system message may stand between a question and its answer.
    if (message.role === "system") continue;
    const blocks = blocksOf(message.content);
    for (const { type, tool_use_id: id = "" } of blocks) {
      if (type !== "tool_result") continue;
      if (!asked.delete(id)) {
        return `messages.${index}: unexpected \`tool_use_id\` found in \`tool_result\` blocks: ${id}`;
      }
    }
    if (asked.size > 0) {
      return `messages.${index}: \`tool_use\` ids were found without \`tool_result\` blocks immediately after: ${[...asked].join(", ")}`;
    }
    asked = new Set(blocks.filter((part) => part.type === "tool_use").map((part) => part.id ?? ""));
  }
  return undefined;
}

function blocksOf(content: string | readonly Block[]): readonly Block[] {
  return typeof content === "string" ? [] : content;
}

const textBlocks = z.array(z.looseObject({ text: z.string().optional() }));

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  const blocks = textBlocks.safeParse(content);
  return blocks.success ? blocks.data.map((part) => part.text ?? "").join("\n") : "";
}

/** An errand may demand JSON of a certain shape. */
function errandAnswer(request: MessagesRequest): string {
  const schema = request.output_config?.format?.schema;
  return schema === undefined ? "ok" : JSON.stringify(exampleOf(schema));
}

/** An errand's schema is a handful of fields; what is deeper is answered with null. */
const MAX_SCHEMA_DEPTH = 8;

const jsonSchema = z.looseObject({
  type: z.string().optional(),
  enum: z.array(z.unknown()).optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
});

function exampleOf(schema: unknown, depth = 0): unknown {
  const parsed = jsonSchema.safeParse(schema);
  if (!parsed.success || depth > MAX_SCHEMA_DEPTH) return null;
  const { type, enum: choices, properties = {} } = parsed.data;
  if (choices !== undefined) return choices[0] ?? null;
  switch (type) {
    case "object":
      return Object.fromEntries(
        Object.entries(properties).map(([name, value]) => [name, exampleOf(value, depth + 1)]),
      );
    case "array":
      return [];
    case "string":
      return "ok";
    case "boolean":
      return false;
    case "integer":
    case "number":
      return 0;
    default:
      return null;
  }
}
