/**
 * Keys that have their schema already and that nothing acts on yet. A key that is accepted and ignored would
 * be a promise nobody keeps, so whoever uses such a file is refused. Data: a key leaves this list when the
 * work behind it lands.
 */
import type { ManifestKind } from "./object-schema.ts";
import type { Path } from "./problem.ts";
import { matchesPattern } from "./retired-keys.ts";

interface UnsupportedKey {
  readonly kind: ManifestKind;
  /** `*` stands for any one part of the path. */
  readonly key: string;
  /** Only this value is unsupported; any when absent. */
  readonly value?: string | boolean;
}

export const UNSUPPORTED_KEYS: readonly UnsupportedKey[] = [
  { kind: "bottle", key: "workspace" },
  { kind: "bottle", key: "agent_provider.template", value: "gemini" },
  { kind: "bottle", key: "agent_provider.template", value: "opencode" },
  { kind: "bottle", key: "agent_provider.template", value: "pi" },
  { kind: "bottle", key: "agent_provider.auth_token" },
  { kind: "bottle", key: "agent_provider.forward_host_credentials" },
];

export interface UnsupportedFinding {
  readonly path: Path;
  readonly message: string;
}

/** Every use of an unsupported key in `value`, which is what the YAML said: plain data of bounded depth. */
export function unsupportedKeys(kind: ManifestKind, value: unknown): UnsupportedFinding[] {
  const rules = UNSUPPORTED_KEYS.filter((rule) => rule.kind === kind);

  function walk(here: unknown, path: Path): UnsupportedFinding[] {
    const rule = rules.find(
      (each) => matchesPattern(path, each.key) && (each.value === undefined || each.value === here),
    );
    if (rule !== undefined) {
      const what = rule.value === undefined ? "is" : `${String(rule.value)} is`;
      return [{ path, message: `${what} not supported yet; take it out to run this bottle` }];
    }
    if (Array.isArray(here)) return here.flatMap((item, i) => walk(item, [...path, i]));
    if (typeof here !== "object" || here === null) return [];
    return Object.entries(here).flatMap(([key, item]) => walk(item, [...path, key]));
  }

  return walk(value, []);
}
