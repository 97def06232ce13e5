import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { canonicalAsk, parseAccess, parseException } from "../../../src/approvals/ask.ts";
import { warningsOfHost } from "../../../src/approvals/asked-host.ts";
import { ASK_LIMITS } from "../../../src/contract/approvals.ts";
import { denialOf as egressDenial, refuse as egressRefuse } from "../../../src/sidecars/egress/denial.ts";
import { denialOf as gitDenial, refuse as gitRefuse } from "../../../src/sidecars/git-gate/denial.ts";
import { LIMITS } from "../../../src/sidecars/git-gate/limits.ts";

const reasonOf = (parsed: ReturnType<typeof parseAccess>): string =>
  parsed.ok ? "was accepted" : parsed.reason;

describe("a denial's ready-made call", () => {
  it("asks for exactly the request that egress refused", () => {
    const { ask } = egressDenial(egressRefuse("host-not-allowed", "no", "no route"), {
      method: "POST",
      scheme: "https",
      host: "api.x.test",
      path: "/v1/items?q=1",
    }).denied;
    expect([ask.tool, parseAccess(ask.arguments)]).toEqual([
      "request_access",
      {
        ok: true,
        value: {
          kind: "host",
          host: "api.x.test",
          methods: ["POST"],
          paths: [{ type: "exact", value: "/v1/items" }],
        },
      },
    ]);
  });

  it("asks for the whole host where only the tunnel to it was refused", () => {
    const { ask } = egressDenial(egressRefuse("host-not-allowed", "no", "no route"), {
      method: "CONNECT",
      host: "api.x.test",
    }).denied;
    expect(parseAccess(ask.arguments)).toMatchObject({
      value: { host: "api.x.test", methods: [], paths: [] },
    });
  });

  it("asks for a finding of egress's to pass to its host", () => {
    const args = { finding: "a1b2", detector: "github-token", host: "api.x.test" };
    expect(parseException(args)).toEqual({ ok: true, value: { kind: "finding", ...args } });
  });

  it("asks git-gate for each subject that it named", () => {
    const { ask } = gitDenial(gitRefuse("path-protected", "no", "rule", { subjects: ["b", "a", "b"] }), {
      action: "push",
      repo: "app",
    }).denied;
    expect([ask.tool, parseException(ask.arguments)]).toEqual([
      "request_exception",
      {
        ok: true,
        value: { kind: "git-exception", repo: "app", code: "path-protected", subjects: ["a", "b"] },
      },
    ]);
  });

  it("asks for as many subjects as git-gate names at most, and is told of more in words", () => {
    const named = (count: number): string[] =>
      Array.from({ length: count }, (_, i) => `${"d".repeat(296)}/${i}`);
    const args = (count: number) => ({ repo: "app", code: "path-protected", subjects: named(count) });
    expect(LIMITS.toldFindings).toBeLessThanOrEqual(ASK_LIMITS.subjects);
    expect(parseException(args(LIMITS.toldFindings))).toMatchObject({ ok: true });
    expect(reasonOf(parseException(args(ASK_LIMITS.subjects + 1)))).toContain("more than the 24");
  });

  it("is told in words when no operator could lift it", () => {
    const { ask } = gitDenial(gitRefuse("too-many-objects", "no", "rule"), {
      action: "push",
      repo: "app",
    }).denied;
    expect(reasonOf(parseException(ask.arguments))).toMatch(/^no exception can be made for this/);
  });
});

