import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Allowed, withGrant } from "../../../src/approvals/allowed.ts";
import { MAX_PENDING } from "../../../src/approvals/decide.ts";
import { describeChange, difference } from "../../../src/approvals/difference.ts";
import { ASK_LIMITS, type Ask, type Change } from "../../../src/contract/approvals.ts";
import { matchesRef } from "../../../src/lib/git-ref.ts";
import { judgeRefs } from "../../../src/sidecars/git-gate/policy/refs.ts";
import {
  anyAllowed,
  anyHostAsk,
  anyProbe,
  compiled,
  NOTHING,
  type Passed,
  type Probe,
  pass,
  routes,
  token,
} from "./routes.ts";

const RUNS = { numRuns: 300 };

function isNew(before: Passed | undefined, after: Passed | undefined): boolean {
  if (after === undefined) return false;
  if (before === undefined) return true;
  return (
    (before.inspected && !after.inspected) ||
    after.credentials.some((name) => !before.credentials.includes(name))
  );
}

/** Whether the change tells of this request, as a person reads it. */
function tells(change: Change, probe: Probe, { credentials }: Passed): boolean {
  if (change.kind !== "request") return false;
  const { host, methods, path = "/*" } = change;
  const reaches = host.startsWith("*") ? probe.host.endsWith(host.slice(1)) : probe.host === host;
  const [stem = "", all] = path.startsWith("=") ? [path.slice(1)] : path.split("/*");
  const below =
    path.startsWith("~") ||
    (all === undefined ? probe.path === stem : stem === "" || `${probe.path}/`.startsWith(`${stem}/`));
  return (
    reaches &&
    (methods.length === 0 || methods.includes(probe.method)) &&
    below &&
    credentials.every((name) => change.credentials.includes(name))
  );
}

/** A request that only this change can be about: what is open in it is something nobody names. */
function witnessOf(change: Extract<Change, { kind: "request" }>): Probe {
  const { host, methods, path = "/*" } = change;
  return {
    host: host.replace(/^\*/, "witness"),
    method: methods[0] ?? "PROPFIND",
    path: path.replace(/^=/, "").replace(/\/\*$/, "/witness"),
    headers: change.headers.length === 0 ? [] : ["x-a", "1"],
  };
}

describe("the difference, held against egress's own matcher", () => {
  it("tells of every request that becomes possible, between any two policies", () => {
    fc.assert(
      fc.property(
        anyAllowed(true),
        anyAllowed(true),
        fc.array(anyProbe, { minLength: 30, maxLength: 30 }),
        (before, after, probes) => {
          const changes = difference(before, after);
          const [old, next] = [compiled(before), compiled(after)];
          for (const probe of probes) {
            const passed = pass(next, probe);
            if (passed === undefined || !isNew(pass(old, probe), passed)) continue;
            expect(
              changes.some((change) => tells(change, probe, passed)),
              JSON.stringify({ probe, changes }),
            ).toBe(true);
          }
        },
      ),
      RUNS,
    );
  });

  it("tells of nothing else: for each change there is a request that only now is possible", () => {
    fc.assert(
      fc.property(anyAllowed(false), anyHostAsk, (before, ask) => {
        const after = withGrant(before, ask, "t");
        for (const change of difference(before, after)) {
          if (change.kind !== "request") throw new Error("a host's grant allows no more than requests");
          const witness = witnessOf(change);
          const passed = pass(compiled(after), witness);
          expect(passed?.credentials, JSON.stringify(witness)).toEqual(change.credentials);
          expect(isNew(pass(compiled(before), witness), passed), JSON.stringify(witness)).toBe(true);
        }
      }),
      RUNS,
    );
  });

  it("is empty between a policy and itself, and for what was granted already", () => {
    fc.assert(
      fc.property(anyAllowed(true), anyHostAsk, (allowed, ask) => {
        expect(difference(allowed, allowed)).toEqual([]);
        const once = withGrant(allowed, ask, "one");
        expect(difference(once, withGrant(once, ask, "two"))).toEqual([]);
        expect(difference(once, allowed)).toEqual([]);
      }),
      RUNS,
    );
  });

  it("does not depend on the order of grants, nor on the order within rules", () => {
    const turned = (ask: Extract<Ask, { kind: "host" }>) => ({
      ...ask,
      methods: ask.methods.toReversed(),
      paths: ask.paths.toReversed(),
    });
    fc.assert(
      fc.property(anyAllowed(true), anyHostAsk, anyHostAsk, (allowed, one, other) => {
        const forth = withGrant(withGrant(allowed, one, "1"), other, "2");
        const back = withGrant(withGrant(allowed, turned(other), "2"), turned(one), "1");
        expect(difference(allowed, forth)).toEqual(difference(allowed, back));
      }),
      RUNS,
    );
  });
});

