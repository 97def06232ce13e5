/**
 * What becomes possible: computed from what the bottle may do before and after, over hosts, methods, paths,
 * credentials, refs and exceptions, and never taken from the agent's words. Empty when nothing new is allowed; where
 * that cannot be told (two patterns), the thing counts as new.
 */
import { canonicalJson } from "../audit/canonical-json.ts";
import type { Change } from "../contract/approvals.ts";
import { coversRefs } from "../lib/git-ref.ts";
import { printable } from "../lib/printable.ts";
import type { Allowed, EnvironmentPart } from "./allowed.ts";
import { routesOfHost } from "./host-routes.ts";
import { pathInWords } from "./path-words.ts";
import {
  covers,
  isCarried,
  isForestalled,
  type Permission,
  permissionsOf,
  settles,
} from "./requests-allowed.ts";

/** Sorted, so that it does not depend on the order of what it was computed from. */
export function difference(before: Allowed, after: Allowed): readonly Change[] {
  const changes = [
    ...newRequests(before, after),
    ...newPushes(before, after),
    ...newExceptions(before, after),
    ...newEnvironment(before, after),
  ];
  const byText = new Map(changes.map((change) => [canonicalJson(change), change]));
  return [...byText.keys()].sort().flatMap((text) => byText.get(text) ?? []);
}

function newRequests(before: Allowed, after: Allowed): readonly Change[] {
  // A name that only one side has is covered by the other's wildcard, or not at all.
  const hosts = new Set([...before.routes, ...after.routes].map(({ host }) => host));
  return [...hosts].flatMap((host) => {
    const old = permissionsOf(routesOfHost(before.routes, host));
    const all = permissionsOf(routesOfHost(after.routes, host));
    const found = all.filter((each, i) => isNew(each, all.slice(0, i), old));
    return groupedByMethods(host, widestOf(found));
  });
}

/** Without what another one says already. */
function widestOf(permissions: readonly Permission[]): readonly Permission[] {
  const says = (one: Permission, other: Permission): boolean =>
    covers(one, other) && isCarried(other.credentials, one);
  return permissions.filter(
    (each, i) =>
      !permissions.some((other, j) => i !== j && says(other, each) && (j < i || !says(each, other))),
  );
}

/** @param earlier are asked before it; the first that takes a request decides on the credential. */
function isNew(permission: Permission, earlier: readonly Permission[], old: readonly Permission[]): boolean {
  if (earlier.some((each) => settles(each, permission))) return false;
  const { credentials } = permission;
  return !old.some(
    (each, i) =>
      covers(each, permission) &&
      isCarried(credentials, each) &&
      // One before it may have taken some of these otherwise; if it still does, nothing is new.
      old
        .slice(0, i)
        .filter((first) => isForestalled(permission, first))
        .every((first) =>
          earlier.some((other) => covers(other, first) && isCarried(other.credentials, first)),
        ),
  );
}

function groupedByMethods(host: string, permissions: readonly Permission[]): readonly Change[] {
  const groups = new Map<string, Permission[]>();
  for (const each of permissions) {
    const key = JSON.stringify({ ...each, method: undefined });
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const methods = group.map(({ method }) => method);
    const path = first.path && pathInWords(first.path);
    return [
      {
        kind: "request" as const,
        host,
        methods: methods.includes(undefined)
          ? []
          : [...new Set(methods.flatMap((each) => each ?? []))].sort(),
        ...(path !== undefined && { path }),
        headers: first.headers
          .map(({ name, type, value }) => `${name} ${type === "exact" ? "is" : "matches"} ${value}`)
          .sort(),
        credentials: [...first.credentials].sort(),
        inspected: first.inspected,
      },
    ];
  });
}

const RIGHTS = ["push", "force", "delete"] as const;

function newPushes(before: Allowed, after: Allowed): readonly Change[] {
  return after.repos.flatMap(({ name, upstream, refs }) => {
    const old = before.repos.find((repo) => repo.name === name && repo.upstream === upstream)?.refs ?? [];
    return refs.flatMap((rule) =>
      RIGHTS.filter((may) => has(rule, may))
        .filter((may) => !old.some((each) => has(each, may) && coversRefs(each.pattern, rule.pattern)))
        .map((may): Change => ({ kind: "push", repo: name, upstream, ref: rule.pattern, may })),
    );
  });
}

function has(rule: Allowed["repos"][number]["refs"][number], may: (typeof RIGHTS)[number]): boolean {
  return may === "push" || rule[may];
}

function newExceptions(before: Allowed, after: Allowed): readonly Change[] {
  const old = new Set(exceptionsOf(before).map((change) => canonicalJson(change)));
  return exceptionsOf(after).filter((change) => !old.has(canonicalJson(change)));
}

function newEnvironment(before: Allowed, after: Allowed): readonly Change[] {
  const isThere = ({ what, name }: EnvironmentPart): boolean =>
    (before.environment ?? []).some((part) => part.what === what && isWithin(name, part));
  return (after.environment ?? [])
    .filter((part) => !isThere(part))
    .map(({ what, name }): Change => ({ kind: "environment", what, name }));
}

/** A folder has what is in it. */
function isWithin(name: string, part: EnvironmentPart): boolean {
  return name === part.name || (part.what === "file" && name.startsWith(`${part.name}/`));
}

function exceptionsOf({ repos, findings, gitExceptions }: Allowed): readonly Change[] {
  const placeOf = (repo: string): string =>
    [`repository ${repo}`, ...repos.flatMap(({ name, upstream }) => (name === repo ? upstream : []))].join(
      " at ",
    );
  return [
    ...findings.map(({ host, detector, finding }) => exception(`host ${host}`, detector, finding)),
    ...gitExceptions.map(({ repo, code, subject }) => exception(placeOf(repo), code, subject)),
  ];
}

function exception(where: string, what: string, subject: string): Change {
  return { kind: "exception", where, what, subject };
}

/** What the operator does on the host, where an approval alone cannot give it. */
export function remedyOf({ what, name }: EnvironmentPart): string {
  switch (what) {
    case "variable":
      return `variable ${name} takes bottle resume --with env:${name}`;
    case "file":
      return `file ${name} takes bottle resume --with mount:<from>:${name}`;
    case "program":
      return `program ${name} takes a mount or provider that has it, and bottle resume --with manifest`;
  }
}

const SHOWN_LENGTH = 600;

/** One line: `POST api.x.test/v1/* with GITHUB_TOKEN`. */
export function describeChange(change: Change): string {
  const shown = (text: string): string => printable(text, SHOWN_LENGTH);
  switch (change.kind) {
    case "request": {
      const { host, methods, path, headers, credentials, inspected } = change;
      return [
        `${methods.length === 0 ? "any method" : shown(methods.join(", "))} `,
        `${shown(host)}${path === undefined ? ", any path" : shown(path)}`,
        ...(headers.length === 0 ? [] : [` where ${shown(headers.join(" and "))}`]),
        ...(credentials.length === 0 ? [] : [` with ${shown(credentials.join(", "))}`]),
        ...(inspected ? [] : [", not inspected"]),
      ].join("");
    }
    case "push": {
      const verbs = { push: "push to", force: "force-push to", delete: "delete" } as const;
      return `${verbs[change.may]} ${shown(change.ref)} in ${shown(change.repo)} at ${shown(change.upstream)}`;
    }
    case "environment":
      return shown(`nothing by itself: ${remedyOf(change)}`);
    case "exception":
      return `${shown(change.what)} passes at ${shown(change.where)}: ${shown(change.subject)}`;
  }
}
