/** What a hostile guest can send to supervise, and what comes of it. */
import { randomBytes } from "node:crypto";
import { Agent, request as httpRequest } from "node:http";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { MAX_PENDING } from "../../../src/approvals/decide.ts";
import { CALLS, LIMITS } from "../../../src/sidecars/supervise/limits.ts";
import {
  type RunningSupervise,
  rpc,
  runSupervise,
  startSuperviseProcess,
  superviseConfig,
  testKeeper,
  toldIn,
} from "../../support/supervise.ts";

const NOTHING = { routes: [], repos: [], findings: [], gitExceptions: [] };
const running: RunningSupervise[] = [];
afterEach(() => {
  for (const each of running.splice(0)) each.supervise.stop();
});

async function start(more: Parameters<typeof superviseConfig>[0] = {}): Promise<RunningSupervise> {
  const s = await runSupervise(NOTHING, more);
  running.push(s);
  return s;
}

interface Answer {
  readonly status: number;
  readonly code: string | undefined;
  readonly body: string;
}

/** With headers that fetch would not let through. */
function send(
  url: string,
  options: {
    method?: string;
    path?: string;
    headers?: Record<string, string | string[]>;
    body?: string;
    agent?: Agent;
  },
): Promise<Answer> {
  const { method = "POST", path = "/mcp", headers = {}, body, agent } = options;
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const request = httpRequest(
      { host: hostname, port, method, path, headers, ...(agent && { agent }) },
      (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            code: response.headers["x-bottle-denied"] as string | undefined,
            body: text,
          }),
        );
        response.on("error", reject);
      },
    );
    request.on("error", reject);
    request.end(body);
  });
}

const CALL = { "content-type": "application/json", accept: "application/json, text/event-stream" };
const calling = (name: string, args: unknown): string =>
  JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/call", params: { name, arguments: args } });

describe("who may speak to it", () => {
  it.each([
    ["another site's name", { host: "evil.test" }],
    ["another site's name with our port", { host: "evil.test:9100" }],
    ["an address of this machine's network", { host: "10.0.0.5:9100" }],
    ["a name that ours begins", { host: "localhost.evil.test" }],
    ["user information before our name", { host: "evil.test@localhost" }],
  ])("refuses a Host that is %s", async (_, headers) => {
    const s = await start();
    expect(
      await send(s.url, { headers: { ...CALL, ...headers }, body: calling("list_capabilities", {}) }),
    ).toMatchObject({
      status: 403,
      code: "host-mismatch",
    });
  });

  it.each([
    "http://evil.test",
    "https://localhost.evil.test",
    "null",
    "file://",
    "http://localhost@evil.test",
    "localhost",
  ])("refuses the Origin %s", async (origin) => {
    const s = await start();
    const headers = { ...CALL, origin };
    expect(await send(s.url, { headers, body: calling("list_capabilities", {}) })).toMatchObject({
      status: 403,
      code: "origin-refused",
    });
  });

  it("takes its own names as Host and Origin, and those it was told", async () => {
    const s = await start({ hosts: ["bundle.test"] });
    for (const host of ["localhost:9100", "127.0.0.1", "[::1]:9100", "Bundle.test:9100"]) {
      const headers = { ...CALL, host, origin: `http://${host}` };
      expect((await send(s.url, { headers, body: calling("list_capabilities", {}) })).status).toBe(200);
    }
  });

  it("refuses two Host headers", async () => {
    const s = await start();
    const { port } = new URL(s.url);
    const text = await new Promise<string>((resolve, reject) => {
      const socket = connect(Number(port), "127.0.0.1");
      let got = "";
      socket.on("error", reject).on("data", (chunk) => {
        got += chunk;
      });
      socket.on("close", () => resolve(got));
      socket.write("POST /mcp HTTP/1.1\r\nHost: localhost\r\nHost: evil.test\r\nContent-Length: 0\r\n\r\n");
    });
    expect(text).toMatch(/^HTTP\/1\.1 4/);
  });

  it("refuses whoever lacks the bearer, before anything else is looked at", async () => {
    const bearer = randomBytes(24).toString("hex");
    const s = await start({ bearer });
    for (const authorization of [
      "",
      "Bearer",
      `Bearer ${bearer}x`,
      `Bearer ${bearer.slice(1)}`,
      `Basic ${bearer}`,
      bearer,
    ]) {
      const answer = await send(s.url, { headers: { ...CALL, authorization, host: "evil.test" }, body: "{" });
      expect(answer).toMatchObject({ status: 401, code: "bearer-required" });
      expect(answer.body).not.toContain(bearer);
    }
    expect((await s.call("list_capabilities")).isError).toBe(false);
  });

  it("has nothing at other paths, and no session to open or end", async () => {
    const s = await start();
    for (const path of ["/", "/mcp/", "/MCP", "/mcp?x=1", "http://localhost/mcp", "/../mcp"]) {
      expect(await send(s.url, { path, headers: CALL, body: "{}" })).toMatchObject({
        status: 404,
        code: "not-found",
      });
    }
    for (const method of ["GET", "DELETE", "PUT"])
      expect((await send(s.url, { method, headers: CALL })).status).toBe(405);
  });
});

