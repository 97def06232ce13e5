import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { egressConfig, egressPolicy } from "../../../src/bundle/egress-settings.ts";
import type { Route } from "../../../src/contract/policy.ts";
import { egressConfigSchema } from "../../../src/contract/sidecar.ts";

const route = (more: Partial<Route> = {}): Route => ({
  host: "api.example.com",
  matches: [],
  credentialHeaders: [],
  tls: "terminate",
  allowAddresses: [],
  ...more,
});
const policyWith = (
  routes: readonly Route[],
  credentials: Record<string, string>,
  upstreamCa: string[] = [],
  more: Partial<Parameters<typeof egressPolicy>[0]["plan"]> = {},
) =>
  egressPolicy({
    plan: { routes, rules: [], env: [], ...more },
    upstreamCa,
    credentials,
    env: {},
    decoy: "d".repeat(40),
  });
const injected = (format: string, secret: string): string | undefined =>
  policyWith([route({ auth: { header: "authorization", format, tokenRef: "T" } })], { T: secret }).routes[0]
    ?.inject[0]?.value;

describe("what egress is told", () => {
  it("is each credential in its header, for its route alone (I2)", () => {
    const routes = [
      route({ host: "a.test", auth: { header: "authorization", format: "Bearer {}", tokenRef: "A" } }),
      route({ host: "b.test", auth: { header: "x-api-key", format: "{}", tokenRef: "B" } }),
      route({ host: "c.test" }),
    ];
    const policy = policyWith(routes, { A: "secret-a", B: "secret-b", UNUSED: "secret-c" }, ["pem"]);
    expect(policy.routes.map(({ host, inject }) => [host, inject])).toEqual([
      ["a.test", [{ header: "authorization", value: "Bearer secret-a" }]],
      ["b.test", [{ header: "x-api-key", value: "secret-b" }]],
      ["c.test", []],
    ]);
    expect(policy.upstreamCa).toEqual(["pem"]);
    expect(JSON.stringify(policy)).not.toContain("secret-c");
  });

  it("is what must not leave: presented credentials, values bound to hosts or asked for, and the decoy", () => {
    const literal = (value: string) => ({ kind: "literal" as const, value });
    const { known } = egressPolicy({
      plan: {
        routes: [
          route({ auth: { header: "authorization", format: "Basic {base64}", tokenRef: "LOGIN" } }),
          route({ host: "b.test", auth: { header: "x-api-key", format: "{}", tokenRef: "KEY" } }),
        ],
        rules: [],
        env: [
          { name: "BOUND", source: literal("bound-value"), to: ["*.b.test"] },
          { name: "ASKED", source: { kind: "prompt", text: "?" } },
          { name: "PLAIN", source: literal("plain-value") },
          { name: "TINY", source: literal("1234567"), to: [] },
        ],
      },
      upstreamCa: [],
      credentials: { LOGIN: "user:password", KEY: "key-of-b", UNUSED: "secret-c" },
      env: { BOUND: "bound-value", ASKED: "asked-value", PLAIN: "plain-value", TINY: "1234567" },
      decoy: "d".repeat(40),
    });
    expect(known).toEqual([
      { name: "LOGIN", kind: "known", value: "user:password", to: [] },
      { name: "LOGIN", kind: "known", value: "password", to: [] },
      { name: "KEY", kind: "known", value: "key-of-b", to: [] },
      { name: "BOUND", kind: "known", value: "bound-value", to: ["*.b.test"] },
      { name: "ASKED", kind: "known", value: "asked-value", to: [] },
      { name: "decoy", kind: "canary", value: "d".repeat(40), to: [] },
    ]);
  });

  it("has Basic credentials in base64", () => {
    expect(injected("Basic {base64}", "user:pass")).toBe("Basic dXNlcjpwYXNz");
  });

  it("takes a secret for what it is, whatever is in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1 }), (secret) => {
        expect(injected("Bearer {}", secret)).toBe(`Bearer ${secret}`);
      }),
    );
    for (const secret of ["$&", "$1", "$$", "{}", "{base64}"])
      expect(injected("token {}", secret)).toBe(`token ${secret}`);
  });

  it("is not made without a value for a credential", () => {
    expect(() => injected("Bearer {}", undefined as unknown as string)).toThrow("no value for T");
  });

  it("is a configuration that egress accepts", () => {
    const routes = [
      route({
        matches: [{ paths: [{ type: "prefix", value: "/v1" }], methods: ["GET"], headers: [] }],
        allowAddresses: ["10.0.0.0/8"],
        connectTo: { host: "127.0.0.1", port: 8443 },
        credentialHeaders: ["authorization"],
      }),
    ];
    const config = egressConfig({
      id: "x-00000",
      authority: { certificate: "cert", privateKey: "key", fingerprint: "f" },
      endpoint: { listen: { kind: "tcp", host: "127.0.0.1", port: 0 }, guestUrl: "http://127.0.0.1:9099" },
      bearer: "word",
      policy: policyWith(routes, {}, [], {
        placeholders: ["stands-for-a-credential"],
        placeholderHosts: ["api.example.com"],
      }),
      plan: {
        egressLimits: { headerBytes: 65_536, requestsPerMinute: 3, uploadBytesPerMinute: 4 },
        egressLog: 0,
      },
      findingsKey: "00".repeat(32),
    });
    expect(egressConfigSchema.parse(config)).toEqual(config);
    expect(config).toMatchObject({
      bottle: "x-00000",
      bearer: "word",
      ca: { certificate: "cert", privateKey: "key" },
      limits: { headerBytes: 65_536, requestsPerMinute: 3, uploadBytesPerMinute: 4 },
      log: 0,
      policy: { placeholders: [{ value: "stands-for-a-credential", to: ["api.example.com"] }] },
    });
  });

  it("has the proxy's credential as the proxy wants it, and nowhere else", () => {
    const login = ["me", "word"].join(":");
    const upstreamProxy = { host: "proxy.example", port: 3128, tls: false, tokenRef: "PROXY_LOGIN" };
    const policy = policyWith([route({})], { PROXY_LOGIN: login }, [], { upstreamProxy });
    const authorization = `Basic ${Buffer.from(login).toString("base64")}`;
    expect(policy.upstreamProxy).toEqual({ host: "proxy.example", port: 3128, tls: false, authorization });
    expect(JSON.stringify(policy.routes)).not.toContain(authorization);
    const open = { host: "proxy.example", port: 3128, tls: true };
    expect(policyWith([], {}, [], { upstreamProxy: open }).upstreamProxy).toEqual(open);
  });

  it("tells of every listener that is handed over", () => {
    const endpoint = {
      listen: { kind: "inherited", roles: ["main", "tls", "http"], open: () => Promise.resolve(new Map()) },
      guestUrl: "http://127.0.0.1:9099",
    } as const;
    const config = egressConfig({
      id: "x-00000",
      authority: { certificate: "cert", privateKey: "key", fingerprint: "f" },
      endpoint,
      bearer: undefined,
      policy: policyWith([], {}),
      findingsKey: "00".repeat(32),
    });
    const inherited = { kind: "inherited" };
    expect(config).toMatchObject({ listen: inherited, direct: { tls: inherited, http: inherited } });
    expect(egressConfigSchema.parse(config)).toEqual(config);
  });
});
