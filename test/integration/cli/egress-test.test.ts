import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type BottleCli, createBottleCli } from "../../support/bottle-cli.ts";

let cli: BottleCli;
beforeAll(() => {
  cli = createBottleCli();
  cli.agent("worker", ["true"], {
    bottle: {
      egress: {
        routes: [
          {
            host: "api.example.com",
            matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/v1" }] }],
            // Its value is needed for no answer, so it is not set here.
            auth: { scheme: "Bearer", token_ref: "EXAMPLE_TOKEN" },
          },
        ],
      },
    },
  });
});
afterEach(() => cli.expectNothingLeft());
afterAll(() => cli.remove());

describe("bottle egress test", () => {
  it("prints what is allowed, by which rule and with which credential, and exits 0", async () => {
    expect(
      await cli.run(["egress", "test", "worker", "https://api.example.com/v1/things?key=value"]),
    ).toEqual({
      code: 0,
      stdout: [
        "allowed  GET https://api.example.com/v1/things",
        "rule     route api.example.com: GET on /v1/*",
        "sets     authorization",
        "dials    api.example.com:443, when its addresses are fit; nothing was resolved or sent",
        "",
      ].join("\n"),
      stderr: "",
    });
  });

  it.each<[string, string, readonly string[]]>([
    ["host-not-allowed", "https://evil.example/", []],
    ["path-not-allowed", "https://api.example.com/admin", []],
    ["method-not-allowed", "https://api.example.com/v1", ["--method", "POST"]],
    ["plaintext-credential", "http://api.example.com/v1", []],
    ["override-refused", "https://api.example.com/v1", ["--header", "x-http-method-override: DELETE"]],
  ])("prints what is denied as %s, with the rule, and exits 3", async (code, url, flags) => {
    const { stdout, stderr, code: exit } = await cli.run(["egress", "test", "worker", url, ...flags]);
    expect({ stderr, exit }).toEqual({ stderr: "", exit: 3 });
    expect(stdout).toMatch(new RegExp(`^denied .*\ncode +${code} \\(403\\)\nreason .*\nrule .*\n$`));
  });

  it("names the proxy that everything leaves through", async () => {
    cli.agent("chained", ["true"], {
      bottle: { egress: { routes: [{ host: "a.example" }], upstream_proxy: "http://proxy.example:3128" } },
    });
    const { stdout, code } = await cli.run(["egress", "test", "chained", "https://a.example/"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^through {2}proxy\.example:3128$/m);
    expect((await cli.run(["info", "chained"])).stderr).toContain(
      "leaves through  http://proxy.example:3128\n",
    );
  });

  it("says the same as data", async () => {
    const { stdout, code } = await cli.run(["egress", "test", "worker", "https://evil.example/a", "--json"]);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toEqual({
      allow: false,
      target: "GET https://evil.example/a",
      code: "host-not-allowed",
      status: 403,
      reason: "no route of this bottle leads to evil.example",
      rule: "no route for evil.example",
    });
  });

  it.each<[readonly string[], number, string]>([
    [["worker", "api.example.com"], 2, "is not a whole URL"],
    [["worker", "https://api.example.com/", "-H", "no colon"], 2, "is not a header"],
    [["worker", "https://api.example.com/", "-H", "accept"], 2, "accept is not a header"],
    [["worker", "https://api.example.com/", "-H", "a: b\nc"], 2, "is not a header"],
    [["nobody", "https://api.example.com/"], 1, "nobody"],
    [["worker"], 2, "missing required argument 'url'"],
  ])("%j is an error", async (args, code, text) => {
    const run = await cli.run(["egress", "test", ...args]);
    expect(run).toMatchObject({ code, stdout: "" });
    expect(run.stderr).toContain(text);
  });
});
