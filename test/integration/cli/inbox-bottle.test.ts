/** The operator's commands and screen with a real bottle behind them: its agent asks over MCP, and uses what it is given. */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import {
  BOTTLE,
  createRealOperator,
  IDLE,
  type RealBottle,
  type RealOperator,
} from "../../support/real-bottle.ts";
import { openTmux } from "../../support/tmux.ts";

let operator: RealOperator;
let site: Upstream;
let bottle: RealBottle;

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["site.test"]) });
  operator.agent("worker", {
    agent_provider: IDLE,
    supervise: true,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        {
          host: "site.test",
          connect_to: `127.0.0.1:${site.port}`,
          matches: [{ paths: [{ type: "exact", value: "/open" }] }],
        },
      ],
    },
  });
  bottle = await operator.start("worker");
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

/** As an agent does it: over MCP, from within the bottle. */
async function ask(path: string): Promise<string> {
  const call = {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: {
      name: "request_access",
      arguments: { host: "site.test", method: "GET", path, justification: "please" },
    },
  };
  const headers = "-H 'content-type: application/json' -H 'accept: application/json, text/event-stream'";
  const bearer = `$(grep -o 'Bearer [^"]*' "$BOTTLE_MCP_CONFIG")`;
  const answer = await bottle.sh(
    `curl -sS --noproxy '*' ${headers} -H "authorization: ${bearer}" -d '${JSON.stringify(call)}' http://127.0.0.1:9100/mcp`,
  );
  const [, ticket] = /\\?"ticket\\?":\s*\\?"([0-9a-f]{32})/.exec(answer) ?? [];
  if (ticket === undefined) throw new Error(answer);
  return ticket;
}

/** What the site has at none of these paths is its own answer: 404. */
const status = (path: string): Promise<string> =>
  bottle.sh(`curl -sS -o /dev/null -w '%{http_code}' https://site.test${path}`);

describe("a real bottle's inbox", () => {
  it("is answered on the screen, and the agent gets in at once", async () => {
    expect(await status("/asked")).toBe("403");
    await ask("/asked");
    const tmux = await openTmux(`${process.execPath} ${BOTTLE} inbox --watch`, {
      env: operator.env,
      cwd: operator.repository,
    });
    try {
      await tmux.shows("GET site.test/asked");
      await tmux.keys("a");
      await tmux.shows("for how long?");
      await tmux.keys("Enter");
      await tmux.shows("approved for 60 min");
      expect(await status("/asked")).toBe("404");
      await tmux.keys("G", "r");
      await tmux.shows("revoke GET site.test/asked");
      await tmux.keys("Enter");
      await tmux.shows("revoked");
      expect(await status("/asked")).toBe("403");
    } finally {
      await tmux.end();
    }
  });

  it("freezes and thaws a bottle from the command line", async () => {
    expect(await status("/open")).toBe("404");
    expect((await operator.bottle(["freeze", bottle.id, "--reason", "lunch"])).code).toBe(0);
    expect(await status("/open")).toBe("403");
    expect((await operator.bottle(["thaw", bottle.id])).code).toBe(0);
    expect(await status("/open")).toBe("404");
  });

  it("gives for always: this bottle now, and the next from its manifest", async () => {
    const ticket = await ask("/lasting");
    const { stdout } = await operator.bottle(["inbox", "show", ticket, "--json"]);
    const { digest } = JSON.parse(stdout).pending;
    const given = await operator.bottle([
      "inbox",
      "approve",
      ticket,
      "--always",
      "--yes",
      "--digest",
      digest,
    ]);
    expect([given.code, given.stderr]).toEqual([
      0,
      expect.stringContaining("worker (bottle worker): GET site.test/lasting"),
    ]);
    expect(await status("/lasting")).toBe("404");
    expect(readFileSync(operator.path("home", "bottles", "worker.md"), "utf8")).toContain("/lasting");
    const next = await operator.start("worker");
    expect(await next.sh("curl -sS -o /dev/null -w '%{http_code}' https://site.test/lasting")).toBe("404");
    expect((await next.stop()).code).toBe(0);
  });

  it("is told in the report: what was asked, given, used, taken back, refused and frozen", async () => {
    await bottle.stop();
    const { code, stdout } = await operator.bottle(["audit", "report", bottle.id]);
    expect(code).toBe(0);
    expect(stdout).toContain("The log is intact.");
    expect(stdout).toMatch(/\| Asked for \| 2; 2 given, 0 denied or not answered \|/);
    expect(stdout).toMatch(/\| `site\.test` \| `GET` \| 4 \| `404` \|/);
    expect(stdout).toMatch(
      /\| `path-not-allowed` \| `GET https:\/\/site\.test\/asked` \| `[^`]*` \| [12] \|/,
    );
    expect(stdout).toMatch(/\| `frozen` \|/);
    expect(stdout).toMatch(
      /`GET on site\.test: \/asked` \| `please` \| approved \([^)]*\) \|.*\| `revoked by [^`]*` \|/,
    );
    expect(stdout).toMatch(/\| FROZEN \| `by [^`]*: lunch` \|/);
    const html = await operator.bottle(["audit", "report", bottle.id, "--html"]);
    expect(html.stdout).toContain("https://site.test/asked");
  });
});
