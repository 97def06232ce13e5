/**
 * Hostile bytes against supervise, with the bottle's bearer and without, while an honest client goes on working. Whatever
 * is sent: who lacks the bearer asks for nothing, what is asked is in its one spelling and could be shown anywhere,
 * nothing is ever decided, and supervise does not fall over.
 *
 * Replay with FUZZ_SEED=<the seed it printed>.
 */
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { canonicalAsk } from "../../src/approvals/ask.ts";
import { fuzzRun } from "../support/fuzz-run.ts";
import { dice } from "../support/random.ts";
import { type RunningSupervise, runSupervise } from "../support/supervise.ts";

const { seed, milliseconds, timeout } = fuzzRun("supervise");
const BEARER = ["the", "bottle's", "own"].join("-");
/** How long one hostile connection may take before the next begins. */
const PATIENCE_MS = 25;
/** With one supervise; what it limits would hide the rest. */
const CONNECTIONS = 60;

const { random, below, pick, mostly } = dice(seed, 0.9);

const TOOLS = [
  "request_access",
  "request_exception",
  "check_request",
  "withdraw_request",
  "explain_denial",
  "list_capabilities",
  "approve",
  "__proto__",
  "",
];
const FIELDS = [
  "host",
  "method",
  "path",
  "methods",
  "paths",
  "repository",
  "refs",
  "force",
  "finding",
  "detector",
  "repo",
  "code",
  "subjects",
  "ticket",
  "justification",
  "ask",
  "target",
  "__proto__",
  "constructor",
  "status",
];
const TEXTS = [
  "a.test",
  "xn--pple-43d.com",
  "\u0430pple.com",
  "a\u202e.test",
  "\u001b[2J",
  "\u0000",
  "\ud800",
  "/v1/*",
  "/../x",
  "GET",
  "refs/heads/main",
  "app",
  "path-protected",
  "0".repeat(32),
  "x".repeat(3_000),
  "10.0.0.1",
  "",
];
const METHODS = [
  "tools/call",
  "tools/list",
  "initialize",
  "ping",
  "server/discover",
  "subscriptions/listen",
  "x",
  "",
];

function value(depth = 0): unknown {
  const kind = below(depth > 3 ? 5 : 8);
  if (kind < 4) return pick(TEXTS);
  if (kind === 4) return pick([null, true, false, 0, -1, 1e308, 2 ** 53]);
  if (kind < 7) return Array.from({ length: below(20) }, () => value(depth + 1));
  return Object.fromEntries(Array.from({ length: below(5) }, () => [pick(FIELDS), value(depth + 1)]));
}

/** What an honest call could have, and now and then something else in it. */
function callArguments(): Record<string, unknown> {
  const host = `h${below(1_000)}.test`;
  const args: Record<string, unknown> = pick([
    { host, method: "GET", path: "/v1", justification: pick(TEXTS) },
    { host, methods: ["GET", "post"], paths: ["/a/*", "/b"] },
    { host, detector: "aws-key", finding: "a1" },
    { repo: "app", code: "path-protected", subjects: [host, "b"] },
    { repository: "app", refs: [`refs/heads/${host}`], force: true },
  ]);
  if (random() < 0.5)
    args[pick(random() < 0.8 ? Object.keys(args) : FIELDS)] = mostly([pick(TEXTS), value()]);
  return args;
}

function body(): string {
  const args = callArguments();
  const tool = "host" in args && !("finding" in args) ? "request_access" : "request_exception";
  const message = {
    jsonrpc: mostly(["2.0", "1.0", 2]),
    id: mostly([1, "a", null, {}, -1]),
    method: mostly(METHODS),
    params: mostly([
      { name: mostly([tool, pick(TOOLS), value()]), arguments: mostly([args, value()]) },
      value(),
    ]),
  };
  const text = JSON.stringify(mostly([message, [message, message], value()]));
  if (random() < 0.85) return text;
  const at = below(text.length);
  return pick([
    text.slice(0, at),
    `${text.slice(0, at)}\u0000${text.slice(at)}`,
    `${"[".repeat(5_000)}`,
    `${text}${text}`,
  ]);
}

function request(): { text: string; bearer: boolean } {
  const bearer = random() < 0.7;
  const content = body();
  const length = Buffer.byteLength(content);
  const head = [
    `${mostly(["POST", "GET", "DELETE", "PUT", "CONNECT", "P\tOST"])} ${mostly(["/mcp", "/", "http://localhost/mcp", "*", "/mcp?x"])} ${mostly(["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", ""])}`,
    `Host: ${mostly(["localhost", "127.0.0.1:9100", "evil.test", "", "[::1"])}`,
    `Content-Type: ${mostly(["application/json", "text/plain", "application/json; charset=utf-16"])}`,
    `Accept: ${mostly(["application/json, text/event-stream", "*/*", "text/html"])}`,
    mostly(["Connection: close", "Connection: keep-alive", "Connection: x"]),
    `Content-Length: ${mostly([length, length - 1, length + 7, -1, "x", 1e9])}`,
    ...(bearer ? [`Authorization: Bearer ${BEARER}`] : mostly([[], [`Authorization: Bearer ${BEARER}x`]])),
    ...(random() < 0.1
      ? [pick(["Transfer-Encoding: chunked", "Upgrade: websocket", "Expect: 100-continue", "Origin: null"])]
      : []),
    ...(random() < 0.2 ? [`MCP-Protocol-Version: ${pick(["2026-07-28", "2025-06-18", "1", "\u0001"])}`] : []),
    ...(random() < 0.2 ? [`Mcp-Method: ${pick(METHODS)}`, `Mcp-Name: ${pick(TOOLS)}`] : []),
    ...(random() < 0.05 ? [`X: ${"y".repeat(below(40_000))}`] : []),
  ];
  return { text: `${head.join("\r\n")}\r\n\r\n${content}`, bearer };
}

function send(url: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let got = "";
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      got += chunk.toString("latin1");
    });
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(got);
    });
    socket.write(text);
  });
}

function check({ keeper }: RunningSupervise): number {
  for (const { event, data } of keeper.log) {
    expect(["request.asked", "request.withdrawn"]).toContain(event);
    if (!("ask" in data)) continue;
    expect(canonicalAsk(data.ask)).toEqual({ ok: true, value: data.ask });
    expect(JSON.stringify(data)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u);
  }
  return keeper.log.length;
}

describe("supervise", () => {
  it("takes whatever is sent", { timeout }, async () => {
    const until = performance.now() + milliseconds;
    let [asked, answered] = [0, 0];
    while (performance.now() < until) {
      const running = await runSupervise(
        {
          routes: [],
          repos: [{ name: "app", upstream: "/app.git", refs: [] }],
          findings: [],
          gitExceptions: [],
        },
        { bearer: BEARER },
      );
      try {
        for (let i = 0; i < CONNECTIONS && performance.now() < until; i++) {
          const { text, bearer } = request();
          const before = running.keeper.log.length;
          const answer = await send(running.url, text);
          if (answer.startsWith("HTTP/1.1 2")) answered += 1;
          if (bearer) continue;
          expect(answer).not.toMatch(/^HTTP\/1\.1 2/);
          expect(running.keeper.log.length).toBe(before);
        }
        expect(await running.call("list_capabilities")).toMatchObject({ isError: false });
        asked += check(running);
      } finally {
        running.supervise.stop();
      }
    }
    expect([asked > 0, answered > 0]).toEqual([true, true]);
    console.log(`supervise: ${answered} answered, ${asked} asked`);
  });
});