describe("access to a host", () => {
  it.each([
    ["api.x.test.", "leave the dot at the end out"],
    ["https://api.x.test", "without a scheme"],
    ["user@api.x.test", "without user information"],
    ["api.x.test:8443", "leave the port out"],
    ["*.x.test", "wildcard is the operator's"],
    ["10.0.0.1", "addresses are the operator's"],
    ["127.1", "not an IPv4 address in its usual form"],
    ["0x7f.1", "not an IPv4 address in its usual form"],
    ["2130706433", "not an IPv4 address in its usual form"],
    ["[::1]", "addresses are the operator's"],
    ["::ffff:10.0.0.1", "addresses are the operator's"],
    ["localhost", "name of this machine"],
    ["printer", "name of this machine"],
    ["metadata.google.internal", "name of this machine"],
    ["router.home.arpa", "name of this machine"],
    ["\u0430pple.com", 'write its ASCII form: "xn--pple-43d.com"'],
    ["a\u202egnp.test", "host"],
    ["a\u001b[2J.test", "host"],
    ["a\u0000.test", "host"],
    ["a..test", "not a host name"],
    [`${"a".repeat(64)}.test`, "not a host name"],
    ["", "is empty"],
  ])("is refused for %j", (host, reason) => {
    expect(reasonOf(parseAccess({ host }))).toContain(reason);
  });

  it.each([
    [{ path: "/a/../b" }, "must not have . or .."],
    [{ path: "/a?b" }, "must be a path alone"],
    [{ path: "a" }, "must begin with /"],
    [{ path: "/\u202ea" }, "must be printable ASCII"],
    [{ paths: ["/a//b/*"] }, "must not contain //"],
    [{ paths: ["/a;b/*"] }, "semicolon"],
    [{ method: "CONNECT" }, "is no method"],
    [{ method: "GET\r\nX: y" }, "is no method"],
    [{ methods: Array.from({ length: 17 }, (_, i) => `M${"X".repeat(i)}`) }, "methods: "],
    [{ paths: Array.from({ length: 17 }, (_, i) => `/${i}`) }, "paths: "],
    [{ path: `/${"a".repeat(ASK_LIMITS.itemLength)}` }, "paths.0.value: "],
    [{ repository: "app" }, "not for several at once"],
  ])("is refused with %j", (more, reason) => {
    expect(reasonOf(parseAccess({ host: "x.test", ...more }))).toContain(reason);
  });

  it("has one spelling", () => {
    const one = parseAccess({
      host: "X.Test",
      methods: ["post", "GET", "POST"],
      paths: ["/b", "/a/*", "/b"],
    });
    const other = parseAccess({ host: "x.test", method: "GET", methods: ["POST"], paths: ["/a/*", "/b"] });
    expect(one).toEqual(other);
  });

  it("takes a path of a denial literally, a star and all", () => {
    expect(parseAccess({ host: "x.test", path: "/a/*" })).toMatchObject({
      value: { paths: [{ type: "exact", value: "/a/*" }] },
    });
    expect(parseAccess({ host: "x.test", paths: ["/*"] })).toMatchObject({
      value: { paths: [{ type: "prefix", value: "/" }] },
    });
  });

  it("names the letters of a name that may look like another one, and never draws them", () => {
    expect(warningsOfHost("xn--pple-43d.com")).toEqual([
      "xn--pple-43d.com is an internationalised name with Latin and Cyrillic letters: on a screen it may look like another one",
    ]);
    expect(warningsOfHost("apple.com")).toEqual([]);
  });
});

describe("access to a repository", () => {
  it.each([
    [{ repository: "app" }, "refs: name what"],
    [{ refs: ["refs/heads/x"] }, "name the repository"],
    [{ repository: "../x", refs: ["refs/heads/x"] }, "repo: "],
    [{ repository: "app", refs: ["main"] }, "must be a whole ref"],
    [{ repository: "app", refs: ["refs/heads/*/*"] }, "at most one *"],
    [{ repository: "app", refs: ["refs/heads/a..b"] }, "is no name that a ref can have"],
    [{ repository: "app", refs: ["refs/heads/\u202ea"] }, "is no name that a ref can have"],
  ])("is refused for %j", (args, reason) => {
    expect(reasonOf(parseAccess(args))).toContain(reason);
  });

  it("is for pushes that go forward unless more is said", () => {
    expect(parseAccess({ repository: "app", refs: ["refs/heads/b", "refs/heads/a"] })).toEqual({
      ok: true,
      value: {
        kind: "repository",
        repo: "app",
        refs: ["refs/heads/a", "refs/heads/b"],
        force: false,
        delete: false,
      },
    });
  });
});

describe("any ask", () => {
  it("is refused or keeps its one spelling, whatever the words are", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary", maxLength: 40 }),
      fc.constantFrom("x.test", "/a", "/a/*", "GET", "refs/heads/a", "app", "path-protected", "~:\u202e"),
    );
    const list = fc.array(text, { maxLength: 3 });
    const access = fc.record(
      { host: text, method: text, path: text, methods: list, paths: list, repository: text, refs: list },
      { requiredKeys: [] },
    );
    const exception = fc.record(
      { host: text, detector: text, finding: text, repo: text, code: text, subjects: list },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(access.map(parseAccess), exception.map(parseException)), (parsed) => {
        if (!parsed.ok) return;
        expect(canonicalAsk(parsed.value)).toEqual(parsed);
        expect(JSON.stringify(parsed.value)).not.toMatch(/[\p{Cc}\p{Cf}\p{Cs}]/u);
      }),
      { numRuns: 3_000 },
    );
  });
});
