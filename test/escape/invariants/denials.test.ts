/** I10, through the whole product: whatever is denied is denied within a second, and says what, why and how to ask. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPlainSite, type Upstream } from "../../doubles/upstreams.ts";
import { TUNNEL, type Tunnelled } from "../../support/guest-programs.ts";
import { realPid } from "../../support/pid-of.ts";
import { createRealOperator, IDLE, type RealBottle, type RealOperator } from "../../support/real-bottle.ts";

const WITHIN_MS = 1_000;

/** Runs curl once for each list of arguments on its own argv, and prints what came of all of them. */
const MANY_CURLS = `
const { spawnSync } = require("node:child_process");
const results = JSON.parse(process.argv[1]).map((args) => {
  const from = performance.now();
  const { status, stdout, stderr } = spawnSync("curl", ["-sS", "-i", "--path-as-is", ...args], { encoding: "utf8" });
  return { code: status, stdout, stderr, ms: performance.now() - from };
});
console.log(JSON.stringify(results));
`;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** What is denied inside TLS or in plain HTTP: its answer is an ordinary one, which clients show. */
const READABLE: readonly (readonly [what: string, code: string, target: string, args: readonly string[]])[] =
  [
    [
      "a path",
      "path-not-allowed",
      "GET https://allowed.test/other",
      ["https://allowed.test/other?q=hidden-in-the-query"],
    ],
    [
      "a method",
      "method-not-allowed",
      "POST https://allowed.test/echo",
      ["-d", "x", "https://allowed.test/echo"],
    ],
    ["a header", "header-not-allowed", "GET https://picky.test/", ["https://picky.test/"]],
    [
      "dots in a path",
      "path-refused",
      "GET https://allowed.test/echo/../x",
      ["https://allowed.test/echo/../x"],
    ],
    [
      "an ambiguous path",
      "path-ambiguous",
      "GET https://allowed.test/echo%2fx",
      ["https://allowed.test/echo%2fx"],
    ],
    [
      "a method that no route can allow",
      "method-refused",
      "TRACE https://allowed.test/echo",
      ["-X", "TRACE", "https://allowed.test/echo"],
    ],
    [
      "a method in disguise",
      "override-refused",
      "GET https://allowed.test/echo",
      ["-H", "X-HTTP-Method-Override: PUT", "https://allowed.test/echo"],
    ],
    [
      "a foreign Host",
      "host-mismatch",
      "GET https://allowed.test/echo",
      ["-H", "Host: elsewhere.test", "https://allowed.test/echo"],
    ],
    [
      "another upgrade",
      "upgrade-refused",
      "GET https://allowed.test/echo",
      ["--http1.1", "-H", "Connection: Upgrade", "-H", "Upgrade: h2c", "https://allowed.test/echo"],
    ],
    ["a host", "host-not-allowed", "GET https://elsewhere.test/page", ["https://elsewhere.test/page"]],
    [
      "a host, in HTTP/1.1, with a body",
      "host-not-allowed",
      "POST https://elsewhere.test/form",
      ["--http1.1", "-d", "x", "https://elsewhere.test/form?q=hidden-in-the-query"],
    ],
    ["an address", "host-not-allowed", "GET https://93.184.216.34/", ["https://93.184.216.34/"]],
    [
      "a host, in a tunnel to port 80",
      "host-not-allowed",
      "GET http://elsewhere.test/tunnelled",
      ["--proxytunnel", "http://elsewhere.test/tunnelled"],
    ],
    ["a host over http", "host-not-allowed", "GET http://elsewhere.test/", ["http://elsewhere.test/"]],
    [
      "an address over http",
      "host-not-allowed",
      "GET http://169.254.169.254/latest/meta-data",
      ["http://169.254.169.254/latest/meta-data"],
    ],
    ["a port over http", "port-refused", "http://allowed.test:8080/echo", ["http://allowed.test:8080/echo"]],
    [
      "another scheme",
      "scheme-refused",
      "ftp://allowed.test/x",
      ["-x", "http://127.0.0.1:9099", "ftp://allowed.test/x"],
    ],
    ["a private address", "address-refused", "GET https://10.0.0.1/", ["https://10.0.0.1/"]],
    ["the metadata service", "address-refused", "GET http://169.254.0.1/", ["http://169.254.0.1/"]],
    ["a credential in clear", "plaintext-credential", "GET http://token.test/", ["http://token.test/"]],
    [
      "a name that nobody has",
      "upstream-unresolvable",
      "GET https://nowhere.invalid/",
      ["https://nowhere.invalid/"],
    ],
    [
      "an upstream that is not there",
      "upstream-unreachable",
      "GET https://dead.test/",
      ["https://dead.test/"],
    ],
    [
      "an upstream with a stranger's certificate",
      "upstream-tls",
      "GET https://stranger.test/",
      ["https://stranger.test/"],
    ],
  ];

