/** The real Claude Code goes on with its session in the same bottle, which has more by then. Its model is a stand-in. */
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type MessagesApi,
  startMessagesApi,
  startPlainSite,
  type Upstream,
} from "../../doubles/upstreams.ts";
import { createRealOperator, type RealOperator } from "../../support/real-bottle.ts";

const KEY = ["sk", "ant", "api03", randomBytes(18).toString("hex")].join("-");

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

describe("claude, resumed with more", () => {
  it("has the variable and the route, its workspace and the conversation so far", {
    timeout: 120_000,
  }, async () => {
    const look =
      "cat notes.txt; printenv STAGE; curl -sS -o /dev/null -w '%{http_code}' https://site.test/page";
    const model = await startMessagesApi({
      tls: await operator.authority.issue(["api.anthropic.com"]),
      credentials: [{ header: "x-api-key", value: KEY }],
      script: [
        { tool: "Bash", input: { command: `echo kept > notes.txt; ${look}` } },
        { text: "STAGE is missing here." },
        { tool: "Bash", input: { command: look } },
        { text: "Now it is there." },
      ],
    });
    api = model;
    const routes = [{ host: "api.anthropic.com", connect_to: `127.0.0.1:${model.port}` }];
    const bottle = (more: readonly object[]): void =>
      operator.agent("claude", {
        agent_provider: { template: "claude" },
        egress: { upstream_ca: [operator.caFile], routes: [...routes, ...more] },
      });
    bottle([]);
    const env = { ANTHROPIC_API_KEY: KEY };
    const first = await operator.bottle(["start", "claude", "--cwd", "--prompt", "print the stage"], { env });
    expect(first).toMatchObject({ code: 0, stdout: "STAGE is missing here.\n" });
    const id = /^bottle (\S+)$/m.exec(first.stderr)?.[1] ?? expect.fail(first.stderr);

    bottle([{ host: "site.test", connect_to: `127.0.0.1:${site.port}` }]);
    const wanted = ["--with", "manifest", "--with", "env:STAGE"];
    const second = await operator.bottle(["resume", id, ...wanted, "--prompt", "once more, please"], {
      env: { ...env, STAGE: "rehearsal" },
    });
    expect(second).toMatchObject({ code: 0, stdout: "Now it is there.\n" });
    expect(second.stderr).toContain("+ may reach: site.test, at 127.0.0.1:");
    expect(second.stderr).toContain("+ agent gets: STAGE (your STAGE)");

    const [before, after] = model.toolResults();
    expect(before).toContain("403");
    expect(before).not.toContain("rehearsal");
    // The site's own answer; before, it was egress's.
    expect(after).toMatch(/^kept\nrehearsal\n404/);
    expect(site.requests.map(({ target }) => target)).toEqual(["/page"]);
    const last = model.requests.findLast(({ method }) => method === "POST")?.body ?? "";
    for (const said of ["print the stage", "STAGE is missing here.", "once more, please"])
      expect(last).toContain(said);
    expect((await operator.bottle(["audit", "verify", id])).code).toBe(0);
  });
});
