/** The agent's whole way, over HTTP: denied, asking, waiting, and told what came of it. */
import { afterEach, describe, expect, it } from "vitest";
import type { Allowed } from "../../../src/approvals/allowed.ts";
import { denialOf as egressDenial, refuse as egressRefuse } from "../../../src/sidecars/egress/denial.ts";
import { denialOf as gitDenial, refuse as gitRefuse } from "../../../src/sidecars/git-gate/denial.ts";
import { type RunningSupervise, rpc, runSupervise, toldIn } from "../../support/supervise.ts";

const PLANNED: Allowed = {
  routes: [
    {
      host: "known.test",
      matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/v1" }] }],
      auth: { header: "authorization", format: "Bearer {}", tokenRef: "GITHUB_TOKEN" },
      credentialHeaders: ["authorization"],
      tls: "terminate",
      allowAddresses: [],
    },
  ],
  repos: [
    {
      name: "app",
      upstream: "/app.git",
      refs: [{ pattern: "refs/heads/bottle/*", force: false, delete: false }],
    },
  ],
  findings: [],
  gitExceptions: [],
};
const ASK = { host: "api.x.test", method: "POST", path: "/v1/a" };

let running: RunningSupervise | undefined;
afterEach(() => running?.supervise.stop());
const start = async (): Promise<RunningSupervise> => {
  running = await runSupervise(PLANNED);
  return running;
};

async function asked(s: RunningSupervise, args: unknown = ASK, tool = "request_access"): Promise<string> {
  const { data } = await s.call(tool, args);
  return String(data["ticket"]);
}

describe("a request", () => {
  it("waits for the operator, is granted, and says what was granted and for how long", async () => {
    const s = await start();
    const first = await s.call("request_access", { ...ASK, justification: "the tests post there" });
    expect(first).toMatchObject({
      isError: false,
      data: { status: "pending", asked: "POST on api.x.test: /v1/a" },
    });
    const ticket = String(first.data["ticket"]);
    const waiting = s.call("check_request", { ticket });
    await until(() => s.keeper.ledger().get(ticket)?.justification === "the tests post there");
    expect(s.keeper.approve(ticket)).toBe("decided");
    expect(await waiting).toMatchObject({
      isError: false,
      next: expect.stringMatching(/^Granted: retry/),
      data: {
        status: "approved",
        grant: "active",
        granted: "POST on api.x.test: /v1/a",
        until: expect.any(String),
      },
    });
    const can = await s.call("list_capabilities");
    expect(can.data["hosts"]).toContain("api.x.test: POST on /v1/a");
    expect(can.data["granted"]).toHaveLength(1);
  });

  it("that is refused carries the operator's reason, and is answered the same when asked again", async () => {
    const s = await start();
    const ticket = await asked(s);
    const waiting = s.call("check_request", { ticket });
    s.keeper.deny(ticket, "use the mirror");
    expect(await waiting).toMatchObject({
      next: expect.stringMatching(/^The operator refused this/),
      data: { status: "denied", operator_says: "use the mirror" },
    });
    expect((await s.call("request_access", ASK)).data).toMatchObject({
      status: "denied",
      ticket,
      asked_before: true,
    });
  });

  it("that nobody answers ends at its deadline with no", async () => {
    const s = await start();
    const ticket = await asked(s);
    const waiting = s.call("check_request", { ticket });
    s.keeper.pass(3_600_000);
    expect(await waiting).toMatchObject({
      next: expect.stringMatching(/answer is no/),
      data: { status: "expired" },
    });
  });

  it("that was granted tells when the grant is over, and when it was taken back", async () => {
    const s = await start();
    const one = await asked(s);
    const two = await asked(s, { host: "b.test" });
    s.keeper.approve(one);
    s.keeper.approve(two, { kind: "session" });
    s.keeper.revoke(two);
    s.keeper.pass(3_600_000);
    expect((await s.call("check_request", { ticket: one })).data).toMatchObject({ grant: "expired" });
    expect((await s.call("check_request", { ticket: two })).data).toMatchObject({ grant: "revoked" });
    expect((await s.call("list_capabilities")).data["hosts"]).toHaveLength(1);
  });

  it("can be taken back while it waits, and not after", async () => {
    const s = await start();
    const ticket = await asked(s);
    expect((await s.call("withdraw_request", { ticket })).data).toMatchObject({ status: "withdrawn" });
    expect(await s.call("withdraw_request", { ticket })).toMatchObject({ isError: true });
    expect(s.keeper.approve(ticket)).toBe("not-pending");
  });

  it("for what is pending already has the same ticket", async () => {
    const s = await start();
    const ticket = await asked(s);
    const again = await s.call("request_access", { host: "API.x.test", methods: ["post"], paths: ["/v1/a"] });
    expect(again.data).toMatchObject({ ticket, asked_before: true });
    expect(s.keeper.log.length).toBe(1);
  });

  it("for what is allowed already says so", async () => {
    const s = await start();
    const told = await s.call("request_access", { host: "known.test", method: "GET", path: "/v1/x" });
    expect(told).toMatchObject({ isError: true, next: expect.stringMatching(/may do this already.*Retry/) });
  });

  it("survives the end of the process that took it: the next one is told by the keeper", async () => {
    const s = await start();
    const ticket = await asked(s);
    s.supervise.stop();
    const { keeper } = s;
    running = await runSupervise(PLANNED, { policy: keeper.policy() });
    expect((await running.call("check_request", { ticket: ticket.replace(/./, "z") })).isError).toBe(true);
    const waiting = running.call("check_request", { ticket });
    keeper.approve(ticket);
    running.supervise.reload(keeper.policy());
    expect((await waiting).data).toMatchObject({ status: "approved" });
  });
});

