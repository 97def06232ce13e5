import { request } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LAST_WORDS, type MessagesApi, startMessagesApi } from "../../doubles/upstreams.ts";
import { makeTestCa, type TestCa } from "../../support/test-ca.ts";

const KEY = ["sk", "ant", "api03", "stand-in"].join("-");
const TOKEN = ["sk", "ant", "oat01", "stand-in"].join("-");

let ca: TestCa;
let api: MessagesApi;

beforeAll(async () => {
  ca = await makeTestCa();
  api = await startMessagesApi({
    tls: await ca.issue(["api.anthropic.com"]),
    credentials: [
      { header: "x-api-key", value: KEY },
      { header: "authorization", value: `Bearer ${TOKEN}` },
    ],
    script: [
      { tool: "Bash", input: { command: "echo one" } },
      { text: "It said one, and that is all there is to it." },
      { error: { status: 529, type: "overloaded_error", message: "Overloaded" } },
    ],
  });
});

afterAll(async () => {
  await api.close();
  await ca.remove();
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

function send(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { "x-api-key": KEY, "anthropic-version": "2023-06-01" },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        host: api.host,
        port: api.port,
        servername: "api.anthropic.com",
        ca: ca.certificate,
        method,
        path,
        headers,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(chunks).toString("utf8"),
          }),
        );
      },
    );
    call.on("error", reject);
    call.end(typeof body === "string" ? body : body === undefined ? undefined : JSON.stringify(body));
  });
}

const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown) => ({ role: "assistant", content });
const used = (id: string) => assistant([{ type: "tool_use", id, name: "Bash", input: {} }]);
const returned = (id: string, content: unknown) => user([{ type: "tool_result", tool_use_id: id, content }]);

function asks(messages: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) {
  return { model: "claude-x", max_tokens: 100, tools: [{ name: "Bash" }], messages, ...more };
}

function events(body: string): { type: string; [key: string]: unknown }[] {
  return body
    .trimEnd()
    .split("\n\n")
    .map((block) => {
      const [event = "", data = ""] = block.split("\n");
      const value = JSON.parse(data.slice("data: ".length)) as { type: string };
      expect(event).toBe(`event: ${value.type}`);
      return value;
    });
}

