/** Allow-lists drawn at random, and the real matcher's word on requests. */
import fc from "fast-check";
import type { Allowed } from "../../../src/approvals/allowed.ts";
import type { Ask } from "../../../src/contract/approvals.ts";
import { INSPECTED, type Route, type RouteMatch } from "../../../src/contract/policy.ts";
import { routesOf } from "../../../src/sidecars/egress/allow-list/allow-list.ts";
import { LIMITS } from "../../../src/sidecars/egress/limits.ts";
import { type CompiledPolicy, compilePolicy } from "../../../src/sidecars/egress/policy/compile.ts";
import { readHead } from "../../../src/sidecars/egress/rules/head.ts";
import { judge } from "../../../src/sidecars/egress/rules/judge.ts";

export const NOTHING: Allowed = { routes: [], repos: [], findings: [], gitExceptions: [] };

export function routes(...list: (Partial<Route> & { host: string })[]): Allowed {
  const route = { matches: [], credentialHeaders: [], tls: "terminate" as const, allowAddresses: [] };
  return { ...NOTHING, routes: list.map((each) => ({ ...route, ...each })) };
}

export function token(tokenRef: string): { auth: NonNullable<Route["auth"]> } {
  return { auth: { header: "authorization", format: "Bearer {}", tokenRef } };
}

export interface Probe {
  readonly host: string;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
}

export interface Passed {
  readonly credentials: readonly string[];
  readonly inspected: boolean;
}

/** Egress's own compiled policy, of routes as the bundle hands them over. */
export function compiled({ routes: list }: Allowed): CompiledPolicy {
  return compilePolicy({
    routes: list.map(({ host, matches, tls, auth }) => ({
      host,
      matches: matches.map(({ paths, methods, headers }) => ({
        ...(paths && { paths: [...paths] }),
        ...(methods && { methods: [...methods] }),
        ...(headers && { headers: [...headers] }),
      })),
      inject: auth === undefined ? [] : [{ header: auth.header, value: `Bearer ${auth.tokenRef}` }],
      credentialHeaders: [],
      tls,
      allowAddresses: [],
      inspection: { ...INSPECTED },
    })),
    known: [],
    rules: [],
    upstreamCa: [],
  });
}

/** What becomes of the request; undefined: refused. */
export function pass(policy: CompiledPolicy, { host, method, path, headers }: Probe): Passed | undefined {
  const found = routesOf(policy, host);
  if (!found.allow) return undefined;
  if (found.value.tls === "passthrough") return { credentials: [], inspected: false };
  const head = readHead(headers, LIMITS.requestHeaders);
  if (!head.allow) return undefined;
  const request = { method, path, head: head.value };
  const judged = judge(found.value, request, LIMITS.judgedPathLength, () => true);
  if (!judged.allow) return undefined;
  const credentials = judged.value.inject.flatMap((text, i) =>
    i % 2 === 1 ? text.replace("Bearer ", "") : [],
  );
  return { credentials, inspected: true };
}

const HOSTS = [
  "x.example.dev",
  "api.x.example.dev",
  "deep.api.x.example.dev",
  "*.x.example.dev",
  "*.example.dev",
  "*.api.x.example.dev",
  "xn--bcher-kva.x.example.dev",
  "other.test.dev",
];
const NAMES = [
  ...HOSTS.filter((host) => !host.startsWith("*")),
  "new.x.example.dev",
  "n.api.x.example.dev",
  "no.test",
];
const METHODS = ["GET", "POST", "DELETE"];
const PATHS = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/a//b", "/c", "/a/%2f", "/a/7"];

const path = fc.oneof(
  fc.record({ type: fc.constant("exact" as const), value: fc.constantFrom(...PATHS) }),
  fc.record({ type: fc.constant("prefix" as const), value: fc.constantFrom("/", "/a", "/a/", "/a/b", "/c") }),
);
const pattern = fc.record({
  type: fc.constant("regex" as const),
  value: fc.constantFrom("/a/[0-9]+", "/a.*", "/c"),
});

function matchOf(patterns: boolean): fc.Arbitrary<RouteMatch> {
  const one = fc.array(patterns ? fc.oneof(path, pattern) : path, { minLength: 1, maxLength: 3 });
  return fc
    .record(
      {
        paths: one,
        methods: fc.uniqueArray(fc.constantFrom(...METHODS), { minLength: 1, maxLength: 3 }),
        headers: fc.constant([{ name: "x-a", type: "exact" as const, value: "1" }]),
      },
      { requiredKeys: [] },
    )
    .filter((match) => Object.keys(match).length > 0);
}

/** @param patterns whether rules with patterns are among them: those cannot all be compared. */
export function anyAllowed(patterns: boolean): fc.Arbitrary<Allowed> {
  const terminated = fc.record({
    matches: fc.array(matchOf(patterns), { maxLength: 3 }),
    auth: fc.option(fc.constantFrom("ONE", "TWO"), { nil: undefined }),
  });
  const ofHost = fc.oneof(
    { weight: 5, arbitrary: fc.array(terminated, { minLength: 1, maxLength: 2 }) },
    { weight: 1, arbitrary: fc.constant("passthrough" as const) },
  );
  const perHost = fc.tuple(
    ...HOSTS.map((host) => fc.tuple(fc.constant(host), fc.option(ofHost, { freq: 2 }))),
  );
  return perHost.map((hosts) =>
    routes(
      ...hosts.flatMap(([host, list]): (Partial<Route> & { host: string })[] => {
        if (list === null) return [];
        if (list === "passthrough")
          return host.startsWith("*") ? [] : [{ host, tls: "passthrough" as const }];
        return list.map(({ matches, auth }) => ({ host, matches, ...(auth !== undefined && token(auth)) }));
      }),
    ),
  );
}

export const anyHostAsk: fc.Arbitrary<Extract<Ask, { kind: "host" }>> = fc.record({
  kind: fc.constant("host" as const),
  host: fc.constantFrom(...NAMES),
  methods: fc.uniqueArray(fc.constantFrom(...METHODS), { maxLength: 3 }),
  paths: fc.array(path, { maxLength: 3 }),
});

export const anyProbe: fc.Arbitrary<Probe> = fc.record({
  host: fc.constantFrom(...NAMES),
  method: fc.constantFrom(...METHODS, "PURGE"),
  path: fc.constantFrom(...PATHS, "/witness"),
  headers: fc.constantFrom([], ["x-a", "1"], ["x-http-method-override", "DELETE"]),
});
