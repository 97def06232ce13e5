/**
 * How the bottles of one chain become one. A chain lists every bottle once, parents before heirs, parents from
 * left to right. For each key the table names one rule; docs/manifest.md shows the same table to people.
 *
 * Since an heir always comes after what it extends, "the last one wins" never lets a shared ancestor undo what
 * an heir decided, however many ways lead to that ancestor.
 */
import { ISOLATION_LEVELS } from "../contract/isolation.ts";
import { unreachable } from "../lib/errors.ts";
import type { Bottle } from "./bottle-schema.ts";

export type MergeRule =
  /** The last one that declares the key. */
  | { readonly rule: "last" }
  /** Maps are laid over each other, the later entry winning; `depth` counts the levels that are maps to us. */
  | { readonly rule: "overlay"; readonly depth: number }
  /** A bottle's own replaces all that it extends has; what is left (of siblings) is put together. */
  | { readonly rule: "replace-then-join" }
  /** The same; of what is left the strongest counts. */
  | { readonly rule: "replace-then-strongest" }
  /** Only what the chosen bottle itself says: never inherited. */
  | { readonly rule: "own" };

type MergedKey = Exclude<keyof Bottle, "extends">;

export const MERGE_TABLE: Readonly<Record<MergedKey, MergeRule>> = {
  env: { rule: "overlay", depth: 1 },
  egress: { rule: "replace-then-join" },
  // user.name; repos.<name>.url
  "git-gate": { rule: "overlay", depth: 3 },
  supervise: { rule: "last" },
  // Its keys go together: a command of the parent makes no sense with a template of the child.
  agent_provider: { rule: "last" },
  image: { rule: "last" },
  resources: { rule: "overlay", depth: 1 },
  isolation: { rule: "replace-then-strongest" },
  backend: { rule: "last" },
  bundle: { rule: "last" },
  // A hole in the wall is the chosen bottle's own to say.
  host_services: { rule: "own" },
  workspace: { rule: "replace-then-join" },
  mounts: { rule: "replace-then-join" },
  // A bottle that adds a credential to its parent must not be opened to repositories by the parent.
  repo_agents: { rule: "own" },
};

export interface ChainLink {
  readonly name: string;
  readonly bottle: Bottle;
}

/** Merges a chain: parents before heirs, each bottle once, the chosen bottle last. */
export function mergeChain(links: readonly ChainLink[]): Bottle {
  const ancestors = ancestorsOf(links);
  const merged = Object.entries(MERGE_TABLE).flatMap(([key, rule]): [string, unknown][] => {
    const declaring = links.filter((link) => Object.hasOwn(link.bottle, key));
    const standing = declaring.filter(
      (link) => !declaring.some((other) => ancestors.get(other.name)?.has(link.name)),
    );
    const value = apply(
      rule,
      declaring.map((link) => declaredBy(link, key)),
      standing.map((link) => declaredBy(link, key)),
      links.at(-1)?.bottle,
      key,
    );
    return value === undefined ? [] : [[key, value]];
  });
  // Every rule keeps the type of its key; the table is what TypeScript cannot follow.
  return Object.fromEntries(merged) as Bottle;
}

function declaredBy(link: ChainLink, key: string): unknown {
  return Object.getOwnPropertyDescriptor(link.bottle, key)?.value;
}

function apply(
  rule: MergeRule,
  declared: readonly unknown[],
  standing: readonly unknown[],
  chosen: Bottle | undefined,
  key: string,
): unknown {
  switch (rule.rule) {
    case "last":
      return declared.at(-1);
    case "overlay":
      return declared.length === 0 ? undefined : declared.reduce((a, b) => overlay(a, b, rule.depth));
    case "replace-then-join":
      return standing.length === 0 ? undefined : standing.reduce(join);
    case "replace-then-strongest":
      return ISOLATION_LEVELS.filter((level) => standing.includes(level)).at(-1);
    case "own":
      return chosen === undefined ? undefined : Object.getOwnPropertyDescriptor(chosen, key)?.value;
    default:
      return unreachable(rule);
  }
}

function ancestorsOf(links: readonly ChainLink[]): ReadonlyMap<string, ReadonlySet<string>> {
  const ancestors = new Map<string, Set<string>>();
  for (const { name, bottle } of links) {
    const own = new Set<string>();
    for (const parent of parentsOf(bottle)) {
      own.add(parent);
      for (const further of ancestors.get(parent) ?? []) own.add(further);
    }
    ancestors.set(name, own);
  }
  return ancestors;
}

/** The bottles that `bottle` extends, from left to right. */
export function parentsOf(bottle: Bottle): readonly string[] {
  if (bottle.extends === undefined) return [];
  return typeof bottle.extends === "string" ? [bottle.extends] : bottle.extends;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function overlay(below: unknown, above: unknown, depth: number): unknown {
  if (depth === 0 || !isMap(below) || !isMap(above)) return above;
  const entries = new Map(Object.entries(below));
  for (const [key, value] of Object.entries(above)) {
    entries.set(key, entries.has(key) ? overlay(entries.get(key), value, depth - 1) : value);
  }
  return Object.fromEntries(entries);
}

/** Lists one after the other without repetitions, maps key by key, of anything else the later. */
function join(left: unknown, right: unknown): unknown {
  if (Array.isArray(left) && Array.isArray(right)) {
    const all = new Map([...left, ...right].map((item) => [JSON.stringify(item), item]));
    return [...all.values()];
  }
  if (!isMap(left) || !isMap(right)) return right;
  const entries = new Map(Object.entries(left));
  for (const [key, value] of Object.entries(right)) {
    entries.set(key, entries.has(key) ? join(entries.get(key), value) : value);
  }
  return Object.fromEntries(entries);
}
