import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { INSPECTED } from "../../../src/contract/policy.ts";
import type { EgressRoute } from "../../../src/contract/sidecar.ts";
import { routesOf } from "../../../src/sidecars/egress/allow-list/allow-list.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";
import { type CompiledPolicy, compilePolicy } from "../../../src/sidecars/egress/policy/compile.ts";
import { readHead } from "../../../src/sidecars/egress/rules/head.ts";
import { judge } from "../../../src/sidecars/egress/rules/judge.ts";

function policyOf(...routes: (Partial<EgressRoute> & { host: string })[]): CompiledPolicy {
  return compilePolicy({
    routes: routes.map((route) => ({
      matches: [],
      inject: [],
      credentialHeaders: [],
      tls: "terminate",
      allowAddresses: [],
      inspection: { ...INSPECTED },
      ...route,
    })),
    known: [],
    rules: [],
    upstreamCa: [],
  });
}

/** `allowed`, or the code of the refusal. */
function verdict(
  policy: CompiledPolicy,
  method: string,
  url: string,
  headers: readonly string[] = [],
): string {
  const { host, pathname } = { host: url.split("/")[0] ?? "", pathname: url.slice(url.indexOf("/")) };
  const routes = routesOf(policy, host);
  if (!routes.allow) return routes.code;
  const head = readHead(headers, LIMITS.requestHeaders);
  if (!head.allow) return head.code;
  const request = { method, path: pathname, head: head.value };
  const judged = judge(routes.value, request, LIMITS.judgedPathLength, (grant) => grant === "live");
  return judged.allow ? "allowed" : judged.code;
}

const paths = (type: "exact" | "prefix" | "regex", ...values: string[]) => ({
  paths: values.map((value) => ({ type, value })),
});

