import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { INSPECTED, INSPECTED_MODEL } from "../../../../src/contract/policy.ts";
import { curl, denialIn, openTunnel, policyOf, testEgress, until } from "../../../support/egress.ts";
import { type Site, sites } from "../../../support/egress-site.ts";
import { ask } from "../../../support/inspected-site.ts";

const HOST = "model.example.test";
const OTHER = "other.test";
/** Their routes look for no kinds of secrets, or mask them. */
const UNSEARCHED = "unsearched.test";
const MASKING = "masking.test";
const PLACEHOLDER = "placeholder-the-real-credential-stays-outside";
const SECRET = ["the", "real", "one"].join("-");

const { serve } = sites();

/** A model's host with its credential, another host, and egress told of the placeholder as the keeper tells it. */
async function serveKnowing(): Promise<Site> {
  const site = await serve({
    hosts: [
      {
        host: HOST,
        matches: [{ methods: ["POST"], paths: [{ type: "prefix", value: "/v1/messages" }] }],
        inject: [{ header: "authorization", value: `Bearer ${SECRET}` }],
        credentialHeaders: ["authorization", "x-api-key"],
      },
      OTHER,
      { host: UNSEARCHED, inspection: { ...INSPECTED, patterns: false } },
      { host: MASKING, inspection: INSPECTED_MODEL },
    ],
  });
  await site.egress.reload({ ...site.policy, placeholders: [{ value: PLACEHOLDER, to: [HOST] }] });
  return site;
}

describe("a placeholder", () => {
  it.each([
    ["authorization", `Authorization: Bearer ${PLACEHOLDER}`],
    ["another header of the provider", `X-Api-Key: ${PLACEHOLDER}`],
  ])("in %s becomes the credential where that is declared for", async (_what, header) => {
    const site = await serveKnowing();
    const answer = await curl(site.egress, "-d", "{}", "-H", header, `https://${HOST}/v1/messages`);
    expect(answer.stdout).toBe("reached");
    const sent = site.reached[0]?.rawHeaders.join("\n") ?? "";
    expect(sent).toContain(SECRET);
    expect(sent).not.toContain(PLACEHOLDER);
  });

  const basic = Buffer.from(`user:${PLACEHOLDER}`).toString("base64");
  it.each<[string, readonly string[]]>([
    [
      "to another host, as authorization",
      ["-H", `Authorization: Bearer ${PLACEHOLDER}`, `https://${OTHER}/`],
    ],
    ["to another host, as user and password", ["-u", `user:${PLACEHOLDER}`, `https://${OTHER}/`]],
    ["to another host, in any header", ["-H", `X-Anything: a=${basic}`, `https://${OTHER}/`]],
    ["to another host, as a cookie", ["-b", `a=b; session=${PLACEHOLDER}`, `https://${OTHER}/`]],
    ["to another host, in the query", [`https://${OTHER}/a?key=${PLACEHOLDER}&b`]],
    ["to another host, in the query, escaped", [`https://${OTHER}/a?key=%70${PLACEHOLDER.slice(1)}`]],
    ["to another host, in the path", [`https://${OTHER}/bot${PLACEHOLDER}/send`]],
    ["to another host, by HTTP/2", ["--http2", "-H", `X-Api-Key: ${PLACEHOLDER}`, `https://${OTHER}/`]],
    [
      "to its own host, in another header",
      ["-d", "{}", "-H", `X-Token: ${PLACEHOLDER}`, `https://${HOST}/v1/messages`],
    ],
    ["to its own host, in the query", ["-d", "{}", `https://${HOST}/v1/messages?key=${PLACEHOLDER}`]],
  ])("%s, is refused and told", async (_what, args) => {
    const site = await serveKnowing();
    const { stdout } = await curl(site.egress, ...args);
    expect(denialIn(stdout).code).toBe("placeholder-misused");
    expect(site.reached).toEqual([]);
    expect(await site.egress.waitFor("egress.denied")).toMatchObject([{ code: "placeholder-misused" }]);
  });

  it.each<[string, string, readonly string[]]>([
    ["path", "path-not-allowed", ["-d", "{}", `https://${HOST}/v1/files`]],
    ["method", "method-not-allowed", [`https://${HOST}/v1/messages`]],
    ["host", "host-not-allowed", ["-d", "{}", "http://evil.test/v1/messages"]],
  ])("to a %s that no rule has goes nowhere, and no credential for it", async (_what, code, args) => {
    const site = await serveKnowing();
    const { stdout } = await curl(site.egress, "-H", `Authorization: Bearer ${PLACEHOLDER}`, ...args);
    expect(denialIn(stdout).code).toBe(code);
    expect(site.reached).toEqual([]);
    expect(JSON.stringify(site.egress.messages)).not.toContain(SECRET);
  });

  const around = "what was said before it, and more of the same\n".repeat(20_000);
  it.each<[string, string | Buffer, readonly string[]]>([
    ["plain", `{"env": "KEY=${PLACEHOLDER}"}`, []],
    ["in a form", `a=b&key=${encodeURIComponent(PLACEHOLDER)}`, []],
    ["in base64", Buffer.from(`login: ${PLACEHOLDER}`).toString("base64"), []],
    ["in hex", Buffer.from(PLACEHOLDER).toString("hex"), []],
    ["as JSON escapes", `{"key": "\\u0070${PLACEHOLDER.slice(1)}"}`, []],
    ["packed", gzipSync(`KEY=${PLACEHOLDER}`), ["Content-Encoding: gzip"]],
    ["far into a long one", `${around}${PLACEHOLDER}${around}`, []],
  ])("in a body to another host, %s, is refused and told", async (_what, body, headers) => {
    const site = await serveKnowing();
    for (const host of [OTHER, UNSEARCHED, MASKING]) {
      const answer = await ask(site, { host, body, headers });
      expect(answer.denied?.code).toBe("placeholder-misused");
    }
    expect(site.reached).toEqual([]);
    expect(await site.egress.waitFor("egress.denied", 3)).toMatchObject(
      Array(3).fill({ code: "placeholder-misused" }),
    );
  });

  it("in a body to its own host is what was said, and goes on", async () => {
    const site = await serveKnowing();
    const said = JSON.stringify({ messages: [{ role: "user", content: `printenv: KEY=${PLACEHOLDER}` }] });
    const answer = await ask(site, { host: HOST, path: "/v1/messages", body: said });
    expect(answer.status).toBe(200);
    expect(site.reached[0]?.body).toBe(said);
    expect(site.egress.events("egress.masked")).toEqual([]);
  });

  it("on one stream of a connection refuses that stream alone", async () => {
    const site = await serveKnowing();
    const socket = await openTunnel(site.egress, OTHER, { alpn: ["h2"] });
    const session = connectHttp2(`https://${OTHER}`, { createConnection: () => socket });
    const statuses: unknown[] = [];
    for (const key of [PLACEHOLDER, "my-own"]) {
      const stream = session.request({ ":path": "/", "x-api-key": key });
      stream.on("response", (head) => statuses.push(head[":status"]));
      stream.resume();
    }
    await until(() => statuses.length === 2);
    expect(statuses.sort()).toEqual([200, 403]);
    session.destroy();
  });

  it("is nothing that egress knows by itself", async () => {
    const egress = await testEgress({});
    await expect(egress.reload(policyOf({ placeholders: [{ value: "too short", to: [] }] }))).rejects.toThrow(
      "12 characters",
    );
    egress.stop();
  });
});
