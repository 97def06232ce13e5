/** A run as JUnit's XML, which continuous integration reads: a suite for each group, a case for each probe. */
import type { AttackReport } from "./attack.ts";
import { GROUPS } from "./probe.ts";
import type { ProbeResult } from "./runner.ts";

export function junit(reports: readonly AttackReport[]): string {
  const suites = reports.flatMap((report) => [...groupsOf(report), runOf(report)]);
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  const total = (name: "tests" | "failures"): number => suites.reduce((sum, suite) => sum + suite[name], 0);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites name="bottle attack" tests="${total("tests")}" failures="${total("failures")}" time="${seconds}">`,
    ...suites.map(({ text }) => text),
    "</testsuites>",
    "",
  ].join("\n");
}

interface Suite {
  readonly text: string;
  readonly tests: number;
  readonly failures: number;
}

function groupsOf({ backend, results }: AttackReport): readonly Suite[] {
  return GROUPS.flatMap((group) => {
    const members = results.filter((result) => result.group === group);
    return members.length === 0
      ? []
      : [
          suiteOf(
            `${backend}.${group}`,
            members.map((result) => caseOf(`${backend}.${group}`, result)),
          ),
        ];
  });
}

/** That the run came to its end is a case of its own. */
function runOf({ backend, problems, seconds }: AttackReport): Suite {
  const body = problems.length === 0 ? "" : `<failure message="${escaped(problems.join("; "))}"/>`;
  return suiteOf(`${backend}.run`, [
    {
      text: `<testcase classname="${backend}.run" name="the run came to its end" time="${seconds}">${body}</testcase>`,
      failed: problems.length > 0,
      seconds,
    },
  ]);
}

interface Case {
  readonly text: string;
  readonly failed: boolean;
  readonly seconds: number;
}

function caseOf(suite: string, result: ProbeResult): Case {
  const { id, invariant, tries, seconds, held, outcome, why, expected, seen, control } = result;
  const facts = `expected ${expected}\nseen ${seen}\ncontrol ${control}\n`;
  const failure = held
    ? ""
    : `<failure type="${outcome}" message="${escaped(why ?? outcome)}">${escaped(facts)}</failure>`;
  const stated =
    outcome === "stated" ? `<system-out>${escaped(`stated: ${why ?? ""}\n${facts}`)}</system-out>` : "";
  return {
    text: `<testcase classname="${suite}" name="${escaped(`${id} (${invariant}): ${tries}`)}" time="${seconds}">${failure}${stated}</testcase>`,
    failed: !held,
    seconds,
  };
}

function suiteOf(name: string, cases: readonly Case[]): Suite {
  const failures = cases.filter(({ failed }) => failed).length;
  const seconds = cases.reduce((sum, one) => sum + one.seconds, 0).toFixed(3);
  const head = `<testsuite name="${name}" tests="${cases.length}" failures="${failures}" time="${seconds}">`;
  return {
    text: [head, ...cases.map(({ text }) => text), "</testsuite>"].join("\n"),
    tests: cases.length,
    failures,
  };
}

/** What XML 1.0 cannot hold at all is told as a question mark. */
function escaped(text: string): string {
  return text
    .replace(/[^\t\n\r\x20-\ud7ff\ue000-\ufffd]/g, "?")
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;");
}