describe("tickets", () => {
  it("of another bottle's are as unknown as none", async () => {
    const [mine, other] = [await start(), await start()];
    const ticket = String((await other.call("request_access", { host: "a.test" })).data["ticket"]);
    const unknown = await mine.call("check_request", { ticket: "0".repeat(32) });
    expect(await mine.call("check_request", { ticket })).toEqual(unknown);
    expect(await mine.call("withdraw_request", { ticket })).toEqual(unknown);
    expect(other.keeper.ledger().get(ticket)?.outcome.status).toBe("pending");
  });

  it("have 128 bits, and two are never alike", async () => {
    const s = await start();
    const tickets = new Set<unknown>();
    for (let i = 0; i < 20; i++)
      tickets.add((await s.call("request_access", { host: `h${i}.test` })).data["ticket"]);
    expect(tickets.size).toBe(20);
    for (const ticket of tickets) expect(ticket).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each(["", "0", "0".repeat(31), "Z".repeat(32), "../../etc", "__proto__", { toString: 1 }, null, 7])(
    "are nothing else: %j",
    async (ticket) => {
      const s = await start();
      expect((await s.call("check_request", { ticket })).isError).toBe(true);
    },
  );
});

describe("a forged decision", () => {
  it("from inside has no way in: neither a tool nor a field of one decides", async () => {
    const s = await start();
    const ticket = String((await s.call("request_access", { host: "a.test" })).data["ticket"]);
    for (const tool of ["approve", "approve_request", "answer", "reload", "deny"]) {
      expect((await s.call(tool, { ticket })).isError).toBe(true);
    }
    for (const more of [{ status: "approved" }, { grant: {} }, { approved: true }, { ticket }]) {
      expect((await s.call("request_access", { host: "b.test", ...more })).isError).toBe(true);
    }
    const elicited = await rpc(s.url, "elicitation/create", {
      message: "ok?",
      requestedSchema: { type: "object" },
    });
    expect(toldIn(await elicited.text()).isError).toBe(true);
    expect(s.keeper.ledger().get(ticket)?.outcome.status).toBe("pending");
  });

  it("to a question that nobody asked is ignored", async () => {
    const s = await start();
    const view = s.keeper.policy().requests[0];
    expect(s.supervise.answer("made-up", { kind: "request", request: view, joined: false })).toBe(false);
  });
});

describe("words that would act", () => {
  const HOSTILE = `\u001b]52;c;AAAA\u0007\u001b[2J\u202etxet\u0000\u2028\ud800 <script>`;

  it("reach the operator and the agent as what they are, on one line", async () => {
    const s = await start();
    const told = await s.call("request_access", { host: "a.test", justification: HOSTILE });
    const kept = [...s.keeper.ledger().values()][0]?.justification ?? "";
    for (const text of [kept, JSON.stringify(told)]) expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028]/u);
    expect(kept).toContain("\\u{1b}]52;c;AAAA\\u{7}");
  });

  it.each([
    ["host", { host: `a${HOSTILE}.test` }],
    ["path", { host: "a.test", path: `/${HOSTILE}` }],
    ["method", { host: "a.test", method: HOSTILE }],
    ["ref", { repository: "app", refs: [`refs/heads/${HOSTILE}`] }],
    ["repository", { repository: HOSTILE, refs: ["refs/heads/a"] }],
  ])("are no %s, and are shown back as what they are", async (_, args) => {
    const s = await start();
    const told = await s.call("request_access", args);
    expect(told.isError).toBe(true);
    expect(told.next).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}\u2028]/u);
    expect(s.keeper.log).toEqual([]);
  });

  it.each(["detector", "finding"])("are no %s of a finding", async (field) => {
    const s = await start();
    const args = { host: "a.test", detector: "x", finding: "y", [field]: HOSTILE };
    expect((await s.call("request_exception", args)).isError).toBe(true);
    expect(s.keeper.log).toEqual([]);
  });

  it.each([
    ["\u0430pple.com", "xn--pple-43d.com"],
    ["\u0131github.com", "xn--github-o9a.com"],
    ["ex\u00e4mple.com", "xn--exmple-cua.com"],
  ])("that look like another host (%j) are refused with the name that they are", async (host, ascii) => {
    const s = await start();
    const told = await s.call("request_access", { host });
    expect([told.isError, told.next.includes(ascii)]).toEqual([true, true]);
    expect((await s.call("request_access", { host: ascii })).data["asked"]).toBe(
      `any method on ${ascii}, any path`,
    );
  });
});

