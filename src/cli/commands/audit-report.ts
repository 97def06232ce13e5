/**
 * `bottle audit report`: a bottle's log as one page, of running bottles and of ended ones. Exits 0 also for a log that
 * is damaged: the page says so, and `bottle audit verify` is what to ask in a script.
 */
import { resolve } from "node:path";
import { describeAsk } from "../../approvals/ask-words.ts";
import { logPath } from "../../audit/log.ts";
import { eachEvent } from "../../audit/read-events.ts";
import { htmlOf } from "../../audit/report/html.ts";
import { markdownOf } from "../../audit/report/markdown.ts";
import type { Page } from "../../audit/report/page.ts";
import { createReport } from "../../audit/report/report.ts";
import { verifyLog } from "../../audit/verify.ts";
import { bottlePaths, listBottleIds, noSuchBottle } from "../../keeper/bottle-record.ts";
import { codeOf, UserError } from "../../lib/errors.ts";
import { homeOf, writeFileAtomic } from "../../lib/paths.ts";
import { printable } from "../../lib/printable.ts";
import { tell } from "../output.ts";
import { VERDICT_WORDS } from "../verdict-words.ts";

export interface ReportFlags {
  readonly html?: true;
  readonly output?: string;
}

/** A page to be read, like any document. */
const MODE = 0o644;

export async function auditReport(id: string, flags: ReportFlags): Promise<number> {
  bottlePaths(id);
  const path = logPath(homeOf(), id);
  const report = createReport({ bottle: id, describeAsk });
  let damaged: number;
  try {
    damaged = await eachEvent(path, report.take);
  } catch (error) {
    if (codeOf(error) === "ENOENT") throw noSuchBottle(id, await listBottleIds());
    throw error;
  }
  const page = report.page(await verdictOn(path, id), damaged);
  const text = flags.html ? htmlOf(page) : markdownOf(page);
  if (flags.output === undefined) process.stdout.write(text);
  else {
    await writeTo(resolve(flags.output), text);
    tell(resolve(flags.output));
  }
  return 0;
}

/** A log whose key is lost can still be read. */
async function verdictOn(path: string, bottle: string): Promise<Page["verdict"]> {
  try {
    const { verdict, problems, problemCount } = await verifyLog(path, { bottle });
    const listed = problems.map(
      ({ line, code, detail }) => `line ${line}: ${code}: ${printable(detail, 500)}`,
    );
    const unlisted = problemCount - problems.length;
    return {
      sound: verdict === "intact" || verdict === "open",
      text: VERDICT_WORDS[verdict],
      problems: unlisted > 0 ? [...listed, `and ${unlisted} more`] : listed,
    };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { sound: false, text: "not verified", problems: [printable(error.message, 500)] };
  }
}

async function writeTo(path: string, text: string): Promise<void> {
  try {
    await writeFileAtomic(path, text, MODE);
  } catch (cause) {
    throw new UserError(`cannot write ${path}: ${codeOf(cause) ?? String(cause)}`, {
      hint: "name another place with -o",
      cause,
    });
  }
}
