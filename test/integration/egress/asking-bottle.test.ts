/** A real bottle whose route asks: what was found waits in the operator's inbox without a word of the agent's. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";
import { checksummed } from "../../support/secret-examples/checksummed.ts";

let operator: RealOperator;
let bottle: RealBottle;
let site: Upstream;

beforeAll(async () => {
  operator = await createRealOperator();
  site = await startPlainSite({ tls: await operator.authority.issue(["asked.test"]) });
  const dlp = { outbound_on_match: "ask" };
  operator.agent("asking", {
    agent_provider: IDLE,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [{ host: "asked.test", connect_to: `127.0.0.1:${site.port}`, dlp }],
    },
  });
  bottle = await operator.start("asking");
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

it("is refused, waits in the inbox, and passes once the operator has said yes", async () => {
  const token = checksummed("ghp_", 30);
  const send = (): Promise<string> =>
    bottle.sh(`curl -sS -o /dev/null -w '%{http_code}' -H 'X-Note: ${token}' https://asked.test/`);
  expect(await send()).toBe("403");
  const { data } = await bottle.logged(({ event }) => event === "request.asked");
  expect(data).toMatchObject({ ask: { kind: "finding", host: "asked.test", detector: "github-token" } });
  const ticket = String(data["ticket"]);
  const { stdout } = await operator.bottle(["inbox", "show", ticket, "--json"]);
  const { digest } = JSON.parse(stdout).pending;
  const approved = await operator.bottle(["inbox", "approve", ticket, "--once", "--yes", "--digest", digest]);
  expect(approved.code, approved.stderr).toBe(0);
  expect(await send()).toBe("200");
  expect(await send()).toBe("403");
  // Of this file's own commands the log has every word.
  const said = bottle.log().filter(({ event }) => !event.startsWith("exec."));
  expect(JSON.stringify(said)).not.toContain(token);
});
