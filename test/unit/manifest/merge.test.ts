import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ISOLATION_LEVELS } from "../../../src/contract/isolation.ts";
import type { Bottle } from "../../../src/manifest/bottle-schema.ts";
import { followExtends } from "../../../src/manifest/chain.ts";
import type { GitUrl } from "../../../src/manifest/git-url.ts";
import { MERGE_TABLE, mergeChain, parentsOf } from "../../../src/manifest/merge.ts";

type Family = Readonly<Record<string, Bottle>>;

/** What `name` is, with all that it extends. */
function resolve(family: Family, name: string): Bottle {
  const chain = followExtends(name, (each) => {
    const bottle = family[each];
    return bottle === undefined ? undefined : parentsOf(bottle);
  });
  expect(chain.findings).toEqual([]);
  return mergeChain(chain.order.map((each) => ({ name: each, bottle: family[each] ?? {} })));
}

const route = (
  host: string,
  token?: string,
): NonNullable<NonNullable<Bottle["egress"]>["routes"]>[number] => ({
  host,
  matches: [],
  ...(token === undefined ? {} : { auth: { header: "authorization", format: "Bearer {}", tokenRef: token } }),
  credentialHeaders: token === undefined ? [] : ["authorization"],
  tls: "terminate",
  allowAddresses: [],
});
const literal = (value: string) => ({ source: { kind: "literal", value } }) as const;
const hostsOf = (bottle: Bottle): string[] => (bottle.egress?.routes ?? []).map(({ host }) => host);

// Few names, so that bottles speak about the same things.
const word = fc.constantFrom("a", "b", "c");
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => ({ arbitrary });
const optional = <T extends Record<string, { arbitrary: fc.Arbitrary<unknown> }>>(shape: T) =>
  fc.record(Object.fromEntries(Object.entries(shape).map(([key, { arbitrary }]) => [key, arbitrary])), {
    requiredKeys: [],
  });
const bottle = optional({
  env: maybe(fc.dictionary(word, word.map(literal), { maxKeys: 3 })),
  egress: maybe(
    optional({
      routes: maybe(
        fc.uniqueArray(word, { maxLength: 3 }).map((hosts) => hosts.map((host) => route(`${host}.example`))),
      ),
      upstream_ca: maybe(
        fc.uniqueArray(
          word.map((name) => `/${name}.pem`),
          { maxLength: 2 },
        ),
      ),
    }),
  ),
  "git-gate": maybe(optional({ user: maybe(optional({ name: maybe(word), email: maybe(word) })) })),
  supervise: maybe(fc.boolean()),
  agent_provider: maybe(fc.constant({ template: "claude" })),
  image: maybe(word),
  resources: maybe(
    optional({ cpus: maybe(fc.integer({ min: 1, max: 3 })), memory: maybe(fc.constant(2 ** 30)) }),
  ),
  isolation: maybe(fc.constantFrom(...ISOLATION_LEVELS)),
  backend: maybe(fc.constantFrom("namespace", "docker")),
  mounts: maybe(
    fc
      .uniqueArray(word, { maxLength: 2 })
      .map((all) => all.map((name) => ({ from: `/${name}`, to: `/mnt/${name}` }))),
  ),
  repo_agents: maybe(fc.boolean()),
}) as fc.Arbitrary<Bottle>;

const child = (own: Bottle, ...parents: string[]): Bottle => ({ ...own, extends: parents });
const inherited = ({ repo_agents: _own, ...rest }: Bottle): Bottle => rest;

