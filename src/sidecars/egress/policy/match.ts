/** One `matches` entry of a route, compiled. Patterns run in linear time: what they meet is hostile. */
import { RE2JS } from "re2js";
import type { HeaderMatch, PathMatch, RouteMatch } from "../../../contract/policy.ts";
import { messageOf, UserError } from "../../../lib/errors.ts";
import { printable } from "../../../lib/printable.ts";
import { canonicalName, isEndToEnd, isHeaderName } from "../rules/headers.ts";
import { faultOfPath, isAmbiguous } from "../rules/path.ts";

export type CompiledPath =
  | { readonly type: "exact"; readonly value: string }
  /** Without its final slash; empty covers every path. */
  | { readonly type: "prefix"; readonly value: string }
  | { readonly type: "regex"; readonly pattern: Pattern };

export interface CompiledHeader {
  /** Canonical. */
  readonly name: string;
  readonly holds: (value: string) => boolean;
}

export interface CompiledMatch {
  readonly paths: readonly CompiledPath[] | undefined;
  readonly methods: ReadonlySet<string> | undefined;
  readonly headers: readonly CompiledHeader[];
  /** For people: `GET, POST on /repos/*`. */
  readonly text: string;
}

interface Pattern {
  /** Whether the whole of `text` matches. */
  testExact(text: string): boolean;
}

/** The contract's type, as zod gives it: members may also be there and undefined. */
type LooseMatch = { readonly [K in keyof RouteMatch]: RouteMatch[K] | undefined };

/** @throws UserError */
export function compileMatch(match: LooseMatch, stripped: ReadonlySet<string>): CompiledMatch {
  return {
    paths: match.paths?.map(compilePath),
    methods: match.methods && new Set(match.methods.map(checkedMethod)),
    headers: (match.headers ?? []).map((header) => compileHeader(header, stripped)),
    text: describe(match),
  };
}

function compilePath({ type, value }: PathMatch): CompiledPath {
  if (type === "regex") return { type, pattern: compilePattern(value) };
  const fault = faultOfPath(value);
  if (fault !== undefined || value.includes("?")) {
    throw new UserError(`path ${printable(value)} can never match: it ${fault ?? "has a query"}`);
  }
  if (type === "exact") return { type, value };
  if (isAmbiguous(value)) {
    throw new UserError(`prefix ${printable(value)} can never match: servers differ on what it means`);
  }
  return { type, value: value.endsWith("/") ? value.slice(0, -1) : value };
}

function compilePattern(source: string): Pattern {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    throw new UserError(`pattern ${printable(source)}: ${printable(messageOf(error))}`);
  }
}

function checkedMethod(method: string): string {
  if (!/^[A-Z][A-Z-]*$/.test(method)) throw new UserError(`${printable(method)} is no method`);
  return method;
}

function compileHeader(header: HeaderMatch, stripped: ReadonlySet<string>): CompiledHeader {
  const name = canonicalName(header.name);
  if (!isHeaderName(header.name) || !isEndToEnd(name)) {
    throw new UserError(`header ${printable(header.name)} is not one that a rule can see`);
  }
  if (stripped.has(name)) {
    throw new UserError(
      `header ${printable(header.name)} is a credential header: it is removed, so no rule sees it`,
    );
  }
  if (header.type === "exact") return { name, holds: (value) => value === header.value };
  const pattern = compilePattern(header.value);
  return { name, holds: (value) => pattern.testExact(value) };
}

function describe(match: LooseMatch): string {
  const paths = match.paths?.map(({ type, value }) => {
    if (type === "exact") return value;
    return type === "prefix" ? `${value.replace(/\/$/, "")}/*` : `~${value}`;
  });
  return [
    match.methods?.join(", ") ?? "any method",
    `on ${paths?.join(", ") ?? "any path"}`,
    ...(match.headers?.length ? [`with ${match.headers.map((header) => header.name).join(", ")}`] : []),
  ].join(" ");
}
