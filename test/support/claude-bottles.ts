/**
 * Real bottles in which the real Claude Code runs, beside a site that some of them may reach. Its model is a stand-in
 * that says what a script says.
 */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll } from "vitest";
import {
  type MessagesApi,
  type ScriptedTurn,
  startMessagesApi,
  startPlainSite,
  type Upstream,
} from "../doubles/upstreams.ts";
import { createRealOperator, pause, type RealOperator } from "./real-bottle.ts";

/** What the operator has of the model's vendor. */
export const MODEL_KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");

export interface ClaudeBottles {
  readonly operator: RealOperator;
  /** `site.test`. */
  readonly site: Upstream;
  /** A model that says `script`, until the test has ended. */
  model(script: readonly ScriptedTurn[]): Promise<MessagesApi>;
  /** Of `egress` in a bottle: the model alone, and `more`. */
  egress(model: MessagesApi, more?: readonly object[]): object;
  /** What waits for the operator, once something does. */
  waiting(): Promise<WaitingRequest>;
}

export interface WaitingRequest {
  readonly ticket: string;
  readonly digest: string;
  readonly described: readonly string[];
}

const MODEL_HOST = "api.anthropic.com";

/** Call it in a test file; what it starts ends with that. */
export function claudeBottles(): ClaudeBottles {
  let operator: RealOperator;
  let site: Upstream;
  let model: MessagesApi | undefined;
  beforeAll(async () => {
    operator = await createRealOperator();
    site = await startPlainSite({ tls: await operator.authority.issue(["site.test"]) });
  });
  afterEach(() => model?.close());
  afterAll(async () => {
    await operator.remove();
    await site.close();
  });
  return {
    get operator() {
      return operator;
    },
    get site() {
      return site;
    },
    async model(script) {
      model = await startMessagesApi({
        tls: await operator.authority.issue([MODEL_HOST]),
        credentials: [{ header: "x-api-key", value: MODEL_KEY }],
        script,
      });
      return model;
    },
    egress: ({ port }, more = []) => ({
      upstream_ca: [operator.caFile],
      routes: [{ host: MODEL_HOST, connect_to: `127.0.0.1:${port}` }, ...more],
    }),
    async waiting() {
      for (let i = 0; i < 600; i++) {
        const { stdout } = await operator.bottle(["inbox", "--json"]);
        const { bottles } = JSON.parse(stdout) as { bottles: { pending: WaitingRequest[] }[] };
        const [pending] = bottles.flatMap((inbox) => inbox.pending);
        if (pending !== undefined) return pending;
        await pause(100);
      }
      throw new Error("nothing waits");
    },
  };
}

/** Claude Code connects to MCP servers while its first turn runs, and this waits for them. */
export const FIND_TOOLS = {
  tool: "ToolSearch",
  input: { query: "select:mcp__bottle__request_access,mcp__bottle__check_request" },
} as const;

/** Asks how the first request stands. */
export const CHECK = {
  tool: "mcp__bottle__check_request",
  input: (results: readonly string[]) => ({
    ticket: /"ticket":"([0-9a-f]{32})"/.exec(results.join("\n"))?.[1] ?? "none",
  }),
} as const;