describe("a grant for a host", () => {
  it("takes nothing away, and changes no credential of what was possible", () => {
    fc.assert(
      fc.property(
        anyAllowed(true),
        anyHostAsk,
        fc.array(anyProbe, { minLength: 20, maxLength: 20 }),
        (before, ask, probes) => {
          const [old, next] = [compiled(before), compiled(withGrant(before, ask, "t"))];
          for (const probe of probes) {
            const passed = pass(old, probe);
            if (passed !== undefined) expect(pass(next, probe)).toEqual(passed);
          }
        },
      ),
      RUNS,
    );
  });

  it("allows what was asked", () => {
    fc.assert(
      fc.property(anyAllowed(true), anyHostAsk, (before, ask) => {
        const next = compiled(withGrant(before, ask, "t"));
        const [path = { type: "prefix", value: "/" }] = ask.paths;
        const below = path.value.replace(/\/$/, "");
        const probe = {
          host: ask.host,
          method: ask.methods[0] ?? "PROPFIND",
          path: path.type === "exact" ? path.value : `${below}/witness`,
          headers: [],
        };
        expect(pass(next, probe)).toBeDefined();
      }),
      RUNS,
    );
  });

  const post: Ask = {
    kind: "host",
    host: "api.x.test",
    methods: ["POST"],
    paths: [{ type: "prefix", value: "/v1" }],
  };
  const words = (before: Allowed, ask: Ask): readonly string[] =>
    difference(before, withGrant(before, ask, "t")).map(describeChange);

  it("shows that the credential of a route that is there goes with what is new", () => {
    const before = routes({ host: "api.x.test", matches: [{ methods: ["GET"] }], ...token("GITHUB_TOKEN") });
    expect(words(before, post)).toEqual(["POST api.x.test/v1/* with GITHUB_TOKEN"]);
  });

  it("shows none for a host that nothing led to", () => {
    expect(words(NOTHING, post)).toEqual(["POST api.x.test/v1/*"]);
    expect(words(NOTHING, { ...post, methods: [], paths: [] })).toEqual(["any method api.x.test/*"]);
  });

  it("goes with the credential of a wildcard that covers the host, which keeps working", () => {
    const before = routes({ host: "*.x.test", matches: [{ methods: ["GET"] }], ...token("ONE") });
    expect(words(before, post)).toEqual(["POST api.x.test/v1/* with ONE"]);
    const next = compiled(withGrant(before, post, "t"));
    expect(pass(next, { host: "api.x.test", method: "GET", path: "/", headers: [] })?.credentials).toEqual([
      "ONE",
    ]);
  });

  it("shows a path with a star of its own otherwise than all below a path", () => {
    const starred: Ask = { ...post, paths: [{ type: "exact", value: "/v1/*" }] };
    expect(words(NOTHING, starred)).toEqual(["POST api.x.test=/v1/*"]);
  });

  it("is marked with its ticket, so that egress can say which grant a request made use of", () => {
    const marked = withGrant(routes({ host: "a.test" }), post, "abc").routes;
    expect(marked.map(({ host, grant }) => [host, grant])).toEqual([
      ["a.test", undefined],
      ["api.x.test", "abc"],
    ]);
  });
});

describe("what else becomes possible", () => {
  it("a connection that is not opened any more", () => {
    const before = routes({ host: "a.test", ...token("ONE") });
    const after = routes({ host: "a.test", tls: "passthrough" });
    expect(difference(before, after).map(describeChange)).toEqual([
      "any method a.test, any path, not inspected",
    ]);
  });

  it("a credential where there was none, and another one in its place", () => {
    const [none, one, two] = [
      routes({ host: "a.test" }),
      routes({ host: "a.test", ...token("ONE") }),
      routes({ host: "a.test", ...token("TWO") }),
    ];
    expect(difference(none, one).map(describeChange)).toEqual(["any method a.test, any path with ONE"]);
    expect(difference(one, two).map(describeChange)).toEqual(["any method a.test, any path with TWO"]);
    expect(difference(one, none)).toEqual([]);
  });

  it("a name that fell under a wildcard once its own narrower route is gone", () => {
    const before = routes({ host: "*.a.test" }, { host: "x.a.test", matches: [{ methods: ["GET"] }] });
    const after = routes({ host: "*.a.test" });
    expect(difference(before, after).map(describeChange)).toEqual(["any method x.a.test, any path"]);
  });

  it("exceptions, each for one subject", () => {
    const finding: Ask = { kind: "finding", host: "a.test", detector: "aws-key", finding: "4f2a" };
    const git: Ask = { kind: "git-exception", repo: "app", code: "path-protected", subjects: ["a", "b"] };
    const after = withGrant(withGrant(NOTHING, finding, "1"), git, "2");
    expect(difference(NOTHING, after).map(describeChange)).toEqual([
      "aws-key passes at host a.test: 4f2a",
      "path-protected passes at repository app: a",
      "path-protected passes at repository app: b",
    ]);
    expect(difference(after, after)).toEqual([]);
  });
});