describe("a denial's ready-made call", () => {
  it("is taken as it is, of egress", async () => {
    const s = await start();
    const { ask } = egressDenial(egressRefuse("host-not-allowed", "no", "no route"), {
      method: "GET",
      scheme: "https",
      host: "api.x.test",
      path: "/v1/items?q=secret",
    }).denied;
    expect((await s.call(ask.tool, ask.arguments)).data).toMatchObject({
      asked: "GET on api.x.test: /v1/items",
    });
    const finding = { finding: "a1b2c3", detector: "github-token", host: "api.x.test" };
    expect((await s.call("request_exception", finding)).data).toMatchObject({
      asked: "that finding a1b2c3 (github-token) passes to api.x.test",
    });
  });

  it("is taken as it is, of git-gate", async () => {
    const s = await start();
    const { ask } = gitDenial(gitRefuse("ref-not-allowed", "no", "refs", { subjects: ["refs/heads/main"] }), {
      action: "push",
      repo: "app",
    }).denied;
    expect((await s.call(ask.tool, ask.arguments)).data).toMatchObject({
      asked: "that ref-not-allowed is lifted in app: refs/heads/main",
    });
  });

  it("is explained, with what helps", async () => {
    const s = await start();
    const { denied } = gitDenial(gitRefuse("too-many-files", "no", "files"), { action: "push", repo: "app" });
    for (const [tool, args] of [
      ["explain_denial", denied],
      [denied.ask.tool, denied.ask.arguments],
    ] as const) {
      expect(await s.call(tool, args)).toMatchObject({
        isError: false,
        next: "Asking does not help: change the request.",
        data: { allowed_there: ["app: push to refs/heads/bottle/*"] },
      });
    }
    expect(await s.call("request_exception", { repo: "app", code: denied.code })).toMatchObject({
      isError: true,
      next: expect.stringMatching(/^Not asked: no exception can be made/),
    });
    expect((await s.call("explain_denial", { code: "no-such-code" })).isError).toBe(true);
  });
});

describe("the protocol of 2026", () => {
  it("is spoken at the same URL", async () => {
    const s = await start();
    const meta = {
      "io.modelcontextprotocol/protocolVersion": "2026-07-28",
      "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
      "io.modelcontextprotocol/clientCapabilities": {},
    };
    const response = await rpc(
      s.url,
      "tools/call",
      { name: "request_access", arguments: ASK, _meta: meta },
      { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": "request_access" },
    );
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
    expect(toldIn(await response.text()).data).toMatchObject({ status: "pending" });
  });
});

async function until(look: () => boolean): Promise<void> {
  for (let left = 200; left > 0; left--) {
    if (look()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error("it did not come to pass");
}
