/** Which paths a push may change. */
import type { GitRepoPolicy } from "../../../contract/git-gate.ts";
import { compileGlob, foldPath, type PathMatch } from "./glob.ts";
import { PROTECTED_PATHS } from "./protected-paths.ts";

export type PathVerdict =
  | { readonly allow: true }
  | { readonly allow: false; readonly code: "path-protected" | "path-not-allowed"; readonly rule: string };

export interface PathPolicy {
  /** `link`: it is a symbolic link or a submodule, and so stands for all that may lie below it. */
  judge(path: string, link: boolean): PathVerdict;
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
  const heads = PROTECTED_PATHS.map((pattern) => [pattern, headOf(pattern)] as const);
  const judge = (path: string, link: boolean): PathVerdict => {
    const folded = foldPath(path);
    const isLifted = lifted.some(([, matches]) => matches(folded));
    const guard = isLifted ? undefined : guards.find(([, matches]) => matches(folded));
    if (guard !== undefined) {
      return { allow: false, code: "path-protected", rule: `${guard[0]} is protected` };
    }
    const below = link && !isLifted ? heads.find(([, head]) => head.startsWith(`${folded}/`)) : undefined;
    if (below !== undefined) {
      return {
        allow: false,
        code: "path-protected",
        rule: `${below[0]} is protected, and this leads elsewhere`,
      };
    }
    if (allowed.length > 0 && !allowed.some(([, matches]) => matches(folded))) {
      return { allow: false, code: "path-not-allowed", rule: `paths: ${only.join(", ")}` };
    }
    return FINE;
  };
  return { judge, lifted: (path) => lifted.some(([, matches]) => matches(foldPath(path))) };
}

/** The folder that a pattern names before its first wildcard, with a slash. */
function headOf(pattern: string): string {
  const fixed = foldPath(pattern).split(/[*?]/, 1)[0] ?? "";
  return fixed.slice(0, fixed.lastIndexOf("/") + 1);
}