/** What no tunnel can be for is refused at CONNECT: a client shows status line and headers at most. */
const AT_CONNECT: readonly (readonly [
  what: string,
  code: string,
  target: string,
  host: string,
  port: number,
])[] = [
  ["a port", "port-refused", "CONNECT allowed.test:22", "allowed.test", 22],
  ["a port of a host that is not allowed", "port-refused", "CONNECT elsewhere.test:22", "elsewhere.test", 22],
  ["an address in another form", "host-invalid", "CONNECT 0x7f000001:443", "0x7f000001", 443],
];

let operator: RealOperator;
let bottle: RealBottle;
let site: Upstream;
let results: readonly Result[];

beforeAll(async () => {
  operator = await createRealOperator({ "tunnel.mjs": TUNNEL });
  site = await startPlainSite({ tls: await operator.authority.issue(["allowed.test", "picky.test"]) });
  const to = `127.0.0.1:${site.port}`;
  operator.agent("asker", {
    agent_provider: IDLE,
    egress: {
      upstream_ca: [operator.caFile],
      routes: [
        {
          host: "allowed.test",
          connect_to: to,
          matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/echo" }] }],
        },
        { host: "picky.test", connect_to: to, matches: [{ headers: [{ name: "x-team", value: "blue" }] }] },
        { host: "stranger.test", connect_to: to },
        { host: "dead.test", connect_to: "127.0.0.1:1" },
        { host: "nowhere.invalid" },
        { host: "10.0.0.1" },
        { host: "169.254.0.1" },
        { host: "token.test", auth: { scheme: "Bearer", token_ref: "TOKEN" } },
      ],
    },
  });
  bottle = await operator.start("asker", ["--cwd"], { env: { TOKEN: "to" + "ken" } });
  const { stdout, stderr } = await bottle.exec(
    "node",
    "-e",
    MANY_CURLS,
    JSON.stringify(READABLE.map(([, , , args]) => args)),
  );
  if (stdout === "") throw new Error(stderr);
  results = JSON.parse(stdout) as Result[];
});
afterAll(async () => {
  await operator.remove();
  await site.close();
});

function expectDenial(text: string, code: string, target: string): void {
  const { denied } = JSON.parse(text.slice(text.indexOf('{"denied"'))) as {
    denied: {
      code: string;
      reason: string;
      target: string;
      rule: string;
      ask: { tool: string; arguments: object };
    };
  };
  expect(denied).toMatchObject({ code, ask: { tool: "request_access" } });
  expect(denied.target).toContain(target);
  // Words, not a repetition of the code.
  expect(denied.reason).toMatch(/ .* /);
  expect(denied.rule).toMatch(/ /);
  expect(Object.keys(denied.ask.arguments)).not.toEqual([]);
  expect(text).not.toContain("hidden-in-the-query");
}