describe("refs, held against git-gate's own judgement", () => {
  const rule = fc.record({
    pattern: fc.constantFrom(
      "refs/heads/main",
      "refs/heads/*",
      "refs/heads/a*",
      "refs/heads/a/*/z",
      "refs/heads/a/*",
      "refs/tags/*",
    ),
    force: fc.boolean(),
    delete: fc.boolean(),
  });
  const ref = fc.constantFrom(
    "refs/heads/main",
    "refs/heads/ab",
    "refs/heads/a/z",
    "refs/heads/a/b/z",
    "refs/heads/a/b",
    "refs/tags/v1",
  );
  const [zero, id] = ["0".repeat(40), "1".repeat(40)];

  it("tells of exactly the pushes, forced pushes and deletions that become possible", () => {
    const rights = (rules: readonly { pattern: string; force: boolean; delete: boolean }[], name: string) => {
      const context = {
        rules,
        excepted: () => false,
        current: new Map([[name, id]]),
        symbolic: new Set<string>(),
      };
      const push = judgeRefs([{ ref: name, old: id, new: "2".repeat(40) }], context);
      const remove = judgeRefs([{ ref: name, old: id, new: zero }], context);
      return { push: push.allow, force: push.allow && push.value[0]?.force === true, delete: remove.allow };
    };
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        fc.array(rule, { maxLength: 3 }),
        ref,
        (before, after, name) => {
          const changes = difference(
            { ...NOTHING, repos: [{ name: "app", upstream: "/app.git", refs: before }] },
            { ...NOTHING, repos: [{ name: "app", upstream: "/app.git", refs: after }] },
          );
          const [old, next] = [rights(before, name), rights(after, name)];
          for (const may of ["push", "force", "delete"] as const) {
            if (!next[may] || old[may]) continue;
            const told = changes.some(
              (change) => change.kind === "push" && change.may === may && matchesRef(change.ref, name),
            );
            expect(told, JSON.stringify({ may, name, changes })).toBe(true);
          }
          for (const change of changes) {
            if (change.kind !== "push") continue;
            const witness = change.ref.replace("*", "witness");
            expect(rights(after, witness)[change.may] && !rights(before, witness)[change.may]).toBe(true);
          }
        },
      ),
      RUNS,
    );
  });

  it("are granted as they were asked", () => {
    const before = {
      ...NOTHING,
      repos: [
        { name: "app", upstream: "/app.git", refs: [] },
        { name: "lib", upstream: "/lib.git", refs: [] },
      ],
    };
    const ask: Ask = {
      kind: "repository",
      repo: "app",
      refs: ["refs/heads/main"],
      force: true,
      delete: false,
    };
    expect(difference(before, withGrant(before, ask, "t")).map(describeChange)).toEqual([
      "force-push to refs/heads/main in app at /app.git",
      "push to refs/heads/main in app at /app.git",
    ]);
  });
});

describe("a host with patterns", () => {
  it("regression: is asked about as much as may be without keeping the keeper from all else: that took minutes", () => {
    const patterns = Array.from({ length: 8 }, (_, i) => ({
      type: "regex" as const,
      value: `/v${i}/[a-z]{1,1000}`,
    }));
    const before = routes({ host: "api.x.test", matches: [{ paths: patterns }] });
    const ask: Ask = {
      kind: "host",
      host: "api.x.test",
      methods: Array.from({ length: ASK_LIMITS.methods }, (_, i) => `M${"X".repeat(i)}`),
      paths: Array.from({ length: ASK_LIMITS.items }, (_, i) => ({ type: "exact", value: `/p${i}` })),
    };
    // As many as may wait at once.
    for (let i = 0; i < MAX_PENDING; i++)
      expect(difference(before, withGrant(before, ask, "t"))).toHaveLength(ASK_LIMITS.items);
  });
});