describe("the allow-list", () => {
  const policy = policyOf(
    { host: "a.com" },
    { host: "*.b.com" },
    { host: "x.b.com", matches: [paths("exact", "/only")] },
  );

  it.each([
    ["a.com", "allowed"],
    ["sub.a.com", "host-not-allowed"],
    ["aa.com", "host-not-allowed"],
    ["b.com", "host-not-allowed"],
    ["one.b.com", "allowed"],
    ["one.two.b.com", "allowed"],
    ["evilb.com", "host-not-allowed"],
    ["b.com.evil.com", "host-not-allowed"],
  ])("%s: %s", (host, expected) => {
    expect(verdict(policy, "GET", `${host}/`)).toBe(expected);
  });

  it("asks the exact route alone where there is one", () => {
    expect(verdict(policy, "GET", "x.b.com/only")).toBe("allowed");
    expect(verdict(policy, "GET", "x.b.com/other")).toBe("path-not-allowed");
  });

  it("prefers the longest wildcard", () => {
    const two = policyOf({ host: "*.b.com" }, { host: "*.c.b.com", matches: [paths("exact", "/c")] });
    expect(verdict(two, "GET", "x.c.b.com/other")).toBe("path-not-allowed");
    expect(verdict(two, "GET", "c.b.com/other")).toBe("allowed");
  });

  it("takes a host for another only when their names are the same or one is covered", () => {
    fc.assert(
      fc.property(fc.domain(), fc.domain(), (named, asked) => {
        const exact = verdict(policyOf({ host: named }), "GET", `${asked}/`);
        expect(exact).toBe(named === asked ? "allowed" : "host-not-allowed");
        const wild = policyOf({ host: `*.${named}` });
        expect(verdict(wild, "GET", `${asked}.${named}/`)).toBe("allowed");
        expect(verdict(wild, "GET", `${named}/`)).toBe("host-not-allowed");
        expect(verdict(wild, "GET", `x${named}/`)).toBe("host-not-allowed");
        expect(verdict(wild, "GET", `${named}.${asked}/`)).toBe(
          `${named}.${asked}`.endsWith(`.${named}`) ? "allowed" : "host-not-allowed",
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("path rules", () => {
  const policy = policyOf({
    host: "h",
    matches: [
      paths("exact", "/exact", "/@s%2fn", "/a;b"),
      paths("prefix", "/pre", "/slash/"),
      paths("regex", "/r/[^/]+/x"),
    ],
  });

  it.each([
    ["/exact", "allowed"],
    ["/exact?q=1", "allowed"],
    ["/exact/", "path-not-allowed"],
    ["/EXACT", "path-not-allowed"],
    ["/exac%74", "path-ambiguous"],
    ["//exact", "path-ambiguous"],
    ["/exact;x", "path-ambiguous"],
    ["/@s%2fn", "allowed"],
    ["/@s%2Fn", "path-ambiguous"],
    ["/@s/n", "path-not-allowed"],
    ["/a;b", "allowed"],
    ["/pre", "allowed"],
    ["/pre/", "allowed"],
    ["/pre/x/y", "allowed"],
    ["/pre?x", "allowed"],
    ["/prefix", "path-not-allowed"],
    ["/Pre/x", "path-not-allowed"],
    ["/pre%2fx", "path-ambiguous"],
    ["/pre/..%2fadmin", "path-ambiguous"],
    ["/pre//x", "path-ambiguous"],
    ["/pre/;x", "path-ambiguous"],
    ["/pre/%c0%ae%c0%ae/x", "path-ambiguous"],
    ["/slash", "allowed"],
    ["/slash/x", "allowed"],
    ["/slashed", "path-not-allowed"],
    ["/r/1/x", "allowed"],
    ["/r/1/xy", "path-not-allowed"],
    ["/a/r/1/x", "path-not-allowed"],
    ["/r/%61/x", "path-ambiguous"],
    ["/r/a;b/x", "path-ambiguous"],
    ["/r/1/2/x", "path-not-allowed"],
  ])("%s: %s", (path, expected) => {
    expect(verdict(policy, "GET", `h${path}`)).toBe(expected);
  });

  it("that cover every path take ambiguous ones too: there is nothing to get around", () => {
    const all = policyOf({ host: "h", matches: [{ ...paths("prefix", "/"), methods: ["GET"] }] });
    expect(verdict(all, "GET", "h/a//b;c%2f")).toBe("allowed");
    expect(verdict(all, "POST", "h/a//b;c%2f")).toBe("method-not-allowed");
  });

  it("are not asked about a path without bounds", () => {
    const long = `/pre/${"a".repeat(LIMITS.judgedPathLength)}`;
    expect(verdict(policy, "GET", `h${long}`)).toBe("path-ambiguous");
    expect(verdict(policyOf({ host: "h" }), "GET", `h${long}`)).toBe("allowed");
  });

  it("with a pattern made to backtrack are answered (a backtracking matcher would still be at it)", () => {
    const evil = policyOf({ host: "h", matches: [paths("regex", "/(a+)+", "/(a|a)*b")] });
    expect(verdict(evil, "GET", `h/${"a".repeat(4000)}!`)).toBe("path-not-allowed");
    expect(verdict(evil, "GET", `h/${"a".repeat(4000)}`)).toBe("allowed");
  });

  it("of type prefix hold on whole segments only", () => {
    const segment = fc.stringMatching(/^[a-z0-9]{1,5}$/);
    fc.assert(
      fc.property(
        fc.array(segment, { minLength: 1, maxLength: 3 }),
        fc.array(segment),
        segment,
        (of, below, tail) => {
          const prefix = `/${of.join("/")}`;
          const rule = policyOf({ host: "h", matches: [paths("prefix", prefix)] });
          expect(verdict(rule, "GET", `h${[prefix, ...below].join("/")}`)).toBe("allowed");
          expect(verdict(rule, "GET", `h${prefix}${tail}`)).toBe("path-not-allowed");
          expect(verdict(rule, "GET", `h/${tail}-${prefix}`)).toBe("path-not-allowed");
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("methods and headers", () => {
  const policy = policyOf({
    host: "h",
    matches: [
      { ...paths("prefix", "/read"), methods: ["GET", "HEAD"] },
      {
        ...paths("exact", "/rpc"),
        methods: ["POST"],
        headers: [
          { name: "x-mode", type: "exact", value: "safe" },
          { name: "accept", type: "regex", value: "application/.*" },
        ],
      },
    ],
  });
  const good = ["X-Mode", "safe", "Accept", "application/json"];

  it.each([
    ["GET", "/read/1", [], "allowed"],
    ["POST", "/read/1", [], "method-not-allowed"],
    ["get", "/read/1", [], "method-not-allowed"],
    ["POST", "/rpc", good, "allowed"],
    ["POST", "/rpc", ["X-Mode", "safe"], "header-not-allowed"],
    ["POST", "/rpc", ["x-mode", "unsafe", "accept", "application/json"], "header-not-allowed"],
    ["POST", "/rpc", ["x-mode", "SAFE", "accept", "application/json"], "header-not-allowed"],
    ["POST", "/rpc", [...good, "X-Mode", "other"], "header-not-allowed"],
    ["POST", "/rpc", [...good, "X_Mode", "other"], "header-not-allowed"],
    ["POST", "/rpc", [...good, "Connection", "x-mode"], "header-not-allowed"],
    ["POST", "/rpc", ["x-mode", "safe", "accept", "text/application/x"], "header-not-allowed"],
    ["GET", "/other", [], "path-not-allowed"],
  ] as const)("%s %s %j: %s", (method, path, headers, expected) => {
    expect(verdict(policy, method, `h${path}`, headers)).toBe(expected);
  });

  it.each([
    "X-HTTP-Method-Override",
    "x_http_method",
    "X-Method-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
  ])("refuse %s, which would replace what they were asked about", (name) => {
    expect(verdict(policy, "GET", "h/read", [name, "DELETE"])).toBe("override-refused");
    expect(verdict(policyOf({ host: "h" }), "GET", "h/read", [name, "DELETE"])).toBe("allowed");
    // Nor is there anything to replace where rules are about headers alone.
    const byHeader = policyOf({
      host: "h",
      matches: [{ headers: [{ name: "x-mode", type: "exact", value: "safe" }] }],
    });
    expect(verdict(byHeader, "GET", "h/read", [name, "DELETE", "x-mode", "safe"])).toBe("allowed");
  });

  it("fall to the next route of the same host", () => {
    const two = policyOf(
      { host: "h", matches: [paths("exact", "/a")] },
      { host: "h", matches: [paths("exact", "/b")] },
    );
    expect(verdict(two, "GET", "h/a")).toBe("allowed");
    expect(verdict(two, "GET", "h/b")).toBe("allowed");
    expect(verdict(two, "GET", "h/c")).toBe("path-not-allowed");
  });
});

describe("a policy that is refused", () => {
  const secret = ["s3", "cret"].join("");
  it.each<[string, Partial<EgressRoute> & { host: string }]>([
    ["host with a port", { host: "a.com:443" }],
    ["host that is a URL", { host: "https://a.com" }],
    ["wildcard inside", { host: "a.*.com" }],
    ["wildcard alone", { host: "*" }],
    ["wildcard address", { host: "*.1.2.3.4" }],
    ["short IPv4", { host: "127.1" }],
    ["broken pattern", { host: "a", matches: [paths("regex", "/(")] }],
    ["look-around", { host: "a", matches: [paths("regex", "/(?!b)")] }],
    ["dot segments in a rule", { host: "a", matches: [paths("exact", "/a/../b")] }],
    ["prefix that is ambiguous", { host: "a", matches: [paths("prefix", "/a%2fb")] }],
    ["path with a query", { host: "a", matches: [paths("exact", "/a?b")] }],
    ["method in lower case", { host: "a", matches: [{ methods: ["get"] }] }],
    ["rule on Host", { host: "a", matches: [{ headers: [{ name: "host", type: "exact", value: "b" }] }] }],
    [
      "rule on no header",
      { host: "a", matches: [{ headers: [{ name: "a b", type: "exact", value: "b" }] }] },
    ],
    [
      "rule on a credential header",
      {
        host: "a",
        credentialHeaders: ["X-Key"],
        matches: [{ headers: [{ name: "x_key", type: "exact", value: "b" }] }],
      },
    ],
    ["inject of Host", { host: "a", inject: [{ header: "Host", value: secret }] }],
    ["inject of Transfer-Encoding", { host: "a", inject: [{ header: "transfer_encoding", value: secret }] }],
    ["inject of two lines", { host: "a", inject: [{ header: "x-key", value: `${secret}\r\nx: y` }] }],
    ["inject under no name", { host: "a", inject: [{ header: "x key", value: secret }] }],
    [
      "passthrough with inject",
      { host: "a", tls: "passthrough", inject: [{ header: "x-key", value: secret }] },
    ],
    ["passthrough with matches", { host: "a", tls: "passthrough", matches: [paths("exact", "/")] }],
    ["no address range", { host: "a", allowAddresses: ["10.0.0.0/99"] }],
    ["connectTo nowhere", { host: "a", connectTo: { host: "a b", port: 1 } }],
  ])("%s", (_what, route) => {
    let message = "";
    try {
      policyOf(route);
    } catch (error) {
      message = String(error);
    }
    expect(message).toMatch(/^UserError: route 1 \(/);
    expect(message).not.toContain(secret);
  });

  it("two routes of one host that differ on tls", () => {
    expect(() => policyOf({ host: "a.com" }, { host: "A.com.", tls: "passthrough" })).toThrow("tls");
  });

  it("an upstream CA that is none", () => {
    expect(() => compilePolicy({ routes: [], known: [], rules: [], upstreamCa: ["no PEM"] })).toThrow(
      "upstreamCa 1",
    );
  });
});

describe("a route's identity", () => {
  const of = (route: Partial<EgressRoute>) =>
    policyOf({ host: "a.com", ...route }).exact.get("a.com")?.routes[0]?.identity;

  it("differs where another credential, address or range would be used", () => {
    const inject = [{ header: "authorization", value: "Bearer one" }];
    const all = [
      of({}),
      of({ inject }),
      of({ inject: [{ header: "authorization", value: "Bearer two" }] }),
      of({ connectTo: { host: "127.0.0.1", port: 1 } }),
      of({ connectTo: { host: "127.0.0.1", port: 2 } }),
      of({ allowAddresses: ["10.0.0.0/8"] }),
    ];
    expect(new Set(all).size).toBe(all.length);
    expect(of({ inject })).toBe(of({ inject }));
  });
});
