/**
 * `bottle audit verify`: is the log as it was written? Exit code 0 when it is (also while its bottle runs),
 * 1 when a line was changed, removed, reordered or added, 3 when its end is missing.
 */
import { logPath } from "../../audit/log.ts";
import { type VerifyReport, verifyLog } from "../../audit/verify.ts";
import { bottlePaths } from "../../keeper/bottle-record.ts";
import { homeOf } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { print, printJson } from "../output.ts";
import { VERDICT_WORDS } from "../verdict-words.ts";

const EXIT_CODES: Readonly<Record<VerifyReport["verdict"], number>> = {
  intact: 0,
  open: 0,
  broken: 1,
  "open-or-cut": 3,
  torn: 3,
};

export async function auditVerify(id: string, flags: { readonly json?: true }): Promise<number> {
  bottlePaths(id);
  const report = await verifyLog(logPath(homeOf(), id), { bottle: id });
  if (flags.json) printJson(report);
  else {
    print(
      `${id}: ${VERDICT_WORDS[report.verdict]}; ${report.lines} lines, signed up to line ${report.sealed}, key ${report.key}`,
    );
    for (const { line, code, detail } of report.problems)
      print(`  line ${line}: ${code}: ${printable(detail, 500)}`);
    const unlisted = report.problemCount - report.problems.length;
    if (unlisted > 0) print(`  and ${unlisted} more`);
  }
  return EXIT_CODES[report.verdict];
}
