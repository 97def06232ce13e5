/**
 * The real Claude Code in a real bottle is refused a host, asks for it over MCP, and the operator answers from another
 * process: yes, no, and not at all. Only its model is a stand-in.
 */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type MessagesApi,
  type ScriptedTurn,
  startMessagesApi,
  startPlainSite,
  type Upstream,
} from "../../doubles/upstreams.ts";
import { createRealOperator, pause, type RealOperator, type Run } from "../../support/real-bottle.ts";

const KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");
const TOKEN = `site-${randomBytes(18).toString("hex")}`;

let operator: RealOperator;
let site: Upstream;
let api: MessagesApi | undefined;

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["site.test"]) });
});
afterEach(() => api?.close());
afterAll(async () => {
  await operator.remove();
  await site.close();
});

/** Claude Code connects to MCP servers while its first turn runs, and this waits for them. */
const search = {
  tool: "ToolSearch",
  input: { query: "select:mcp__bottle__request_access,mcp__bottle__check_request" },
} as const;
const visit = { tool: "Bash", input: { command: "curl -sS https://site.test/asked" } } as const;
const ask = {
  tool: "mcp__bottle__request_access",
  input: (results: readonly string[]) => {
    const [, call = "{}"] =
      /"ask":\{"tool":"request_access","arguments":(\{[^}]*\})/.exec(results[1] ?? "") ?? [];
    return { ...(JSON.parse(call) as object), justification: "The task needs that page." };
  },
} as const;
const check = {
  tool: "mcp__bottle__check_request",
  input: (results: readonly string[]) => ({
    ticket: /"ticket":"([0-9a-f]{32})"/.exec(results[2] ?? "")?.[1] ?? "none",
  }),
} as const;

interface Session {
  /** The agent's request, once it waits. */
  waiting(): Promise<{ readonly ticket: string; readonly digest: string; readonly described: string[] }>;
  readonly done: Promise<Run>;
}

/** A headless session whose model says `script`, in a bottle that reaches its model and nothing else. */
async function session(script: readonly ScriptedTurn[], supervise: unknown = true): Promise<Session> {
  api = await startMessagesApi({
    tls: await operator.authority.issue(["api.anthropic.com"]),
    credentials: [{ header: "x-api-key", value: KEY }],
    script,
  });
  operator.agent("claude", {
    agent_provider: { template: "claude" },
    supervise,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        { host: "api.anthropic.com", connect_to: `127.0.0.1:${api.port}` },
        // What a grant adds to: the same place, and the same credential.
        {
          host: "site.test",
          connect_to: `127.0.0.1:${site.port}`,
          matches: [{ paths: [{ type: "exact", value: "/open" }] }],
          auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" },
        },
      ],
    },
  });
  const env = { ANTHROPIC_API_KEY: KEY, SITE_TOKEN: TOKEN };
  const done = operator.bottle(["start", "claude", "--prompt", "work"], { env, timeoutMs: 120_000 });
  return {
    done,
    async waiting() {
      for (let i = 0; i < 600; i++) {
        const { stdout } = await operator.bottle(["inbox", "--json"]);
        const { bottles } = JSON.parse(stdout) as { bottles: { pending: unknown[] }[] };
        const [pending] = bottles.flatMap((inbox) => inbox.pending);
        if (pending !== undefined) return pending as Awaited<ReturnType<Session["waiting"]>>;
        await pause(100);
      }
      throw new Error("nothing waits");
    },
  };
}

describe("claude, refused a host", () => {
  it("asks for it, is given exactly that, and gets in; once the grant is over it does not", async () => {
    const running = await session([
      search,
      visit,
      ask,
      check,
      visit,
      {
        tool: "Bash",
        input: { command: "curl -sS https://site.test/other; sleep 3; curl -sS https://site.test/asked" },
      },
      { text: "done" },
    ]);
    const { ticket, digest, described } = await running.waiting();
    expect(described).toEqual(["GET site.test/asked with SITE_TOKEN"]);
    const approve = ["inbox", "approve", ticket, "--for", "3s", "--yes", "--digest", digest];
    expect(await operator.bottle(approve)).toMatchObject({ code: 0 });
    expect(await running.done).toMatchObject({ code: 0, stdout: "done\n" });
    const [, refused, asked, checked, visited, later] = api?.toolResults() ?? [];
    expect(refused).toContain('"code":"path-not-allowed"');
    expect(asked).toContain('"status":"pending"');
    expect(checked).toContain('"status":"approved"');
    expect(visited).not.toContain("denied");
    expect(site.requests.map(({ target }) => target)).toContain("/asked");
    expect(later?.match(/path-not-allowed|grant-ended/g)).toHaveLength(2);
  });

  it("is told the operator's reason when the answer is no", async () => {
    const running = await session([search, visit, ask, check, visit, { text: "done" }]);
    const { ticket } = await running.waiting();
    const deny = ["inbox", "deny", ticket, "--reason", "that page is not for agents"];
    expect(await operator.bottle(deny)).toMatchObject({ code: 0 });
    expect(await running.done).toMatchObject({ code: 0 });
    const [, , , checked, visited] = api?.toolResults() ?? [];
    expect(checked).toContain("that page is not for agents");
    expect(visited).toContain('"code":"path-not-allowed"');
  });

  it("is told no at the deadline when nobody is there", async () => {
    const running = await session([search, visit, ask, check, check, visit, { text: "done" }], {
      deadline: "5s",
    });
    expect(await running.done).toMatchObject({ code: 0 });
    const results = api?.toolResults() ?? [];
    expect(results[4]).toContain('"status":"expired"');
    expect(results.at(-1)).toContain('"code":"path-not-allowed"');
  });
});
