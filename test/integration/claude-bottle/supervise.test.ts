/**
 * The real Claude Code in a real bottle is refused a host, asks for it over MCP, and the operator answers from another
 * process: yes, no, and not at all. Only its model is a stand-in.
 */
import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { MessagesApi, ScriptedTurn } from "../../doubles/upstreams.ts";
import { CHECK, claudeBottles, FIND_TOOLS, MODEL_KEY } from "../../support/claude-bottles.ts";
import type { Run } from "../../support/real-bottle.ts";

const TOKEN = `site-${randomBytes(18).toString("hex")}`;

const world = claudeBottles();

const visit = { tool: "Bash", input: { command: "curl -sS https://site.test/asked" } } as const;
const ask = {
  tool: "mcp__bottle__request_access",
  input: (results: readonly string[]) => {
    const [, call = "{}"] =
      /"ask":\{"tool":"request_access","arguments":(\{[^}]*\})/.exec(results[1] ?? "") ?? [];
    return { ...(JSON.parse(call) as object), justification: "The task needs that page." };
  },
} as const;

interface Session {
  readonly model: MessagesApi;
  readonly done: Promise<Run>;
}

/** A headless session whose model says `script`, in a bottle that reaches its model and nothing else. */
async function session(script: readonly ScriptedTurn[], supervise: unknown = true): Promise<Session> {
  const model = await world.model(script);
  // What a grant adds to: the same place, and the same credential.
  const route = {
    host: "site.test",
    connect_to: `127.0.0.1:${world.site.port}`,
    matches: [{ paths: [{ type: "exact", value: "/open" }] }],
    auth: { scheme: "Bearer", token_ref: "SITE_TOKEN" },
  };
  world.operator.agent("claude", {
    agent_provider: { template: "claude" },
    supervise,
    egress: world.egress(model, [route]),
  });
  const env = { ANTHROPIC_API_KEY: MODEL_KEY, SITE_TOKEN: TOKEN };
  const done = world.operator.bottle(["start", "claude", "--prompt", "work"], { env, timeoutMs: 120_000 });
  return { model, done };
}

describe("claude, refused a host", () => {
  it("asks for it, is given exactly that, and gets in; once the grant is over it does not", async () => {
    const running = await session([
      FIND_TOOLS,
      visit,
      ask,
      CHECK,
      visit,
      {
        tool: "Bash",
        input: { command: "curl -sS https://site.test/other; sleep 3; curl -sS https://site.test/asked" },
      },
      { text: "done" },
    ]);
    const { ticket, digest, described } = await world.waiting();
    expect(described).toEqual(["GET site.test/asked with SITE_TOKEN"]);
    const approve = ["inbox", "approve", ticket, "--for", "3s", "--yes", "--digest", digest];
    expect(await world.operator.bottle(approve)).toMatchObject({ code: 0 });
    expect(await running.done).toMatchObject({ code: 0, stdout: "done\n" });
    const [, refused, asked, checked, visited, later] = running.model.toolResults();
    expect(refused).toContain('"code":"path-not-allowed"');
    expect(asked).toContain('"status":"pending"');
    expect(checked).toContain('"status":"approved"');
    expect(visited).not.toContain("denied");
    expect(world.site.requests.map(({ target }) => target)).toContain("/asked");
    expect(later?.match(/path-not-allowed|grant-ended/g)).toHaveLength(2);
  });

  it("is told the operator's reason when the answer is no", async () => {
    const running = await session([FIND_TOOLS, visit, ask, CHECK, visit, { text: "done" }]);
    const { ticket } = await world.waiting();
    const deny = ["inbox", "deny", ticket, "--reason", "that page is not for agents"];
    expect(await world.operator.bottle(deny)).toMatchObject({ code: 0 });
    expect(await running.done).toMatchObject({ code: 0 });
    const [, , , checked, visited] = running.model.toolResults();
    expect(checked).toContain("that page is not for agents");
    expect(visited).toContain('"code":"path-not-allowed"');
  });

  it("is told no at the deadline when nobody is there", async () => {
    const running = await session([FIND_TOOLS, visit, ask, CHECK, CHECK, visit, { text: "done" }], {
      deadline: "5s",
    });
    expect(await running.done).toMatchObject({ code: 0 });
    const results = running.model.toolResults();
    expect(results[4]).toContain('"status":"expired"');
    expect(results.at(-1)).toContain('"code":"path-not-allowed"');
  });
});