describe("I10: a denial of", () => {
  it.each(READABLE.map((row, i) => [...row, i] as const))(
    "%s (%s) is in curl's own output at once",
    (_what, code, target, _args, i) => {
      const { stdout, ms, stderr } = results[i] ?? expect.fail("not run");
      expect(ms).toBeLessThan(WITHIN_MS);
      expect(stderr).toBe("");
      expect(stdout).toContain(`x-bottle-denied: ${code}`);
      expectDenial(stdout, code, target);
    },
  );

  it.each(AT_CONNECT)(
    "%s at CONNECT (%s) is in the status line, the headers and the body",
    async (_what, code, target, host, port) => {
      const { stdout } = await bottle.exec("node", "workspace/tunnel.mjs", JSON.stringify({ host, port }));
      const { connect, body, ms } = JSON.parse(stdout) as Tunnelled;
      expect(ms).toBeLessThan(WITHIN_MS);
      expect(connect).toMatchObject({
        status: 403,
        phrase: `Denied by bottle: ${code}`,
        headers: { "x-bottle-denied": code },
      });
      expectDenial(body ?? "", code, target);
    },
  );

  it("each is on the log, by the same code and target", async () => {
    for (const [, code, target] of [...READABLE, ...AT_CONNECT])
      await bottle.logged(
        ({ event, data }) =>
          event === "egress.denied" && data["code"] === code && String(data["target"]).includes(target),
      );
    const ofEgress = bottle.log().filter(({ event }) => event.startsWith("egress."));
    expect(JSON.stringify(ofEgress)).not.toContain("hidden-in-the-query");
    expect(site.requests).toEqual([]);
  });
});

/** Asks again and again until it was refused and then served again; prints how each attempt ended, and after how long. */
const PERSIST = `
const { connect } = require("node:net");
const attempt = () => new Promise((resolve) => {
  const from = performance.now();
  const end = (how) => resolve([how, performance.now() - from]);
  const socket = connect(9099, "127.0.0.1", () => socket.write("GET http://elsewhere.test/ HTTP/1.1\\r\\nHost: elsewhere.test\\r\\nConnection: close\\r\\n\\r\\n"));
  let text = "";
  socket.on("data", (chunk) => (text += chunk));
  socket.on("error", (error) => end(error.code));
  socket.setTimeout(3000, () => (socket.destroy(), end("silent")));
  socket.on("close", () => end(text.includes("host-not-allowed") ? "denied" : "closed"));
});
(async () => {
  console.log("begun");
  const seen = [];
  let refused = false;
  for (const until = performance.now() + 15000; performance.now() < until; ) {
    seen.push(await attempt());
    refused ||= seen.at(-1)[0] === "ECONNREFUSED";
    if (refused && seen.at(-1)[0] === "denied") break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  console.log(JSON.stringify(seen));
})();
`;

describe("I7, I10: while egress is dead", () => {
  it("the guest is refused at once, and served again by the next one, with the same rules", async () => {
    const before = await bottle.egress();
    const persisting = bottle.exec("node", "-e", PERSIST);
    await new Promise((resolve) => setTimeout(resolve, 800));
    process.kill(realPid(before), "SIGKILL");
    const seen = JSON.parse((await persisting).stdout.split("\n")[1] ?? "[]") as [string, number][];
    const outcomes = new Set(seen.map(([how]) => how));
    expect(outcomes).toContain("ECONNREFUSED");
    expect(
      [...outcomes].filter((how) => !["denied", "ECONNREFUSED", "ECONNRESET", "closed"].includes(how)),
    ).toEqual([]);
    expect(Math.max(...seen.map(([, ms]) => ms))).toBeLessThan(WITHIN_MS);
    expect(seen.at(-1)?.[0]).toBe("denied");
    expect(await bottle.egress()).not.toBe(before);
    await bottle.logged(({ event }) => event === "egress.died");
    await bottle.logged(({ event }) => event === "egress.restarted");
  });
});
