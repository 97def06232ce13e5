import { describe, expect, it } from "vitest";
import { ISOLATION_LEVELS } from "../../../src/contract/isolation.ts";
import type { BottlePlan, PlannedEnv, PlannedMcpServer } from "../../../src/contract/plan.ts";
import type { Route } from "../../../src/contract/policy.ts";
import type { Provider } from "../../../src/contract/provider.ts";
import { UserError } from "../../../src/lib/errors.ts";
import type { LoadedBottle } from "../../../src/manifest/bottle-chain.ts";
import type { LoadedAgent } from "../../../src/manifest/load.ts";
import { type BuiltPlan, buildPlan, type PlanOptions } from "../../../src/plan/build.ts";
import { missingCredentials, missingEnv } from "../../../src/plan/credentials.ts";
import { meetsIsolation } from "../../../src/plan/isolation.ts";
import { mcpConfigOf } from "../../../src/plan/mcp-config.ts";
import { thrownBy } from "../../support/manifest-tree.ts";
import { runner, talker } from "../../support/provider-double.ts";

const route = (host: string, more: Partial<Route> = {}): Route => ({
  host,
  matches: [],
  credentialHeaders: more.auth === undefined ? [] : [more.auth.header],
  tls: "terminate",
  allowAddresses: [],
  ...more,
});
const auth = (tokenRef: string) => ({ header: "authorization", format: "token {}", tokenRef });

function loaded(bottle: Partial<LoadedBottle> = {}, agent: Partial<LoadedAgent> = {}): LoadedAgent {
  return {
    name: "dev",
    source: "home",
    file: "/h/agents/dev.md",
    contentHash: "ab12",
    prompt: "Do it.",
    skills: [],
    git: {},
    warnings: [],
    ...agent,
    bottle: {
      name: "b",
      files: ["/h/bottles/b.md"],
      env: [],
      routes: [],
      presets: [],
      rules: [],
      upstreamCa: [],
      git: {},
      repos: [],
      template: "talker",
      mounts: [],
      resources: {},
      repoAgents: false,
      ...bottle,
    },
  };
}

function build(
  agent: LoadedAgent,
  provider: Provider = talker,
  available: readonly string[] = ["TALKER_LOGIN", "TALKER_KEY"],
  options: Partial<PlanOptions> = {},
): BuiltPlan {
  const availableEnv = (name: string): boolean => available.includes(name);
  return buildPlan({
    loaded: agent,
    provider,
    options: { backend: "namespace", skillsPaths: new Map(), availableEnv, ...options },
  });
}

const routeFor = (plan: BottlePlan, host: string): Route | undefined =>
  plan.routes.find((each) => each.host === host);

describe("MCP servers of the operator's", () => {
  const at = (url: string, name = "it") => ({ name, place: { type: "http", url, headers: {} } }) as const;
  const withServers = (...mcpServers: readonly PlannedMcpServer[]): BuiltPlan =>
    build(loaded({ routes: [route("docs.test"), route("*.wild.test")] }), talker, [], {
      userConfig: { texts: [], settings: {}, mcpServers },
    });

  it("are warned of where there is no route", () => {
    const { warnings } = withServers(
      at("https://docs.test/mcp"),
      at("https://a.wild.test/mcp"),
      at("https://wild.test/mcp", "wild"),
      at("http://[::1]:8080/mcp", "here"),
      { name: "run", place: { type: "stdio", command: "x", args: [], env: {} } },
    );
    expect(warnings).toEqual([
      "the MCP server wild is at wild.test, for which there is no route: the agent will not reach it",
      "the MCP server here is at ::1, for which there is no route: the agent will not reach it",
    ]);
  });

  it("make a list of servers also where the agent cannot ask for more, and none when there is none", () => {
    expect(mcpConfigOf(withServers(at("https://docs.test/")).plan)).toBe("/home/node/.bottle/mcp.json");
    expect(mcpConfigOf(withServers().plan)).toBeUndefined();
    expect(mcpConfigOf({ supervise: { patienceMs: 1, freezeOnCanary: false } })).toBeDefined();
  });
});

describe("an upstream proxy", () => {
  const upstreamProxy = { host: "proxy.example", port: 3128, tls: false, tokenRef: "PROXY_LOGIN" };

  it("has its credential asked for like a route's, for the proxy alone", () => {
    const { plan } = build(loaded({ upstreamProxy }));
    expect(plan.upstreamProxy).toEqual(upstreamProxy);
    expect(plan.credentials).toContainEqual({
      tokenRef: "PROXY_LOGIN",
      holder: "egress",
      hosts: ["the proxy proxy.example"],
    });
    expect(missingCredentials(plan, () => false).map(({ tokenRef }) => tokenRef)).toContain("PROXY_LOGIN");
  });

  it("keeps its credential from the agent", () => {
    const env: PlannedEnv[] = [{ name: "X", source: { kind: "host", variable: "PROXY_LOGIN" } }];
    expect(thrownBy(() => build(loaded({ upstreamProxy, env }))).message).toContain("it is a credential");
  });
});