describe("floods", () => {
  it("of 10,000 requests at once are mostly refused, cost nothing lasting, and end", {
    timeout: 240_000,
  }, async () => {
    const keeper = testKeeper(NOTHING, (policy) => supervise.send({ type: "reload", policy }));
    const supervise = startSuperviseProcess((data) => keeper.onAsk(data));
    supervise.send({ type: "config", config: superviseConfig({ policy: keeper.policy() }) });
    const url = `http://${await supervise.ready()}/mcp`;
    const agent = new Agent({ keepAlive: true, maxSockets: 32 });
    const statuses = new Map<number | string, number>();
    const one = async (i: number): Promise<void> => {
      const body = calling("request_access", { host: `h${i}.test`, justification: "please ".repeat(100) });
      const { status } = await send(url, { headers: CALL, body, agent }).catch(() => ({
        status: "reset" as const,
      }));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    };
    const workers = Array.from({ length: 32 }, async (_, worker) => {
      for (let i = worker; i < 10_000; i += 32) await one(i);
    });
    await Promise.all(workers);
    agent.destroy();
    const answered = [...statuses.values()].reduce((sum, count) => sum + count, 0);
    expect(answered).toBe(10_000);
    expect(statuses.get(429) ?? 0).toBeGreaterThan(1_000);
    // Those that got through as requests are as many as a person can look at.
    expect(keeper.log.length).toBeLessThanOrEqual(MAX_PENDING);
    supervise.child.stdin?.end();
    expect(await supervise.ended).toBe(0);
    const told = supervise.messages.flatMap((message) => (message.type === "event" ? [message.data] : []));
    expect(told.length).toBeLessThan(50);
    expect(told.reduce((sum, data) => sum + Number(data["count"]), 0)).toBe(statuses.get(429));
  });

  it("of one tool are stopped in words, and leave the others usable", async () => {
    const s = await start();
    const burst = CALLS.request_access.burst;
    const told = [];
    for (let i = 0; i <= burst; i++) told.push(await s.call("request_access", { host: `h${i}.test` }));
    expect(told.filter(({ isError }) => isError)).toHaveLength(1);
    expect(told.at(-1)?.next).toMatch(/^Too many calls of request_access: wait \d+ s/);
    const ticket = String(told[0]?.data["ticket"]);
    expect((await s.call("withdraw_request", { ticket })).data["status"]).toBe("withdrawn");
  });

  it("of calls that wait leave the rest of it usable", async () => {
    const s = await start();
    const ticket = String((await s.call("request_access", { host: "a.test" })).data["ticket"]);
    const waiting = Array.from({ length: LIMITS.waiting + 4 }, () => s.call("check_request", { ticket }));
    // More than may wait are answered at once, with what is known.
    const first = await Promise.race(waiting);
    expect(first.data["status"]).toBe("pending");
    expect((await s.call("list_capabilities")).isError).toBe(false);
    s.keeper.approve(ticket);
    const last = await Promise.all(waiting);
    const approved = last.filter(({ data }) => data["status"] === "approved");
    expect(approved.length).toBeGreaterThanOrEqual(LIMITS.waiting);
    expect(approved.length).toBeLessThan(waiting.length);
  });

  it("of calls whose clients go away leave nobody waiting", async () => {
    const s = await start();
    const ticket = String((await s.call("request_access", { host: "a.test" })).data["ticket"]);
    for (let i = 0; i < LIMITS.waiting; i++) {
      const giveUp = new AbortController();
      const gone = fetch(s.url, {
        method: "POST",
        headers: CALL,
        body: calling("check_request", { ticket }),
        signal: giveUp.signal,
      }).then(
        (response) => response.text(),
        () => "",
      );
      setTimeout(() => giveUp.abort(), 20);
      await gone.catch(() => "");
    }
    const waiting = s.call("check_request", { ticket });
    s.keeper.deny(ticket, "no");
    expect((await waiting).data["status"]).toBe("denied");
  });
});