describe("the stand-in of the Messages API", () => {
  it("answers HEAD / without a credential", async () => {
    expect(await send("HEAD", "/", undefined, {})).toMatchObject({ status: 200, body: "" });
  });

  it("streams a turn that asks for a tool as events that build its input", async () => {
    const { status, headers, body } = await send("POST", "/v1/messages?beta=true", {
      ...asks([user("go")]),
      stream: true,
    });
    expect(status).toBe(200);
    expect(headers["content-type"]).toContain("text/event-stream");
    const all = events(body);
    expect(all[0]).toMatchObject({ type: "message_start", message: { role: "assistant", content: [] } });
    expect(all[1]).toMatchObject({
      type: "content_block_start",
      content_block: { type: "tool_use", name: "Bash", input: {} },
    });
    const deltas = all.filter((event) => event.type === "content_block_delta");
    expect(deltas.length).toBeGreaterThan(1);
    const json = deltas.map((event) => (event["delta"] as { partial_json: string }).partial_json).join("");
    expect(JSON.parse(json)).toEqual({ command: "echo one" });
    expect(all.at(-2)).toMatchObject({ type: "message_delta", delta: { stop_reason: "tool_use" } });
    expect(all.at(-1)).toEqual({ type: "message_stop" });
  });

  it("goes on with the next turn once the tool's result is there, and keeps the result", async () => {
    const { body } = await send(
      "POST",
      "/v1/messages",
      asks([user("go"), used("toolu_1"), returned("toolu_1", [{ type: "text", text: "one\n" }])]),
    );
    expect(JSON.parse(body)).toMatchObject({
      type: "message",
      content: [{ type: "text", text: "It said one, and that is all there is to it." }],
      stop_reason: "end_turn",
    });
    expect(api.toolResults()).toEqual(["one\n"]);
  });

  it("fails the way the script says, and is done when the script is", async () => {
    const talk = [user("a"), assistant("b"), user("c"), assistant("d"), user("e")];
    const third = await send("POST", "/v1/messages", asks(talk));
    expect(third.status).toBe(529);
    expect(JSON.parse(third.body)).toMatchObject({ type: "error", error: { type: "overloaded_error" } });
    expect(third.headers["x-should-retry"]).toBeUndefined();
    const fourth = await send("POST", "/v1/messages", asks([...talk, assistant("f"), user("g")]));
    expect(JSON.parse(fourth.body)).toMatchObject({ content: [{ text: LAST_WORDS }] });
  });

  it("answers an errand without using up a turn, in the JSON that it demands", async () => {
    const schema = {
      type: "object",
      properties: { title: { type: "string" }, isNew: { type: "boolean" }, kind: { enum: ["a", "b"] } },
    };
    const { body } = await send("POST", "/v1/messages", {
      model: "claude-haiku",
      max_tokens: 32,
      messages: [user("name this")],
      output_config: { format: { type: "json_schema", schema } },
    });
    const [block] = (JSON.parse(body) as { content: { text: string }[] }).content;
    expect(JSON.parse(block?.text ?? "")).toEqual({ title: "ok", isNew: false, kind: "a" });
  });

  it("counts tokens", async () => {
    const { status, body } = await send("POST", "/v1/messages/count_tokens", {
      model: "claude-x",
      messages: [user("x".repeat(400))],
    });
    expect(status).toBe(200);
    expect((JSON.parse(body) as { input_tokens: number }).input_tokens).toBeGreaterThan(100);
  });

  it.each([
    ["no credential", {}, "x-api-key header is required"],
    ["a wrong key", { "x-api-key": "nope" }, "invalid x-api-key"],
    ["a wrong token", { authorization: "Bearer nope" }, "Invalid bearer token"],
    [
      "a right key beside a wrong token",
      { "x-api-key": KEY, authorization: "Bearer nope" },
      "Invalid bearer",
    ],
    ["a token without the beta that allows it", { authorization: `Bearer ${TOKEN}` }, "OAuth authentication"],
  ])("refuses %s with 401, not to be tried again", async (_, credential, message) => {
    const answer = await send("POST", "/v1/messages", asks([user("go")]), {
      "anthropic-version": "2023-06-01",
      ...credential,
    });
    expect(answer.status).toBe(401);
    expect(answer.headers["x-should-retry"]).toBe("false");
    const { error } = JSON.parse(answer.body) as { error: { type: string; message: string } };
    expect(error.type).toBe("authentication_error");
    expect(error.message).toContain(message);
  });

  it("accepts a token with the beta that allows it", async () => {
    const { status } = await send("POST", "/v1/messages", asks([user("go")]), {
      "anthropic-version": "2023-06-01",
      "anthropic-beta": "claude-code-20250219, oauth-2025-04-20",
      authorization: `Bearer ${TOKEN}`,
    });
    expect(status).toBe(200);
  });

  it.each([
    ["no version", {}, asks([user("go")]), "anthropic-version"],
    ["no JSON", undefined, "{", "not valid JSON"],
    ["no message", undefined, asks([]), "messages"],
    ["no bound on the answer", undefined, { model: "claude-x", messages: [user("go")] }, "max_tokens"],
    ["a result that no tool was asked for", undefined, asks([returned("toolu_9", "x")]), "toolu_9"],
    ["a tool call without its result", undefined, asks([used("toolu_8"), user("well?")]), "toolu_8"],
  ])("refuses a request with %s", async (_, headers, body, complaint) => {
    const answer = await send(
      "POST",
      "/v1/messages",
      body,
      headers === undefined ? undefined : { ...headers, "x-api-key": KEY },
    );
    expect(answer.status).toBe(400);
    const { error } = JSON.parse(answer.body) as { error: { type: string; message: string } };
    expect(error.type).toBe("invalid_request_error");
    expect(error.message).toContain(complaint);
  });

  it("knows no other endpoint", async () => {
    expect(await send("GET", "/api/claude_code/settings")).toMatchObject({ status: 404 });
  });

  it("records what arrived, headers and all", async () => {
    const before = api.requests.length;
    await send("HEAD", "/", undefined, { "x-marker": "here" });
    expect(api.requests.slice(before)).toMatchObject([
      { method: "HEAD", target: "/", headers: { "x-marker": "here" } },
    ]);
  });

  it("shows a certificate that only its own authority vouches for", async () => {
    const other = await makeTestCa("somebody else");
    const attempt = new Promise((resolve, reject) => {
      const call = request(
        { host: api.host, port: api.port, servername: "api.anthropic.com", ca: other.certificate },
        resolve,
      );
      call.on("error", reject);
      call.end();
    });
    await expect(attempt).rejects.toMatchObject({ code: expect.stringMatching(/SIGNATURE|CERT|ISSUER/) });
    await other.remove();
  });
});
