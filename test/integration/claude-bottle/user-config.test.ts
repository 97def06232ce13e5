/**
 * The real Claude Code in a real bottle, with what of the operator's own configuration the agent's file names: its
 * model, a stand-in, is told so, and two real MCP servers answer, one in the guest and one behind egress.
 */
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { packagePath } from "../../../src/lib/package-root.ts";
import { type MessagesApi, startMessagesApi } from "../../doubles/upstreams.ts";
import { type McpSite, startMcpSite } from "../../support/mcp-site.ts";
import { createRealOperator, type RealOperator } from "../../support/real-bottle.ts";

const KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");
const DOCS_TOKEN = `docs-${randomBytes(18).toString("hex")}`;

/** By the protocol's own implementation, which is mounted beside it. */
const NOTES_SERVER = `
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import * as z from "zod";
serveStdio(() => {
  const server = new McpServer({ name: "notes", version: "1.0.0" });
  server.registerTool(
    "count",
    { description: "Counts letters.", inputSchema: z.object({ word: z.string() }) },
    ({ word }) => ({ content: [{ type: "text", text: process.env.NOTES_MODE + " " + word.length } ] }),
  );
  return server;
});
`;

let operator: RealOperator;
let docs: McpSite;
let api: MessagesApi | undefined;

beforeAll(async () => {
  operator = await createRealOperator();
  docs = await startMcpSite({
    tls: await operator.authority.issue(["docs.test"]),
    bearer: DOCS_TOKEN,
    prefix: "the docs say of ",
  });
  own(".claude/CLAUDE.md", "Always answer in the manner of a lighthouse keeper.\n");
  own(".claude/commands/review.md", "Review with rigour: $ARGUMENTS\n");
  own(".claude/commands/unnamed.md", "Not for bottles.\n");
  own(".claude/settings.json", JSON.stringify({ model: "claude-haiku-4-5", language: "latin" }));
  own(
    ".claude.json",
    JSON.stringify({
      mcpServers: {
        docs: { type: "http", url: "https://docs.test/mcp" },
        notes: {
          command: "/opt/mcp/node",
          args: ["/opt/mcp/server/notes.mjs"],
          env: { NOTES_MODE: "counted" },
        },
        unnamed: { command: "/opt/mcp/node", args: ["-v"] },
      },
    }),
  );
  own("server/notes.mjs", NOTES_SERVER);
});
afterEach(() => api?.close());
afterAll(async () => {
  await operator.remove();
  await docs.close();
});

