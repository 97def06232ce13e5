/** What was found in one push: each value once in each place, where it came in, and what is told of it. */
import type { GitFinding } from "../../../contract/git-gate.ts";
import type { Finding } from "../../../inspect/finding.ts";
import { type Refusal, refuse } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import type { Change } from "./changes.ts";

export type Where = Omit<GitFinding, "rule" | "kind" | "mark" | "through">;

export interface Findings {
  /** @param blob its id, when it stood in a file: which commit brought that is to be found out. */
  add(finding: Finding, where: Where, blob?: string): void;
  /** Whether some stood in files whose commits are not known yet. */
  areUnplaced(): boolean;
  /** To be told of each change, oldest first: the commit that brought a file, and the path it had there. */
  place(change: Change): void;
  refusal(): Refusal | undefined;
}

interface Found {
  finding: GitFinding;
  readonly blob: string | undefined;
}

/** Beyond these the push is refused all the same. */
const MOST_FINDINGS = 1_000;

/** @param excepted whether the operator lets `<rule>:<mark>` pass. */
export function createFindings(
  excepted: (subject: string) => boolean,
  shown: (path: string) => string,
): Findings {
  const found = new Map<string, Found>();
  const unplaced = (): readonly Found[] =>
    [...found.values()].filter(({ blob, finding }) => blob !== undefined && finding.commit === undefined);

  return {
    add({ detector: rule, kind, fingerprint: mark, through }, where, blob) {
      if (isExceptable(kind) && excepted(`${rule}:${mark}`)) return;
      const key = [rule, mark, where.in, blob ?? where.commit ?? ""].join(" ");
      if (found.has(key)) return;
      if (found.size >= MOST_FINDINGS && kind !== "canary") return;
      const finding = { rule, kind, mark, ...where, ...(through.length > 0 && { through: [...through] }) };
      found.set(key, { finding, blob });
    },
    areUnplaced: () => unplaced().length > 0,
    place(change) {
      for (const each of unplaced()) {
        if (each.blob !== change.id) continue;
        each.finding = { ...each.finding, commit: change.commit, path: shown(change.path) };
      }
    },
    refusal() {
      const findings = [...found.values()].map(({ finding }) => finding);
      return findings.length === 0 ? undefined : refusalOf(findings);
    },
  };
}

function refusalOf(findings: readonly GitFinding[]): Refusal {
  const subjects = findings
    .filter(({ kind }) => isExceptable(kind))
    .map(({ rule, mark }) => `${rule}:${mark}`);
  const count = findings.length === 1 ? "a value" : `${findings.length} values`;
  return refuse(
    "secret-found",
    `the push holds ${count} that must not leave; rewrite the commits that hold it (a later commit that removes it leaves it in the history)`,
    [...new Set(findings.map(({ rule }) => rule))].join(", "),
    { findings: decoysFirst(findings).slice(0, LIMITS.toldFindings), subjects: [...new Set(subjects)] },
  );
}

/** The operator is told of those, and may have the bottle frozen by one: none is hidden behind others. */
function decoysFirst(findings: readonly GitFinding[]): readonly GitFinding[] {
  return findings.toSorted((a, b) => Number(b.kind === "canary") - Number(a.kind === "canary"));
}

/** What sidecars hold and what was planted is nobody's to let go. */
function isExceptable(kind: string): boolean {
  return kind === "pattern" || kind === "rule";
}