describe("merging bottles: laws", () => {
  it("a bottle by itself stays as it is", () => {
    fc.assert(
      fc.property(bottle, (x) => {
        expect(resolve({ x }, "x")).toEqual(x);
      }),
    );
  });

  it("identity: an empty heir is its parent, and an empty parent changes nothing", () => {
    fc.assert(
      fc.property(bottle, (x) => {
        expect(resolve({ x, y: child({}, "x") }, "y")).toEqual(inherited(x));
        expect(resolve({ x: child(x, "empty"), empty: {} }, "x")).toEqual(x);
      }),
    );
  });

  it("idempotence: naming a parent twice, or a grandparent as well, changes nothing", () => {
    fc.assert(
      fc.property(bottle, bottle, bottle, (a, b, c) => {
        const family = {
          a,
          b: child(b, "a"),
          once: child(c, "b"),
          twice: child(c, "b", "b"),
          both: child(c, "a", "b"),
          late: child(c, "b", "a"),
        };
        const once = resolve(family, "once");
        for (const name of ["twice", "both", "late"]) expect(resolve(family, name)).toEqual(once);
      }),
    );
  });

  it("associativity: grouping siblings under an empty bottle changes nothing", () => {
    fc.assert(
      fc.property(bottle, bottle, bottle, bottle, (a, b, c, own) => {
        const family = {
          a,
          b,
          c,
          ab: child({}, "a", "b"),
          bc: child({}, "b", "c"),
          flat: child(own, "a", "b", "c"),
          left: child(own, "ab", "c"),
          right: child(own, "a", "bc"),
        };
        const flat = resolve(family, "flat");
        expect(resolve(family, "left")).toEqual(flat);
        expect(resolve(family, "right")).toEqual(flat);
      }),
    );
  });

  it("the heir wins: every key that it declares has its value, entry by entry", () => {
    fc.assert(
      fc.property(bottle, bottle, bottle, (a, b, own) => {
        const merged = resolve({ a, b, own: child(own, "a", "b") }, "own");
        for (const [key, value] of Object.entries(own)) {
          const kept = merged[key as keyof Bottle];
          if (MERGE_TABLE[key as keyof typeof MERGE_TABLE].rule === "overlay")
            expect(kept).toMatchObject(value as object);
          else expect(kept).toEqual(value);
        }
      }),
    );
  });

  it("nothing appears that no bottle of the chain declared", () => {
    fc.assert(
      fc.property(bottle, bottle, bottle, (a, b, own) => {
        const merged = resolve({ a, b, own: child(own, "a", "b") }, "own");
        const declared = new Set([a, b, own].flatMap((each) => Object.keys(each)));
        for (const key of Object.keys(merged)) expect(declared).toContain(key);
        const hosts = new Set([a, b, own].flatMap(hostsOf));
        for (const host of hostsOf(merged)) expect(hosts).toContain(host);
      }),
    );
  });

  it("diamond: an ancestor that two ways lead to never undoes what one of its heirs says", () => {
    fc.assert(
      fc.property(bottle, bottle, (base, left) => {
        const family = {
          base,
          left: child(left, "base"),
          right: child({}, "base"),
          own: child({}, "left", "right"),
        };
        expect(inherited(resolve(family, "own"))).toEqual(inherited(resolve(family, "left")));
      }),
    );
  });
});

describe("merging bottles: the table", () => {
  it("env: entry by entry, the heir's or the later parent's", () => {
    const family = {
      a: { env: { X: literal("a"), Y: literal("a") } },
      b: { env: { Y: literal("b"), Z: literal("b") } },
      own: { extends: ["a", "b"], env: { Z: literal("own") } },
    };
    expect(resolve(family, "own").env).toEqual({ X: literal("a"), Y: literal("b"), Z: literal("own") });
  });

  it("env: an entry is replaced whole, never mixed of two", () => {
    const family = {
      a: { env: { X: { source: { kind: "host", variable: "H" }, to: ["a.example"] } } },
      own: { extends: "a", env: { X: literal("x") } },
    } satisfies Family;
    expect(resolve(family, "own").env).toEqual({ X: literal("x") });
  });

  it("egress: an heir that declares it replaces all of it; an empty one clears it", () => {
    const family = {
      base: { egress: { routes: [route("base.example")], upstream_ca: ["/base.pem"] } },
      narrow: { extends: "base", egress: { routes: [route("narrow.example")] } },
      closed: { extends: "base", egress: {} },
      silent: { extends: "base" },
    } satisfies Family;
    expect(resolve(family, "narrow").egress).toEqual({ routes: [route("narrow.example")] });
    expect(resolve(family, "closed").egress).toEqual({});
    expect(resolve(family, "silent").egress).toEqual(family.base.egress);
  });

  it("egress: routes of several parents stand side by side, equal ones once", () => {
    const family = {
      a: { egress: { routes: [route("a.example"), route("common.example")], upstream_ca: ["/a.pem"] } },
      b: { egress: { routes: [route("common.example"), route("b.example")], upstream_ca: ["/b.pem"] } },
      own: { extends: ["a", "b"] },
    } satisfies Family;
    expect(resolve(family, "own").egress).toEqual({
      routes: [route("a.example"), route("common.example"), route("b.example")],
      upstream_ca: ["/a.pem", "/b.pem"],
    });
  });

  it("egress: routes that one heir replaced do not come back by another way", () => {
    const family = {
      base: { egress: { routes: [route("base.example", "TOKEN")] } },
      narrow: { extends: "base", egress: { routes: [route("base.example")] } },
      other: { extends: "base", env: { X: literal("x") } },
      own: { extends: ["narrow", "other"] },
      turned: { extends: ["other", "narrow"] },
    } satisfies Family;
    expect(resolve(family, "own").egress?.routes).toEqual([route("base.example")]);
    expect(resolve(family, "turned").egress?.routes).toEqual([route("base.example")]);
  });

  const gitUrl = (path: string): GitUrl => ({ kind: "local", path });

  it("git-gate: user field by field, repositories by name and then field by field", () => {
    const family: Family = {
      a: {
        "git-gate": {
          user: { name: "A", email: "a@example.com" },
          repos: {
            p: { url: gitUrl("/p"), key: { kind: "file", path: "/a" } },
            q: { url: gitUrl("/q") },
          },
        },
      },
      own: {
        extends: "a",
        "git-gate": {
          user: { name: "Own" },
          repos: { p: { key: { kind: "agent" } }, r: { url: gitUrl("/r") } },
        },
      },
    };
    expect(resolve(family, "own")["git-gate"]).toEqual({
      user: { name: "Own", email: "a@example.com" },
      repos: {
        p: { url: gitUrl("/p"), key: { kind: "agent" } },
        q: { url: gitUrl("/q") },
        r: { url: gitUrl("/r") },
      },
    });
  });

  it("I7: of several parents the strictest isolation counts, in any order; an heir may decide otherwise", () => {
    const family = {
      vm: { isolation: "vm" },
      loose: { isolation: "namespace" },
      first: { extends: ["vm", "loose"] },
      second: { extends: ["loose", "vm"] },
      own: { extends: ["vm", "loose"], isolation: "container" },
    } satisfies Family;
    expect(resolve(family, "first").isolation).toBe("vm");
    expect(resolve(family, "second").isolation).toBe("vm");
    expect(resolve(family, "own").isolation).toBe("container");
  });

  it("I5: repo_agents is never inherited", () => {
    const family = {
      open: { repo_agents: true },
      own: { extends: "open" },
      said: { extends: "open", repo_agents: true },
    };
    expect(resolve(family, "own").repo_agents).toBeUndefined();
    expect(resolve(family, "said").repo_agents).toBe(true);
  });

  it("agent_provider: whole, for its keys go together", () => {
    const family = {
      base: { agent_provider: { template: "command", command: ["make"] } },
      own: { extends: "base", agent_provider: { template: "claude" } },
    } satisfies Family;
    expect(resolve(family, "own").agent_provider).toEqual({ template: "claude" });
  });

  it("resources: field by field", () => {
    const family = {
      a: { resources: { cpus: 2, memory: 2 ** 30 } },
      own: { extends: "a", resources: { cpus: 1 } },
    };
    expect(resolve(family, "own").resources).toEqual({ cpus: 1, memory: 2 ** 30 });
  });

  it("names that every object has are entries like others", () => {
    const family = {
      a: { env: { toString: literal("a"), constructor: literal("a") } },
      own: { extends: "a", env: { constructor: literal("own"), valueOf: literal("own") } },
    };
    expect(Object.entries(resolve(family, "own").env ?? {})).toEqual([
      ["toString", literal("a")],
      ["constructor", literal("own")],
      ["valueOf", literal("own")],
    ]);
  });
});

