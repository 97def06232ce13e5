/**
 * A stand-in of the streaming Responses API over real TLS: an agent's whole loop, tools included, with a scripted
 * model. It is as strict as the real one where a bottle could go wrong: the credential, and the order of tool calls and
 * their results. What was said so far is in the request, so nothing is remembered.
 */
import { randomBytes } from "node:crypto";
import * as z from "zod";
import {
  type RecordedRequest,
  type Reply,
  sendJson,
  startUpstream,
  type Upstream,
  type UpstreamOptions,
} from "../../demo/upstreams/tls-upstream.ts";
import { type OutputItem, responseBody, streamResponse } from "./response-stream.ts";

/** One answer of the model. After the script's last turn it answers {@link LAST_RESPONSE} for ever. */
export type ResponsesTurn =
  | { readonly text: string }
  /** Asks the agent to run a tool of its own; what it is given may depend on what tools returned. */
  | {
      readonly tool: string;
      readonly input: string | ((results: readonly string[]) => string);
    }
  | { readonly error: { readonly status: number; readonly code: string; readonly message: string } };

export const LAST_RESPONSE = "The script has ended.";

export interface ResponsesApiOptions extends UpstreamOptions {
  /** Whole values of `authorization` that it accepts. */
  readonly credentials: readonly string[];
  readonly script: readonly ResponsesTurn[];
}

export interface ResponsesApi extends Upstream {
  /** What the tools returned in the longest conversation so far, oldest first. */
  toolResults(): readonly string[];
}

const item = z.looseObject({
  type: z.string().optional(),
  role: z.string().optional(),
  call_id: z.string().optional(),
  output: z.unknown().optional(),
});
type Item = z.infer<typeof item>;

const requestSchema = z.looseObject({
  model: z.string().min(1),
  input: z.union([z.string(), z.array(item).min(1)]),
  stream: z.boolean().optional(),
  tools: z.array(z.unknown()).optional(),
});
type ResponsesRequest = z.infer<typeof requestSchema>;

/** With an API key. */
const RESPONSES = "/v1/responses";
/** With an access token of a ChatGPT workspace, whose account has to be named. */
const CHATGPT_RESPONSES = "/backend-api/codex/responses";
const ACCOUNT = "11111111-2222-4333-8444-555555555555";
const ENDPOINTS: ReadonlySet<string> = new Set([RESPONSES, CHATGPT_RESPONSES]);
/** What is asked of such a workspace before anything is asked of its model. */
const KNOWN: Readonly<Record<string, object>> = {
  "/api/accounts/v1/user-auth-credential/whoami": {
    email: "operator@example.com",
    chatgpt_user_id: "user-of-this-stand-in",
    chatgpt_account_id: ACCOUNT,
    chatgpt_plan_type: "business",
    chatgpt_account_is_fedramp: false,
  },
  "/backend-api/wham/accounts/check": {
    accounts: [
      {
        id: ACCOUNT,
        workspace_backend_origin: "https://chatgpt.com",
        account_routing_override: "NO_CONSTRAINT",
      },
    ],
  },
  "/backend-api/wham/config/bundle": {},
  "/backend-api/codex/models": { models: [] },
};
const CHARACTERS_PER_TOKEN = 4;

