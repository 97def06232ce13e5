/** What is wrong with a manifest, where, and how it is told: every problem of a file at once. */
import { UserError } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";

export interface Problem {
  readonly file: string;
  /** Counted from 1, in the file. Columns are UTF-16 units, as editors count them. */
  readonly line: number;
  readonly column: number;
  /** `egress.routes[0].host`; empty when the file as a whole is meant. */
  readonly key: string;
  /** What is wrong and what to write instead. */
  readonly message: string;
}

/** The next step after any problem. */
const FIX_HINT = "fix the lines above; `bottle schema` lists every key, docs/manifest.md explains them";

/** A page of a terminal; a file with more is wrong in kind, not in places. */
const MAX_SHOWN = 30;

/** A {@link UserError} whose problems can also be shown one by one. */
export class ManifestError extends UserError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    const lines = problems.slice(0, MAX_SHOWN).map(describeProblem);
    if (problems.length > MAX_SHOWN) lines.push(`… and ${problems.length - MAX_SHOWN} more`);
    super(lines.join("\n"), { hint: FIX_HINT });
    this.problems = problems;
  }
}

/** `file:line:column: key: message`, on one line. */
export function describeProblem(problem: Problem): string {
  const where = `${printable(problem.file, 4096)}:${problem.line}:${problem.column}: `;
  return where + (problem.key === "" ? "" : `${problem.key}: `) + problem.message;
}

export type Path = readonly (string | number)[];

/** `["egress", "routes", 0, "host"]` as `egress.routes[0].host`. */
export function keyOf(path: Path): string {
  let key = "";
  for (const part of path) {
    if (typeof part === "number") key += `[${part}]`;
    else key += key === "" ? printable(part, 80) : `.${printable(part, 80)}`;
  }
  return key;
}

/** `, did you mean "egress"?` or nothing. */
export function suggestion(candidate: string | undefined): string {
  return candidate === undefined ? "" : `, did you mean "${candidate}"?`;
}