function own(path: string, text: string): void {
  const file = operator.path("user", path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

const WISH = {
  memory: true,
  settings: ["model"],
  commands: ["review"],
  mcp_servers: ["docs", "notes"],
};

function agent(userConfig: unknown, docsRoute: readonly unknown[] = [], more: object = {}): void {
  operator.agent("claude", {
    agent_provider: { template: "claude" },
    mounts: [
      { from: process.execPath, to: "/opt/mcp/node" },
      { from: operator.path("user", "server"), to: "/opt/mcp/server" },
      { from: packagePath("node_modules"), to: "/opt/mcp/node_modules" },
    ],
    egress: {
      upstream_ca: [operator.caFile],
      routes: [{ host: "api.anthropic.com", connect_to: `127.0.0.1:${api?.port ?? 9}` }, ...docsRoute],
    },
    ...more,
  });
  const file = join(operator.home, "agents", "claude.md");
  writeFileSync(file, `---\nbottle: claude\nuser_config: ${JSON.stringify(userConfig)}\n---\n`, {
    mode: 0o600,
  });
}

const docsRoute = (): readonly unknown[] => [
  {
    host: "docs.test",
    connect_to: `127.0.0.1:${docs.port}`,
    auth: { scheme: "Bearer", token_ref: "DOCS_TOKEN" },
  },
];

describe("claude, with the operator's own configuration", () => {
  it.each([
    { what: "and nothing else", more: {}, bottle: [] },
    {
      what: "beside the bottle's own server",
      more: { supervise: true },
      bottle: ["mcp__bottle__request_access"],
    },
  ])("has what the agent's file names, $what", { timeout: 120_000 }, async ({ more, bottle }) => {
    const named = ["mcp__docs__lookup", "mcp__notes__count", ...bottle];
    const script = [
      // Servers are connected to meanwhile: this waits for them.
      { tool: "ToolSearch", input: { query: `select:${named.join(",")},mcp__unnamed__any` } },
      { tool: "mcp__docs__lookup", input: { word: "fog" } },
      { tool: "mcp__notes__count", input: { word: "beacon" } },
      {
        tool: "Bash",
        input: {
          command:
            "cd ~/.claude && ls commands; cat CLAUDE.md settings.json ~/.bottle/mcp.json; printenv BOTTLE_MCP_CONFIG",
        },
      },
      { text: "done" },
    ];
    api = await startMessagesApi({
      tls: await operator.authority.issue(["api.anthropic.com"]),
      credentials: [{ header: "x-api-key", value: KEY }],
      script,
    });
    agent(WISH, docsRoute(), more);
    const env = { ANTHROPIC_API_KEY: KEY, DOCS_TOKEN };
    const run = await operator.bottle(["start", "claude", "--prompt", "/review the lamp"], {
      env,
      timeoutMs: 110_000,
    });
    expect(run).toMatchObject({ code: 0, stdout: "done\n" });
    expect(run.stderr).toMatch(/yours {2}CLAUDE\.md \(.*\/\.claude\/CLAUDE\.md\)/);
    expect(run.stderr).toContain("MCP server docs: https://docs.test/mcp");

    const turns = api.requests
      .filter(({ target, body }) => target.startsWith("/v1/messages") && body.includes('"tools":[{'))
      .map(({ body }) => JSON.parse(body) as { model: string; tools: { name: string }[] });
    const first = turns[0] ?? expect.fail("the model was not asked");
    expect(first.model).toBe("claude-haiku-4-5");
    expect(JSON.stringify(first)).toContain("Always answer in the manner of a lighthouse keeper.");
    expect(JSON.stringify(first)).toContain("Review with rigour: the lamp");
    const tools = turns
      .at(-1)
      ?.tools.map(({ name }) => name)
      .filter((name) => name.startsWith("mcp__"));
    expect(tools?.sort()).toEqual([...named].sort());

    const [, looked, counted, files = ""] = api.toolResults();
    expect(looked).toContain("the docs say of fog");
    expect(counted).toContain("counted 6");
    expect(docs.answers.filter((status) => status === 401)).toEqual([]);
    expect(files).toContain("review.md");
    expect(files).toContain('"skipDangerousModePermissionPrompt": true');
    expect(files).toContain("/home/node/.bottle/mcp.json");
    const id = /^bottle (\S+)$/m.exec(run.stderr)?.[1] ?? expect.fail(run.stderr);
    expect(operator.log(id).find(({ event }) => event === "bottle.launching")?.data).toMatchObject({
      userConfig: {
        texts: [{ name: "CLAUDE.md" }, { name: "/review" }],
        settings: ["model"],
        mcpServers: [{ name: "docs", at: "https://docs.test/mcp" }, { name: "notes" }],
      },
    });
    // Nothing that was not named, and no credential.
    expect(files).not.toMatch(/unnamed|latin/);
    for (const { body } of api.requests) expect(body).not.toContain(DOCS_TOKEN);
  });

  it("is shown in a dry run, with a warning of the missing route, and nothing is made", async () => {
    agent(WISH);
    const env = { ANTHROPIC_API_KEY: KEY };
    const dry = await operator.bottle(["start", "claude", "--dry-run", "--json"], { env });
    expect(dry.code).toBe(0);
    expect(JSON.parse(dry.stdout)).toMatchObject({
      userConfig: {
        texts: [{ name: "CLAUDE.md" }, { name: "/review" }],
        settings: ["model"],
        mcpServers: [
          { name: "docs", at: "https://docs.test/mcp" },
          { name: "notes", at: "/opt/mcp/node /opt/mcp/server/notes.mjs" },
        ],
      },
      warnings: [expect.stringContaining("the MCP server docs is at docs.test, for which there is no route")],
    });
    const bottles = (): readonly string[] => {
      const state = join(operator.home, "state");
      return existsSync(state) ? readdirSync(state) : [];
    };
    const before = bottles();
    agent({ memory: true, settings: ["hooks"], commands: ["revue"], mcp_servers: ["doc"] });
    const refused = await operator.bottle(["start", "claude", "--dry-run"], { env });
    expect(refused.code).toBe(1);
    for (const text of [
      "settings: hooks does not come along",
      "commands/revue.md does not exist",
      "no mcpServers.doc",
    ])
      expect(refused.stderr).toContain(text);
    expect(bottles()).toEqual(before);
  });

  it("is refused where the product has none", async () => {
    agent({ memory: true }, [], { agent_provider: { template: "command", command: ["true"] } });
    const refused = await operator.bottle(["start", "claude", "--dry-run"]);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain("user_config is not for the provider command");
  });
});