export async function startResponsesApi(options: ResponsesApiOptions): Promise<ResponsesApi> {
  let longest: readonly string[] = [];
  const upstream = await startUpstream(options, async (request, reply) => {
    const headers = { "x-request-id": `req_${randomBytes(12).toString("hex")}` };
    const refused = refusalOf(request, options.credentials);
    if (refused !== undefined) return sendError(reply, 401, refused.code, refused.message, headers);
    const { pathname } = new URL(request.target, "https://api");
    const known = request.method === "GET" ? KNOWN[pathname] : undefined;
    if (known !== undefined) return sendJson(reply, 200, known, headers);
    if (pathname === CHATGPT_RESPONSES && request.headers["chatgpt-account-id"] !== ACCOUNT)
      return sendError(reply, 401, "account_mismatch", "The account is not the token's.", headers);
    if (request.method !== "POST" || !ENDPOINTS.has(pathname))
      return sendError(reply, 404, "not_found", `Invalid URL (${request.method} ${pathname})`, headers);
    const parsed = parse(request);
    if ("complaint" in parsed)
      return sendError(reply, 400, "invalid_request_error", parsed.complaint, headers);
    const results = toolResultsOf(parsed.request);
    if (results.length > longest.length) longest = results;
    const turn = options.script[saidIn(parsed.request)] ?? { text: LAST_RESPONSE };
    if ("error" in turn)
      return sendError(reply, turn.error.status, turn.error.code, turn.error.message, headers);
    const response = {
      id: `resp_${randomBytes(16).toString("hex")}`,
      model: parsed.request.model,
      item: spoken(turn, results),
      inputTokens: Math.ceil(request.body.length / CHARACTERS_PER_TOKEN),
    };
    if (parsed.request.stream === true) await streamResponse(response, reply, headers);
    else sendJson(reply, 200, responseBody(response), headers);
  });
  return { ...upstream, toolResults: () => longest };
}

function spoken(turn: Exclude<ResponsesTurn, { error: unknown }>, results: readonly string[]): OutputItem {
  const id = randomBytes(16).toString("hex");
  if ("text" in turn) return { type: "message", id: `msg_${id}`, text: turn.text };
  const input = typeof turn.input === "function" ? turn.input(results) : turn.input;
  return {
    type: "custom_tool_call",
    id: `ctc_${id}`,
    callId: `call_${id.slice(0, 24)}`,
    name: turn.tool,
    input,
  };
}

function refusalOf(
  request: RecordedRequest,
  accepted: readonly string[],
): { readonly code: string; readonly message: string } | undefined {
  const { authorization } = request.headers;
  if (authorization === undefined)
    return { code: "missing_api_key", message: "You didn't provide an API key." };
  if (accepted.includes(authorization)) return undefined;
  return { code: "invalid_api_key", message: "Incorrect API key provided." };
}

function parse(request: RecordedRequest): { request: ResponsesRequest } | { complaint: string } {
  let body: unknown;
  try {
    body = JSON.parse(request.body);
  } catch {
    return { complaint: "We could not parse the JSON body of your request." };
  }
  const parsed = requestSchema.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { complaint: `${issue?.path.join(".")}: ${issue?.message}` };
  }
  const complaint = brokenToolLoop(parsed.data);
  return complaint === undefined ? { request: parsed.data } : { complaint };
}

/** The API's rule for tools: every call has its output later on, and no output is without its call. */
function brokenToolLoop(request: ResponsesRequest): string | undefined {
  const open = new Set<string>();
  for (const { type = "", call_id: id = "" } of itemsOf(request)) {
    if (type.endsWith("_call_output")) {
      if (!open.delete(id)) return `No tool call found for function call output with call_id ${id}.`;
    } else if (isCall(type)) open.add(id);
  }
  const [left] = open;
  return left === undefined ? undefined : `No tool output found for function call ${left}.`;
}

function isCall(type: string): boolean {
  return type === "function_call" || type === "custom_tool_call";
}

/** How many answers of the model's the conversation holds. */
function saidIn(request: ResponsesRequest): number {
  return itemsOf(request).filter(
    ({ type = "message", role }) => isCall(type) || (type === "message" && role === "assistant"),
  ).length;
}

function toolResultsOf(request: ResponsesRequest): readonly string[] {
  return itemsOf(request)
    .filter(({ type = "" }) => type.endsWith("_call_output"))
    .map(({ output }) => textOf(output));
}

const texts = z.array(z.looseObject({ text: z.string().optional() }));

function textOf(output: unknown): string {
  if (typeof output === "string") return output;
  const parsed = texts.safeParse(output);
  return parsed.success ? parsed.data.map(({ text }) => text ?? "").join("\n") : JSON.stringify(output);
}

function itemsOf({ input }: ResponsesRequest): readonly Item[] {
  return typeof input === "string" ? [{ type: "message", role: "user" }] : input;
}

function sendError(
  reply: Reply,
  status: number,
  code: string,
  message: string,
  headers: Readonly<Record<string, string>>,
): void {
  sendJson(reply, status, { error: { message, type: "invalid_request_error", param: null, code } }, headers);
}
