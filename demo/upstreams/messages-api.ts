/**
 * A stand-in of the streaming Messages API over real TLS: an agent's whole loop, tools included, with
 * a scripted model. It is as strict as the real one where a bottle could go wrong: the credential, the
 * version and beta headers, and the order of tool calls and their results.
 */
import { randomBytes } from "node:crypto";
import { type Message, messageBody, streamMessage } from "./message-stream.ts";
import {
  brokenToolLoop,
  type MessagesRequest,
  messagesRequestSchema,
  type ScriptedTurn,
  toolResultsOf,
  turnFor,
} from "./script.ts";
import {
  type RecordedRequest,
  type Reply,
  sendJson,
  startUpstream,
  type Upstream,
  type UpstreamOptions,
} from "./tls-upstream.ts";

/** A header and its whole value that the API accepts as proof of who asks. */
export interface AcceptedCredential {
  readonly header: "x-api-key" | "authorization";
  readonly value: string;
}

export interface MessagesApiOptions extends UpstreamOptions {
  readonly credentials: readonly AcceptedCredential[];
  readonly script: readonly ScriptedTurn[];
}

export interface MessagesApi extends Upstream {
  /** What the tools returned in the longest conversation so far, oldest first. */
  toolResults(): readonly string[];
}

/** A bearer token is accepted only from a client that says so. */
const OAUTH_BETA = "oauth-2025-04-20";
const CREDENTIAL_HEADERS = ["x-api-key", "authorization"] as const;
const CHARACTERS_PER_TOKEN = 4;

export async function startMessagesApi(options: MessagesApiOptions): Promise<MessagesApi> {
  let longest: readonly string[] = [];
  const upstream = await startUpstream(options, async (request, reply) => {
    const headers = { "request-id": `req_${randomBytes(12).toString("hex")}` };
    const { pathname } = new URL(request.target, "https://api");
    if (request.method === "HEAD" && pathname === "/") {
      reply.head(200, headers);
      reply.end();
      return;
    }
    const refused = refusalOf(request, options.credentials);
    if (refused !== undefined) {
      sendError(reply, 401, "authentication_error", refused, headers);
      return;
    }
    if (request.method !== "POST" || !ENDPOINTS.has(pathname)) {
      sendError(reply, 404, "not_found_error", "Not found", headers);
      return;
    }
    const parsed = parse(request);
    if ("complaint" in parsed) {
      sendError(reply, 400, "invalid_request_error", parsed.complaint, headers);
      return;
    }
    const inputTokens = Math.ceil(request.body.length / CHARACTERS_PER_TOKEN);
    if (pathname === COUNT_TOKENS) {
      sendJson(reply, 200, { input_tokens: inputTokens }, headers);
      return;
    }
    const results = toolResultsOf(parsed.request);
    if (results.length > longest.length) longest = results;
    const turn = turnFor(parsed.request, options.script);
    if ("error" in turn) {
      sendError(reply, turn.error.status, turn.error.type, turn.error.message, headers);
      return;
    }
    const message: Message = {
      id: `msg_${randomBytes(12).toString("hex")}`,
      model: parsed.request.model,
      content: [
        "text" in turn
          ? { type: "text", text: turn.text }
          : {
              type: "tool_use",
              id: `toolu_${randomBytes(12).toString("hex")}`,
              name: turn.tool,
              input: turn.input,
            },
      ],
      inputTokens,
    };
    if (parsed.request.stream === true) await streamMessage(message, reply, headers);
    else sendJson(reply, 200, messageBody(message), headers);
  });
  return { ...upstream, toolResults: () => longest };
}

const MESSAGES = "/v1/messages";
const COUNT_TOKENS = "/v1/messages/count_tokens";
const ENDPOINTS: ReadonlySet<string> = new Set([MESSAGES, COUNT_TOKENS]);

/** Why the request's credential is not good enough, in the API's words; undefined when it is. */
function refusalOf(request: RecordedRequest, accepted: readonly AcceptedCredential[]): string | undefined {
  const presented = CREDENTIAL_HEADERS.filter((header) => request.headers[header] !== undefined);
  if (presented.length === 0) return "x-api-key header is required";
  for (const header of presented) {
    const good = accepted.some((one) => one.header === header && one.value === request.headers[header]);
    if (!good) return header === "x-api-key" ? "invalid x-api-key" : "Invalid bearer token";
  }
  if (presented.includes("authorization") && !betasOf(request).includes(OAUTH_BETA)) {
    return "OAuth authentication is currently not supported.";
  }
  return undefined;
}

function betasOf(request: RecordedRequest): readonly string[] {
  return String(request.headers["anthropic-beta"] ?? "").split(/\s*,\s*/);
}

function parse(request: RecordedRequest): { request: MessagesRequest } | { complaint: string } {
  if (request.headers["anthropic-version"] === undefined) {
    return { complaint: "anthropic-version: header is required" };
  }
  let body: unknown;
  try {
    body = JSON.parse(request.body);
  } catch {
    return { complaint: "The request body is not valid JSON" };
  }
  // Counting needs no bound on the answer.
  const schema = request.target.startsWith(COUNT_TOKENS)
    ? messagesRequestSchema.extend({ max_tokens: messagesRequestSchema.shape.max_tokens.default(1) })
    : messagesRequestSchema;
  const parsed = schema.safeParse(body);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { complaint: `${issue?.path.join(".")}: ${issue?.message}` };
  }
  const complaint = brokenToolLoop(parsed.data);
  return complaint === undefined ? { request: parsed.data } : { complaint };
}

/** The client's own mistakes are not to be tried again; a 429 or a 5xx is. */
function sendError(
  reply: Reply,
  status: number,
  type: string,
  message: string,
  headers: Readonly<Record<string, string>>,
): void {
  const final: Readonly<Record<string, string>> =
    status < 500 && status !== 429 ? { "x-should-retry": "false" } : {};
  const body = { type: "error", error: { type, message }, request_id: headers["request-id"] };
  sendJson(reply, status, body, { ...headers, ...final });
}
