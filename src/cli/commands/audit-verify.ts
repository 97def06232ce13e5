/**
 * `bottle audit verify`: is the log as it was written? Exit code 0 when it is (also while its bottle runs),
 * 1 when a line was changed, removed, reordered or added, or a head kept elsewhere is not in it, 3 when its end is
 * missing.
 */
import { logPath } from "../../audit/log.ts";
import { type VerifyReport, verifyLog } from "../../audit/verify.ts";
import { bottlePaths } from "../../keeper/bottle-record.ts";
import { UserError } from "../../lib/errors.ts";
import { quoted } from "../../lib/parsed.ts";
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

export async function auditVerify(
  id: string,
  flags: { readonly head?: string; readonly json?: true },
): Promise<number> {
  bottlePaths(id);
  const { head: knownHead } = flags;
  if (knownHead !== undefined && !/^[0-9a-f]{64}$/.test(knownHead)) {
    throw new UserError(`${quoted(knownHead)} is no head: 64 digits of a hash`, {
      hint: `bottle audit verify ${id} prints the head of its log`,
      exitCode: 2,
    });
  }
  const report = await verifyLog(logPath(homeOf(), id), {
    bottle: id,
    ...(knownHead !== undefined && { knownHead }),
  });
  if (flags.json) printJson(report);
  else {
    print(
      `${id}: ${VERDICT_WORDS[report.verdict]}; ${report.lines} lines, signed up to line ${report.sealed}, key ${report.key}`,
    );
    if (report.head !== null) print(`  head: ${report.head.hash} (line ${report.head.seq})`);
    for (const { line, code, detail } of report.problems)
      print(`  line ${line}: ${code}: ${printable(detail, 500)}`);
    const unlisted = report.problemCount - report.problems.length;
    if (unlisted > 0) print(`  and ${unlisted} more`);
  }
  return EXIT_CODES[report.verdict];
}