describe("a plan", () => {
  it("is plain data that survives JSON", () => {
    const { plan } = build(loaded({ routes: [route("a.example", { auth: auth("A") })] }), talker, [], {
      label: "l",
      task: "t",
      cwd: "/w",
    });
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan);
  });

  it("holds what the manifest, the provider and the operator said", () => {
    const { plan, warnings } = build(
      loaded(
        {
          mounts: [{ from: "/d", to: "/mnt/d" }],
          resources: { cpus: 2, memoryBytes: 2 ** 30 },
          isolation: "container",
          rules: [],
          upstreamCa: ["/ca.pem"],
        },
        { git: { name: "N" }, skills: ["s"] },
      ),
      talker,
      ["TALKER_LOGIN"],
      {
        label: "try",
        task: "say hi",
        cwd: "/work",
        backend: "docker",
        skillsPaths: new Map([["s", "/skills/s"]]),
      },
    );
    expect(plan).toMatchObject({
      agent: { name: "dev", source: "home", file: "/h/agents/dev.md", contentHash: "ab12", prompt: "Do it." },
      bottle: { name: "b", files: ["/h/bottles/b.md"] },
      label: "try",
      task: "say hi",
      provider: {
        name: "talker",
        argv: ["talker", "--task", "say hi"],
        resumeArgv: ["talker", "--continue"],
        env: { TALKER_TELEMETRY: "off", TALKER_LOGIN: "placeholder" },
        files: [{ path: "/home/node/prompt.txt", content: "Do it.", mode: 0o600 }],
      },
      skills: [{ name: "s", path: "/skills/s" }],
      rules: [],
      upstreamCa: ["/ca.pem"],
      git: { name: "N" },
      workspaceFrom: "/work",
      mounts: [{ from: "/d", to: "/mnt/d" }],
      resources: { cpus: 2, memoryBytes: 2 ** 30, pids: 4096 },
      isolation: "container",
      backend: "docker",
    });
    expect(warnings).toEqual([]);
  });

  it("leaves out what nobody said", () => {
    const { plan } = build(
      { ...loaded({ template: "runner", command: ["make", "check"] }), prompt: "" },
      runner,
    );
    expect(plan.provider.argv).toEqual(["make", "check"]);
    for (const key of ["label", "task", "workspaceFrom", "isolation"])
      expect(Object.keys(plan)).not.toContain(key);
    expect(plan.routes).toEqual([]);
    expect(plan.credentials).toEqual([]);
  });

  it("passes on the warnings of the manifest", () => {
    expect(build(loaded({}, { warnings: ["w"] })).warnings).toEqual(["w"]);
  });
});

describe("the routes of a plan", () => {
  it("are the provider's and the manifest's", () => {
    const { plan } = build(loaded({ routes: [route("a.example")] }));
    expect(plan.routes.map(({ host }) => host)).toEqual([
      "model.example.com",
      "status.example.com",
      "a.example",
    ]);
  });

  it("for a host of both are the provider's, at the place that the manifest knows", () => {
    const { plan, warnings } = build(
      loaded({
        routes: [
          route("model.example.com", {
            matches: [],
            auth: auth("OTHER"),
            allowAddresses: ["10.0.0.0/8"],
            connectTo: { host: "127.0.0.1", port: 8443 },
          }),
        ],
      }),
    );
    expect(plan.routes.filter(({ host }) => host === "model.example.com")).toEqual([
      {
        host: "model.example.com",
        matches: talker.routes[0]?.matches,
        auth: { header: "authorization", format: "Bearer {}", tokenRef: "TALKER_LOGIN" },
        credentialHeaders: ["x-session", "authorization", "x-api-key"],
        tls: "terminate",
        allowAddresses: ["10.0.0.0/8"],
        connectTo: { host: "127.0.0.1", port: 8443 },
      },
    ]);
    expect(warnings).toEqual([
      "the route for model.example.com is the provider talker's: of the manifest's only connect_to, allow_addresses and dlp count",
    ]);
  });

  it("warn about nothing when the manifest only says where the provider's host is", () => {
    const { warnings } = build(
      loaded({ routes: [route("model.example.com", { connectTo: { host: "::1", port: 1 } })] }),
    );
    expect(warnings).toEqual([]);
  });

  it("I2: let neither of the provider's ways to authenticate through from the guest, and only at its hosts", () => {
    for (const available of [["TALKER_LOGIN"], ["TALKER_KEY"], []]) {
      const { plan } = build(
        loaded({ routes: [route("a.example", { auth: auth("A") }), route("b.example")] }),
        talker,
        available,
      );
      expect(routeFor(plan, "model.example.com")?.credentialHeaders).toEqual([
        "x-session",
        "authorization",
        "x-api-key",
      ]);
      expect(routeFor(plan, "status.example.com")?.auth).toBeUndefined();
      expect(routeFor(plan, "a.example")?.credentialHeaders).toEqual(["authorization"]);
      expect(routeFor(plan, "b.example")?.credentialHeaders).toEqual([]);
    }
  });
});

