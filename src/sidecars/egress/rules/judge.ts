/**
 * Route rules: which of a host's routes, if any, takes this request. All members of a `matches` entry must
 * hold, any entry is enough. Judged is what would be sent: headers that end here are not seen.
 */
import { allow, type DenialCode, type Refusal, refuse, type Verdict } from "../denial.ts";
import type { CompiledRoute, HostRoutes } from "../policy/compile.ts";
import type { CompiledMatch, CompiledPath } from "../policy/match.ts";
import type { RequestHead } from "./head.ts";
import { isAmbiguous, withoutQuery } from "./path.ts";

export interface Judged {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly head: RequestHead;
}

/** In the order in which they are asked: a later one came closer, and says more. */
const MISSES = ["path-not-allowed", "path-ambiguous", "method-not-allowed", "header-not-allowed"] as const;
type Miss = (typeof MISSES)[number];

/** @param isOpen whether anything more may begin on this grant. */
export function judge(
  host: HostRoutes,
  request: Judged,
  maxPathLength: number,
  isOpen: (grant: string) => boolean,
): Verdict<CompiledRoute> {
  const form = formOf(request, maxPathLength);
  let nearest: { miss: Miss; match: CompiledMatch } | undefined;
  for (const route of host.routes) {
    if (route.grant !== undefined && !isOpen(route.grant.id)) continue;
    if (route.matches.length === 0) return allow(route);
    for (const match of route.matches) {
      const miss = missOf(match, request, form);
      if (miss === undefined) return overridden(route, match, request.head) ?? allow(route);
      if (nearest === undefined || MISSES.indexOf(miss) > MISSES.indexOf(nearest.miss))
        nearest = { miss, match };
    }
  }
  return nearest === undefined ? noRoute() : refusalOf(nearest.miss, host, nearest.match);
}

/** The first rule by which `route` takes a request that it takes. */
export function ruleBehind(route: CompiledRoute, request: Judged, maxPathLength: number): string {
  const form = formOf(request, maxPathLength);
  const match = route.matches.find((each) => missOf(each, request, form) === undefined);
  return match?.text ?? "every request";
}

interface PathForm {
  readonly path: string;
  readonly ambiguous: boolean;
}

function formOf(request: Judged, maxPathLength: number): PathForm {
  const path = withoutQuery(request.path);
  return { path, ambiguous: path.length > maxPathLength || isAmbiguous(path) };
}

function missOf(match: CompiledMatch, request: Judged, form: PathForm): Miss | undefined {
  if (match.paths !== undefined && !match.paths.some((rule) => pathHolds(rule, form))) {
    return form.ambiguous ? "path-ambiguous" : "path-not-allowed";
  }
  if (match.methods !== undefined && !match.methods.has(request.method)) return "method-not-allowed";
  for (const { name, holds } of match.headers) {
    const value = onlyValueOf(request.head, name);
    if (value === undefined || !holds(value)) return "header-not-allowed";
  }
  return undefined;
}

function pathHolds(rule: CompiledPath, { path, ambiguous }: PathForm): boolean {
  switch (rule.type) {
    // Byte for byte what the operator wrote: there is nothing to mistake.
    case "exact":
      return path === rule.value;
    case "prefix":
      if (rule.value === "") return true;
      return !ambiguous && path.startsWith(rule.value) && (path.charAt(rule.value.length) || "/") === "/";
    case "regex":
      return !ambiguous && rule.pattern.testExact(path);
  }
}

/** A header sent twice has no value that both ends are sure to agree on. */
function onlyValueOf(head: RequestHead, name: string): string | undefined {
  const first = head.names.indexOf(name);
  if (first < 0 || head.names.indexOf(name, first + 1) >= 0) return undefined;
  return head.raw[2 * first + 1];
}

/** A rule on method or path binds nothing if a header can tell the server to act on another. */
function overridden(route: CompiledRoute, match: CompiledMatch, head: RequestHead): Refusal | undefined {
  if (head.overrides.length === 0) return undefined;
  if (match.paths === undefined && match.methods === undefined) return undefined;
  const names = head.overrides.join(", ");
  return refuse(
    "override-refused",
    `the header ${names} would replace the method or path that the rules were asked about`,
    `route ${route.host}: ${match.text}`,
  );
}

const REASONS: Readonly<Record<Miss, string>> = {
  "path-not-allowed": "no rule of this host covers the path",
  "path-ambiguous":
    "the path is too long or can be read in more than one way (//, ;, or an escape like %2f), so only an exact rule could allow it",
  "method-not-allowed": "the path is covered, but not with this method",
  "header-not-allowed":
    "path and method are covered, but a header that the rule asks for is missing or different",
};

function refusalOf(code: Miss & DenialCode, host: HostRoutes, match: CompiledMatch): Refusal {
  const others = host.routes.reduce((sum, route) => sum + route.matches.length, 0) - 1;
  const more = others > 0 ? ` (and ${others} more)` : "";
  return refuse(code, REASONS[code], `route ${host.routes[0]?.host}: ${match.text}${more}`);
}

function noRoute(): Refusal {
  return refuse("host-not-allowed", "no route of this bottle leads there", "no route");
}
