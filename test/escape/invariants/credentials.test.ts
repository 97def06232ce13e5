/** I2 and what follows from it for requests: which upstream gets which credential, whatever the agent sends. */
import { randomBytes } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";
import { httpsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const TOKEN = ["gh", "p_", randomBytes(18).toString("hex")].join("");
const KEY = ["key", "-", randomBytes(18).toString("hex")].join("");
const LOGIN = `robot:${randomBytes(9).toString("hex")}`;
const FORGED = "Bearer forged-by-the-agent";

interface Arrived {
  readonly host: string;
  readonly method: string;
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
}

let operator: RealOperator;
let bottle: RealBottle;
let upstream: Upstream;
const arrived: Arrived[] = [];

beforeAll(async () => {
  operator = await createRealOperator();
  const hosts = ["token.test", "key.test", "basic.test", "open.test"] as const;
  upstream = await httpsUpstream(await operator.authority.issue([...hosts]), (request, response) => {
    const { headers, rawHeaders, method = "", url = "" } = request;
    arrived.push({ host: headers.host ?? "", method, target: url, headers, rawHeaders });
    request.resume();
    if (url === "/v1/moved") response.writeHead(302, { location: "https://open.test/landed" });
    response.end("seen");
  });
  const to = `127.0.0.1:${upstream.port}`;
  const v1 = [{ methods: ["GET"], paths: [{ type: "prefix", value: "/v1" }] }];
  operator.agent("caller", {
    agent_provider: IDLE,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        { host: "token.test", connect_to: to, matches: v1, auth: { scheme: "Bearer", token_ref: "TOKEN" } },
        { host: "key.test", connect_to: to, auth: { scheme: "header:X-Api-Key", token_ref: "KEY" } },
        { host: "basic.test", connect_to: to, auth: { scheme: "Basic", token_ref: "LOGIN" } },
        { host: "open.test", connect_to: to },
        { host: "remote.test", auth: { scheme: "Bearer", token_ref: "TOKEN" } },
      ],
    },
  });
  bottle = await operator.start("caller", [], { env: { TOKEN, KEY, LOGIN } });
});
afterAll(async () => {
  await operator.remove();
  await upstream.close();
});
beforeEach(() => {
  arrived.length = 0;
});

/** curl in the bottle; fails the test when curl fails. */
async function curl(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await bottle.exec("curl", "-sS", ...args);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return stdout;
}

/** How often a header came, `_` counted as `-`. */
function sent(request: Arrived | undefined, name: string): readonly string[] {
  const raw = request?.rawHeaders ?? [];
  return raw.filter((_, i) => i % 2 === 1 && raw[i - 1]?.toLowerCase().replaceAll("_", "-") === name);
}

describe("I2: a route with a credential", () => {
  it("gets the real one, once, in place of anything the agent sends under its name", async () => {
    const forgeries = ["authorization", "AUTHORIZATION", "Authorization"].flatMap((name) => [
      "-H",
      `${name}: ${FORGED}`,
    ]);
    for (const version of ["--http1.1", "--http2"])
      await curl(version, ...forgeries, "https://token.test/v1/x");
    for (const request of arrived) expect(sent(request, "authorization")).toEqual([`Bearer ${TOKEN}`]);
    expect(arrived).toHaveLength(2);
  });

  it("under a header of its own, too, in every spelling that a server might take for it", async () => {
    await curl(
      "-H",
      "X-Api-Key: forged",
      "-H",
      "x_api_key: forged",
      "-H",
      "X-API_KEY: forged",
      "https://key.test/",
    );
    expect(sent(arrived[0], "x-api-key")).toEqual([KEY]);
  });

  it("as a login, in base64", async () => {
    await curl("-u", "agent:guess", "https://basic.test/");
    expect(sent(arrived[0], "authorization")).toEqual([`Basic ${Buffer.from(LOGIN).toString("base64")}`]);
  });

  it("cannot be talked out of it by hop-by-hop tricks", async () => {
    await curl(
      "--http1.1",
      "-H",
      "Connection: authorization, x-api-key",
      "-H",
      `Authorization: ${FORGED}`,
      "https://token.test/v1/x",
    );
    expect(sent(arrived[0], "authorization")).toEqual([`Bearer ${TOKEN}`]);
  });

  it("does not get it, nor anything else, for a path or a method that it does not cover", async () => {
    for (const args of [
      ["https://token.test/v2/x"],
      ["https://token.test/"],
      ["-X", "POST", "https://token.test/v1/x"],
      ["-X", "DELETE", "https://token.test/v1/x"],
      ["--path-as-is", "https://token.test/v1/../v2/x"],
      ["--path-as-is", "https://token.test/v1/%2e%2e/v2"],
      ["--path-as-is", "https://token.test/v1//../v2"],
      ["-H", "X-HTTP-Method-Override: DELETE", "https://token.test/v1/x"],
      ["-H", "X-Original-URL: /v2", "https://token.test/v1/x"],
    ])
      expect(await curl(...args), args.join(" ")).toContain('"denied"');
    expect(arrived).toEqual([]);
  });

  it("is not sent in clear", async () => {
    expect(await curl("http://remote.test/")).toContain('"code":"plaintext-credential"');
  });
});

describe("I2: a host without a credential", () => {
  it("gets what the agent sends, as it is, and nothing of the operator's", async () => {
    await curl("-H", `Authorization: ${FORGED}`, "-H", "X-Api-Key: mine", "https://open.test/");
    expect(sent(arrived[0], "authorization")).toEqual([FORGED]);
    expect(sent(arrived[0], "x-api-key")).toEqual(["mine"]);
  });

  it("gets nothing of the operator's by a redirect from one with", async () => {
    expect(await curl("-L", "--location-trusted", "https://token.test/v1/moved")).toBe("seen");
    expect(arrived.map(({ host }) => host)).toEqual(["token.test", "open.test"]);
    expect(sent(arrived[1], "authorization")).toEqual([]);
  });

  it("cannot be passed off as one with: not by Host, not by the request line", async () => {
    for (const args of [
      ["-H", "Host: token.test", "https://open.test/v1/x"],
      ["--http1.1", "-H", "Host: token.test", "https://open.test/v1/x"],
      ["-H", "Host: open.test", "https://token.test/v1/x"],
      ["--http1.1", "--request-target", "https://token.test/v1/x", "https://open.test/"],
    ])
      expect(await curl(...args), args.join(" ")).toContain('"code":"host-mismatch"');
    expect(arrived).toEqual([]);
  });

  it("gets none by headers that name one with", async () => {
    await curl(
      "-H",
      "X-Forwarded-Host: token.test",
      "-H",
      "Forwarded: host=token.test",
      "https://open.test/",
    );
    expect(JSON.stringify(arrived[0]?.headers)).not.toContain(TOKEN);
  });
});

describe("the log", () => {
  it("names the header that was set and never its value", async () => {
    await curl("https://token.test/v1/logged?secret=in-the-query");
    const line = await bottle.logged(
      ({ event, data }) => event !== "egress.admitted" && data["path"] === "/v1/logged",
    );
    expect(line).toMatchObject({
      event: "egress.allowed",
      data: { host: "token.test", credential: ["authorization"] },
    });
    // What the operator typed for `bottle exec` is theirs, and on the log as they typed it.
    const text = JSON.stringify(bottle.log().filter((one) => !one.event.startsWith("exec.")));
    for (const secret of [TOKEN, KEY, LOGIN, Buffer.from(LOGIN).toString("base64"), FORGED, "in-the-query"])
      expect(text).not.toContain(secret);
  });
});
