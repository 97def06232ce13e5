/**
 * What a bottle may do, as plain data, and the same with one grant more. What was there stays as it was, in its order:
 * a grant only ever adds, and what it adds is asked last.
 */
import type { Ask, Change } from "../contract/approvals.ts";
import type { Route, RouteMatch } from "../contract/policy.ts";
import type { PlannedRef } from "../contract/repository.ts";
import { routesOfHost } from "./host-routes.ts";

/** The ticket of the grant that a thing comes from; absent: the plan's own. */
interface Granted {
  readonly grant?: string;
}

export interface Allowed {
  readonly routes: readonly (Route & Granted)[];
  readonly repos: readonly AllowedRepo[];
  /** Values that egress lets pass to one host. */
  readonly findings: readonly (Omit<Extract<Ask, { kind: "finding" }>, "kind"> & Granted)[];
  readonly gitExceptions: readonly (GitException & Granted)[];
  /** What the guest is made with, or is to be; absent: nothing that anybody asks about. */
  readonly environment?: readonly (EnvironmentPart & Granted)[];
}

interface AllowedRepo {
  readonly name: string;
  /** Its URL: a name that leads elsewhere is another repository. */
  readonly upstream: string;
  /** What may be pushed written out, defaults too. */
  readonly refs: readonly (PlannedRef & Granted)[];
}

export type EnvironmentPart = Omit<Extract<Change, { kind: "environment" }>, "kind">;

/** An ask's parts, one by one. */
export function environmentParts({
  variables,
  files,
  programs,
}: Omit<Extract<Ask, { kind: "environment" }>, "kind">): readonly EnvironmentPart[] {
  const of = (what: EnvironmentPart["what"], names: readonly string[]): EnvironmentPart[] =>
    names.map((name) => ({ what, name }));
  return [...of("variable", variables), ...of("file", files), ...of("program", programs)];
}

interface GitException {
  readonly repo: string;
  readonly code: string;
  readonly subject: string;
}

/** What the plan gives by itself. */
export function withoutGrants(allowed: Allowed): Allowed {
  const isPlanned = ({ grant }: Granted): boolean => grant === undefined;
  return {
    routes: allowed.routes.filter(isPlanned),
    repos: allowed.repos.map(({ refs, ...repo }) => ({ ...repo, refs: refs.filter(isPlanned) })),
    findings: allowed.findings.filter(isPlanned),
    gitExceptions: allowed.gitExceptions.filter(isPlanned),
    ...(allowed.environment !== undefined && { environment: allowed.environment.filter(isPlanned) }),
  };
}

export function withGrant(allowed: Allowed, ask: Ask, ticket: string): Allowed {
  const grant = { grant: ticket };
  switch (ask.kind) {
    case "host":
      return { ...allowed, routes: withHost(allowed.routes, ask, grant) };
    case "repository": {
      const refs = ask.refs.map((pattern) => ({ pattern, force: ask.force, delete: ask.delete, ...grant }));
      const repos = allowed.repos.map((repo) =>
        repo.name === ask.repo ? { ...repo, refs: [...repo.refs, ...refs] } : repo,
      );
      return { ...allowed, repos };
    }
    case "environment": {
      const parts = environmentParts(ask).map((part) => ({ ...part, ...grant }));
      return { ...allowed, environment: [...(allowed.environment ?? []), ...parts] };
    }
    case "finding": {
      const { host, detector, finding } = ask;
      return { ...allowed, findings: [...allowed.findings, { host, detector, finding, ...grant }] };
    }
    case "git-exception": {
      const { repo, code, subjects } = ask;
      const more = subjects.map((subject) => ({ repo, code, subject, ...grant }));
      return { ...allowed, gitExceptions: [...allowed.gitExceptions, ...more] };
    }
  }
}

/**
 * A host that is reached already keeps its place, its inspection and its credential: what is granted goes there as
 * everything else does. A route for a name below a wildcard would hide the wildcard's, so those come along.
 */
function withHost(
  routes: Allowed["routes"],
  ask: Extract<Ask, { kind: "host" }>,
  grant: Granted,
): Allowed["routes"] {
  const { host } = ask;
  const there = routesOfHost(routes, host);
  if (there.some(({ tls }) => tls === "passthrough")) return routes;
  const copied = there.flatMap((route) => (route.host === host ? [] : [{ ...route, host }]));
  const planned = there.filter((route) => route.grant === undefined);
  const model = planned.find(({ auth }) => auth !== undefined) ?? planned[0] ?? newRoute(host);
  return [...routes, ...copied, { ...model, host, matches: matchesOf(ask), ...grant }];
}

function newRoute(host: string): Route {
  return { host, matches: [], credentialHeaders: [], tls: "terminate", allowAddresses: [] };
}

/** Never a route without rules, which would also take headers that override method and path. */
function matchesOf({ methods, paths }: Extract<Ask, { kind: "host" }>): readonly RouteMatch[] {
  const anywhere = { type: "prefix", value: "/" } as const;
  return [{ ...(methods.length > 0 && { methods }), paths: paths.length > 0 ? paths : [anywhere] }];
}