describe("following extends", () => {
  const follow = (family: Readonly<Record<string, readonly string[]>>, start: string) =>
    followExtends(start, (name) => family[name]);

  it("lists parents before heirs, from left to right, each once", () => {
    const family = { own: ["left", "right"], left: ["base"], right: ["base", "other"], base: [], other: [] };
    expect(follow(family, "own")).toEqual({ order: ["base", "left", "other", "right", "own"], findings: [] });
  });

  it("names a cycle from where it closes", () => {
    expect(follow({ dev: ["base"], base: ["dev"] }, "dev").findings).toEqual([
      { heir: "base", parent: 0, fault: { kind: "cycle", chain: ["dev", "base", "dev"] } },
    ]);
    expect(follow({ own: ["a"], a: ["b"], b: ["x", "a"], x: [] }, "own").findings).toEqual([
      { heir: "b", parent: 1, fault: { kind: "cycle", chain: ["a", "b", "a"] } },
    ]);
  });

  it("names a bottle that extends itself", () => {
    expect(follow({ dev: ["dev"] }, "dev").findings).toEqual([
      { heir: "dev", parent: 0, fault: { kind: "cycle", chain: ["dev", "dev"] } },
    ]);
  });

  it("names a missing parent with the way to it", () => {
    expect(follow({ dev: ["base"], base: ["gone"] }, "dev").findings).toEqual([
      { heir: "base", parent: 0, fault: { kind: "missing", name: "gone", chain: ["dev", "base", "gone"] } },
    ]);
  });

  it("ends on any graph, names every cycle and orders what has none", () => {
    const names = ["a", "b", "c", "d", "e"];
    const graph = fc.record(
      Object.fromEntries(
        names.map((name) => [name, fc.uniqueArray(fc.constantFrom(...names), { maxLength: 3 })]),
      ),
    );
    fc.assert(
      fc.property(graph, (family) => {
        const { order, findings } = follow(family, "a");
        expect(new Set(order).size).toBe(order.length);
        expect(order.at(-1)).toBe("a");
        if (findings.length > 0) return;
        for (const [i, name] of order.entries()) {
          for (const parent of family[name] ?? []) expect(order.indexOf(parent)).toBeLessThan(i);
        }
      }),
    );
  });

  it("refuses a chain that nobody could read", () => {
    const family = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`b${i}`, [`b${i + 1}`]]));
    expect(follow(family, "b0").findings).toMatchObject([{ heir: "b63", fault: { kind: "too-long" } }]);
  });
});
