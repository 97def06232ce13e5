/**
 * Routes taken apart into single permissions (one method, one path rule), and which of them holds all that another
 * does. Where two patterns cannot be compared the answer is no, so that what is new is never missed.
 */
import { RE2JS } from "re2js";
import type { HeaderMatch, PathMatch, Route } from "../contract/policy.ts";
import { ambiguityOf } from "../lib/request-path.ts";

/** Absent members: any. */
export interface Permission {
  readonly method: string | undefined;
  readonly path: PathMatch | undefined;
  readonly headers: readonly HeaderMatch[];
  readonly credentials: readonly string[];
  readonly inspected: boolean;
}

/** In the order in which they are asked. */
export function permissionsOf(routes: readonly Route[]): readonly Permission[] {
  return routes.flatMap((route) => {
    const credentials = route.auth === undefined ? [] : [route.auth.tokenRef];
    const inspected = route.tls === "terminate";
    const matches = route.matches.length === 0 ? [{}] : route.matches;
    return matches.flatMap(({ paths, methods, headers = [] }: Route["matches"][number]) =>
      (paths ?? [undefined]).flatMap((path) =>
        (methods ?? [undefined]).map((method): Permission => {
          const rule = path && { type: path.type, value: bare(path) };
          // One spelling for every path, but where a rule on the path is the only one there is: see `isUnruled`.
          const open = rule !== undefined && isEverything(rule) && method !== undefined;
          return { method, path: open ? undefined : rule, headers, credentials, inspected };
        }),
      ),
    );
  });
}

/** Whether `wide` takes every request that `narrow` takes, whatever credential goes with it. */
export function covers(wide: Permission, narrow: Permission): boolean {
  return settles(wide, narrow) && (isUnruled(wide) || !isUnruled(narrow));
}

/** Whether asked before `narrow`, `wide` leaves it nothing to take: each of its requests is taken or refused there. */
export function settles(wide: Permission, narrow: Permission): boolean {
  if (!narrow.inspected) return !wide.inspected;
  if (!wide.inspected) return true;
  if (!wide.headers.every((rule) => narrow.headers.some((each) => isSame(each, rule)))) return false;
  if (wide.method !== undefined && wide.method !== narrow.method) return false;
  return coversPath(wide.path, narrow.path);
}

/**
 * A rule on method or path also refuses headers that would override them, and ends the search for another rule; one
 * without either does not ask.
 */
function isUnruled({ method, path }: Permission): boolean {
  return method === undefined && path === undefined;
}

/** Whether some of what `permission` takes would be treated otherwise where `first` is asked before it. */
export function isForestalled(permission: Permission, first: Permission): boolean {
  if (!mayMeet(first, permission)) return false;
  return !isCarried(permission.credentials, first) || (isUnruled(permission) && !isUnruled(first));
}

/** False only when no request can be taken by both. */
function mayMeet(one: Permission, other: Permission): boolean {
  if (one.method !== undefined && other.method !== undefined && one.method !== other.method) return false;
  const [a, b] = [one.path, other.path];
  const patternAndOpen =
    [a, b].some((path) => path?.type === "regex") && a?.type !== "exact" && b?.type !== "exact";
  return patternAndOpen || coversPath(a, b) || coversPath(b, a);
}

export function isCarried(credentials: readonly string[], by: Permission): boolean {
  return credentials.every((name) => by.credentials.includes(name));
}

function coversPath(wide: PathMatch | undefined, narrow: PathMatch | undefined): boolean {
  if (wide === undefined || isEverything(wide)) return true;
  if (narrow === undefined) return false;
  switch (wide.type) {
    case "exact":
      return narrow.type === "exact" && narrow.value === wide.value;
    case "prefix":
      if (narrow.type === "regex") return false;
      if (narrow.type === "exact" && ambiguityOf(narrow.value) !== undefined) return false;
      return `${bare(narrow)}/`.startsWith(`${bare(wide)}/`);
    case "regex":
      if (narrow.type === "regex") return narrow.value === wide.value;
      if (narrow.type === "prefix" || ambiguityOf(narrow.value) !== undefined) return false;
      return compiled(wide.value).testExact(narrow.value);
  }
}

/**
 * Compiled once each: only a manifest has patterns, and each of the hundreds of requests that an agent can ask for at once
 * is held against all of them. Compiled every time, an agent that asked for much kept its keeper busy for minutes.
 */
const patterns = new Map<string, RE2JS>();

function compiled(pattern: string): RE2JS {
  const known = patterns.get(pattern) ?? RE2JS.compile(pattern);
  patterns.set(pattern, known);
  return known;
}

/** A prefix of `/` asks nothing of a path, not even that it is read in one way only. */
function isEverything(path: PathMatch): boolean {
  return path.type === "prefix" && bare(path) === "";
}

/** A prefix without its final slash, as it is compared. */
function bare({ type, value }: PathMatch): string {
  return type === "prefix" && value.endsWith("/") ? value.slice(0, -1) : value;
}

function isSame(one: HeaderMatch, other: HeaderMatch): boolean {
  return one.name === other.name && one.type === other.type && one.value === other.value;
}