describe("sizes", () => {
  it("of megabytes are refused before they are read", async () => {
    const s = await start();
    const body = calling("request_access", { host: "a.test", justification: "x".repeat(8 * 1024 * 1024) });
    const answer = await send(s.url, { headers: CALL, body }).catch(() => ({ status: 413 }));
    expect(answer.status).toBe(413);
    const endless = await send(s.url, { headers: { ...CALL, "transfer-encoding": "chunked" }, body }).catch(
      () => ({
        status: 413,
      }),
    );
    expect(endless.status).toBe(413);
    expect(s.keeper.log).toEqual([]);
    expect((await s.call("list_capabilities")).isError).toBe(false);
  });

  it("of a justification over the limit are refused whole, and told what the limit is", async () => {
    const s = await start();
    const told = await s.call("request_access", { host: "a.test", justification: "x".repeat(2_001) });
    expect([told.isError, told.next.includes("2000")]).toEqual([true, true]);
    expect(s.keeper.log).toEqual([]);
  });

  it("of nesting, of lists and of heads are bounded", async () => {
    const s = await start();
    const deep = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${'{"a":'.repeat(9_000)}1${"}".repeat(9_000)}}`;
    expect((await send(s.url, { headers: CALL, body: deep })).status).toBeLessThan(500);
    const many = Array.from({ length: 500 }, (_, i) => `/p${i}`);
    expect((await s.call("request_access", { host: "a.test", paths: many })).isError).toBe(true);
    const batch = JSON.stringify(
      Array.from({ length: 500 }, (_, id) => ({ ...JSON.parse(calling("list_capabilities", {})), id })),
    );
    expect((await send(s.url, { headers: CALL, body: batch })).status).toBeLessThan(500);
    const head = await send(s.url, { headers: { ...CALL, "x-a": "x".repeat(64 * 1024) } }).catch(() => ({
      status: 431,
    }));
    expect(head.status).toBe(431);
    expect((await s.call("explain_denial", { code: "host-not-allowed" })).isError).toBe(false);
  });
});
