/** A rule in words: `GET, POST on /repos and below`. */
import type { HeaderMatch, PathMatch, RouteMatch } from "../contract/policy.ts";
import { unreachable } from "../lib/errors.ts";

export function describeMatch(match: RouteMatch): string {
  const methods = match.methods === undefined ? "any method" : match.methods.join(", ");
  const paths = match.paths === undefined ? "any path" : match.paths.map(describePath).join(" or ");
  const headers = (match.headers ?? []).map(describeHeader);
  return [`${methods} on ${paths}`, ...headers].join(", with ");
}

function describePath({ type, value }: PathMatch): string {
  switch (type) {
    case "exact":
      return value;
    case "prefix":
      return `${value} and below`;
    case "regex":
      return `paths matching ${value}`;
    default:
      return unreachable(type);
  }
}

/** The value is left out: a manifest may use a header as a shared secret. */
function describeHeader({ name, type }: HeaderMatch): string {
  return `header ${name} (${type})`;
}
