/** Which paths a push may change. */
import type { GitRepoPolicy } from "../../../contract/git-gate.ts";
import { compileGlob, foldPath, type PathMatch } from "./glob.ts";
import { PROTECTED_PATHS } from "./protected-paths.ts";

export type PathVerdict =
  | { readonly allow: true }
  | { readonly allow: false; readonly code: "path-protected" | "path-not-allowed"; readonly rule: string };

export interface PathPolicy {
  judge(path: string): PathVerdict;
  /** Whether the operator lifts what protects this path. */
  lifted(path: string): boolean;
}

const FINE: PathVerdict = { allow: true };

export function compilePaths({ only, lift }: GitRepoPolicy["paths"]): PathPolicy {
  const named = (patterns: readonly string[]): readonly (readonly [string, PathMatch])[] =>
    patterns.map((pattern) => [pattern, compileGlob(pattern)]);
  const guards = named(PROTECTED_PATHS);
  const lifted = named(lift);
  const allowed = named(only);
  const judge = (path: string): PathVerdict => {
    const folded = foldPath(path);
    if (lifted.some(([, matches]) => matches(folded))) return FINE;
    const guard = guards.find(([, matches]) => matches(folded));
    if (guard !== undefined) {
      return { allow: false, code: "path-protected", rule: `${guard[0]} is protected` };
    }
    if (allowed.length > 0 && !allowed.some(([, matches]) => matches(folded))) {
      return { allow: false, code: "path-not-allowed", rule: `paths: ${only.join(", ")}` };
    }
    return FINE;
  };
  return { judge, lifted: (path) => lifted.some(([, matches]) => matches(foldPath(path))) };
}