describe("the credentials of a plan", () => {
  it("are the first of the provider's that the operator has, with its placeholder and no other", () => {
    const login = build(loaded(), talker, ["TALKER_LOGIN", "TALKER_KEY"]).plan;
    expect(routeFor(login, "model.example.com")?.auth?.tokenRef).toBe("TALKER_LOGIN");
    const key = build(loaded(), talker, ["TALKER_KEY"]).plan;
    expect(routeFor(key, "model.example.com")?.auth).toEqual({
      header: "x-api-key",
      format: "{}",
      tokenRef: "TALKER_KEY",
    });
    expect(key.provider.env).toEqual({ TALKER_TELEMETRY: "off", TALKER_API_KEY: "placeholder" });
    expect(key.placeholders).toEqual(["placeholder"]);
    expect(key.placeholderHosts).toEqual(["model.example.com"]);
    expect(key.credentials).toEqual([
      { tokenRef: "TALKER_KEY", holder: "egress", hosts: ["model.example.com"], howToGet: "buy a key" },
    ]);
  });

  it("when there is none of them, are missing by name with every way to get one", () => {
    const { plan } = build(loaded(), talker, []);
    expect(missingCredentials(plan, () => false)).toEqual([
      {
        tokenRef: "TALKER_LOGIN",
        holder: "egress",
        hosts: ["model.example.com"],
        howToGet: "run talker login; or buy a key",
      },
    ]);
    expect(missingCredentials(plan, () => true)).toEqual([]);
  });

  it("list a token once, with all its hosts", () => {
    const routes = [route("a.example", { auth: auth("T") }), route("b.example", { auth: auth("T") })];
    expect(build(loaded({ routes }), runner).plan.credentials).toEqual([
      { tokenRef: "T", holder: "egress", hosts: ["a.example", "b.example"] },
    ]);
  });

  const hostEnv = (name: string, variable: string): PlannedEnv => ({
    name,
    source: { kind: "host", variable },
  });

  it.each([
    ["a route's token", [hostEnv("COPY", "ROUTE_TOKEN")]],
    ["the provider's chosen credential", [hostEnv("COPY", "TALKER_LOGIN")]],
    ["a credential that the provider could use", [hostEnv("COPY", "TALKER_KEY")]],
    [
      "a variable that holds a placeholder",
      [{ name: "TALKER_API_KEY", source: { kind: "literal", value: "x" } } as const],
    ],
  ])("I2: are not given to the agent: %s in env is refused", (_what, env) => {
    const error = thrownBy(() =>
      build(loaded({ env, routes: [route("a.example", { auth: auth("ROUTE_TOKEN") })] })),
    );
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toMatch(/^env\.(COPY|TALKER_API_KEY) /);
    expect((error as UserError).hint).toContain("out of env");
  });

  it("leave other variables alone, and say when one replaces what the provider sets", () => {
    const { plan, warnings } = build(
      loaded({
        env: [
          hostEnv("LANG", "LANG"),
          { name: "TALKER_TELEMETRY", source: { kind: "literal", value: "on" } },
        ],
      }),
    );
    expect(plan.env).toHaveLength(2);
    expect(warnings).toEqual(["env.TALKER_TELEMETRY replaces what the provider talker sets"]);
    expect(missingEnv(plan, () => false)).toEqual([{ name: "LANG", variable: "LANG" }]);
    expect(missingEnv(plan, (name) => name === "LANG")).toEqual([]);
  });
});

describe("I7: a minimum of isolation", () => {
  it("is met by itself and by what is stronger, and by nothing weaker", () => {
    for (const [i, minimum] of ISOLATION_LEVELS.entries()) {
      for (const [j, actual] of ISOLATION_LEVELS.entries())
        expect(meetsIsolation(minimum, actual)).toBe(j >= i);
    }
    expect(meetsIsolation(undefined, "namespace")).toBe(true);
  });
});

describe("who commits", () => {
  const identity = { name: "Operator", email: "operator@example.com" };

  it.each([
    [
      { name: "N", email: "n@example.com" },
      { name: "N", email: "n@example.com" },
    ],
    [{ name: "N" }, { name: "N" }],
    [{}, identity],
  ])("is as the manifest says (%j), as a whole, and else the operator", (git, expected) => {
    expect(build(loaded({}, { git }), talker, [], { identity }).plan.git).toEqual(expected);
  });

  it("is left open when neither says so", () => {
    expect(build(loaded()).plan.git).toEqual({});
  });
});
