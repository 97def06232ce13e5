/** The paths that a push changes: which of them it may, what their names hold, and what rules files say that they did not before. */
import type { Finding } from "../../../inspect/finding.ts";
import type { Inspector } from "../../../inspect/inspector.ts";
import { type DenialCode, type Refusal, refuse } from "../denial.ts";
import { LIMITS } from "../limits.ts";
import { rulesFileKind } from "../policy/content.ts";
import { foldPath } from "../policy/glob.ts";
import type { Change } from "./changes.ts";
import { type Look, several } from "./look.ts";
import { createNewRule, type RulesFile, readBlobs } from "./rules-files.ts";
import { shownBytes } from "./shown.ts";
import { inspectText } from "./text.ts";

export interface PushPaths {
  /** Whether it could be refused. No exception is asked for: that would use one up. */
  matters(change: Change): boolean;
  /** False when it has had enough. */
  take(change: Change): boolean;
  /** There are more than may be, or than git can hold. */
  refuseNumber(): void;
  /** No more come. */
  end(): void;
  /** What may not be changed. */
  refusal(): Refusal | undefined;
  /** What may be changed, but not to say this. */
  ruleRefusal(): Promise<Refusal | undefined>;
  seen(): {
    /** The first of them, for whoever reviews it. */
    readonly files: readonly string[];
    readonly fileCount: number;
  };
}

/** Paths looked at together. */
const NAMES_BYTES = 256 * 1024;

const RULES = {
  "attributes-filter": "no new filter, diff or merge driver in .gitattributes",
  "submodule-url": "no new URL or update command in .gitmodules",
} as const;

export function inspectPaths(look: Look): PushPaths {
  const { inspector, limits, paths, budget, findings, shown, excepted } = look;
  const rulesFiles: RulesFile[] = [];
  const refused = new Map<string, { readonly code: DenialCode; readonly rule: string }>();
  const files: string[] = [];
  let fileCount = 0;
  let names: { readonly bytes: Buffer; readonly change: Change }[] = [];
  let namesSize = 0;

  function refuseNumber(): void {
    const rule = `at most ${limits.files} in a push`;
    budget.refusal ??= refuse("too-many-files", "the push changes too many paths", rule);
  }

  function judge({ path: bytes, mode, id }: Change) {
    const path = Buffer.from(bytes, "latin1").toString("utf8");
    const isFile = mode.startsWith("100");
    const kind = rulesFileKind(foldPath(path));
    const isRules = kind !== undefined && id !== undefined && isFile && !paths.lifted(path);
    return {
      path,
      verdict: paths.judge(path, !isFile && id !== undefined),
      rules: isRules ? { kind, id } : undefined,
    };
  }

  function inspectNames(): void {
    const joined = Buffer.concat(names.flatMap(({ bytes }) => [bytes, Buffer.from("\n")]));
    inspectJoined(inspector, joined, (finding, line) => {
      const change = names[line - 1]?.change;
      const place = change !== undefined && { path: shown(change.path), commit: change.commit };
      findings.add(finding, { in: "path", ...place });
    });
    names = [];
    namesSize = 0;
  }

  return {
    matters(change) {
      const { verdict, rules } = judge(change);
      return !verdict.allow || rules !== undefined;
    },
    take(change) {
      fileCount += 1;
      if (fileCount > limits.files) {
        refuseNumber();
        return false;
      }
      if (change.path.length > LIMITS.pathBytes) {
        const reason = `the path ${shown(change.path)} is too long`;
        budget.refusal ??= refuse("path-not-allowed", reason, `at most ${LIMITS.pathBytes} bytes a path`);
      }
      // Or the other look ended early.
      if (budget.refusal !== undefined) return false;
      if (files.length < LIMITS.toldReview) files.push(`${change.letter} ${shown(change.path)}`);
      const { path, verdict, rules } = judge(change);
      if (!verdict.allow && !excepted(verdict.code, path) && refused.size < LIMITS.toldFindings) {
        refused.set(change.path, verdict);
      }
      if (rules !== undefined) rulesFiles.push({ ...rules, path: change.path, before: change.before });
      if (rulesFiles.length > LIMITS.rulesFiles) {
        const rule = `at most ${LIMITS.rulesFiles} of them in a push`;
        budget.refusal ??= refuse(
          "too-many-files",
          "too many .gitattributes or .gitmodules are changed",
          rule,
        );
        return false;
      }
      const bytes = Buffer.from(change.path, "latin1");
      names.push({ bytes, change });
      namesSize += bytes.length + 1;
      if (namesSize > NAMES_BYTES) inspectNames();
      return true;
    },
    refuseNumber,
    end: inspectNames,
    refusal() {
      const [first] = refused.values();
      if (first === undefined) return undefined;
      const changed = [...refused.keys()];
      const subjects = changed.map(shown);
      return refuse(first.code, `${several(look, changed)} may not be changed`, first.rule, { subjects });
    },
    async ruleRefusal() {
      const { git, place, signal } = look;
      const ids = [...new Set(rulesFiles.flatMap(({ id, before }) => [id, ...before]))];
      const newRule = createNewRule(await readBlobs(git, place, ids, signal));
      for (const file of rulesFiles) {
        const line = newRule(file);
        const code = file.kind === "attributes" ? "attributes-filter" : "submodule-url";
        const path = Buffer.from(file.path, "latin1").toString("utf8");
        if (line === undefined || excepted(code, path)) continue;
        const told = shownBytes(inspector, Buffer.from(line, "latin1"));
        const reason = `${shown(file.path)} has a new line "${told}"`;
        return refuse(code, reason, RULES[code], { subjects: [shown(file.path)] });
      }
      return undefined;
    },
    seen: () => ({ files, fileCount }),
  };
}

function inspectJoined(
  inspector: Inspector,
  joined: Buffer,
  found: (finding: Finding, line: number) => void,
): void {
  const text = inspectText(inspector, joined.length, found);
  text.push(joined);
  text.end();
}
