/**
 * `bottle inbox`: what waits for the operator in all running bottles, and what was given. Exits 3 when something
 * waits, so that a script need not read it; 1 when a bottle did not say and nothing waits elsewhere.
 */
import { UserError } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { type Inboxes, readInboxes, shownDigits } from "../inbox/inboxes.ts";
import { durationText } from "../inbox/quantities.ts";
import { grantSummary, remainderOf, summaryOf } from "../inbox/words.ts";
import { printJson, printTable, tell } from "../output.ts";

const SOMETHING_WAITS = 3;

export interface InboxFlags {
  readonly watch?: true;
  readonly once?: true;
  readonly json?: true;
}

export async function inbox(flags: InboxFlags): Promise<number> {
  if (flags.watch && flags.once)
    throw new UserError("--watch goes on and --once ends: choose one", { exitCode: 2 });
  if (flags.watch) {
    if (flags.json) return (await import("../inbox/watch-lines.ts")).watchLines();
    return (await import("../screen/screen.ts")).openScreen();
  }
  const read = await readInboxes();
  if (flags.json) {
    printJson({ bottles: read.inboxes.map(({ view }) => view), unreached: read.unreached });
  } else {
    printInboxes(read);
  }
  for (const { bottle, reason } of read.unreached) tell(`warning: ${bottle}: ${printable(reason, 500)}`);
  if (read.inboxes.some(({ view }) => view.pending.length > 0)) return SOMETHING_WAITS;
  return read.unreached.length > 0 ? 1 : 0;
}

function printInboxes({ inboxes }: Inboxes): void {
  const views = inboxes.map(({ view }) => view);
  const digits = shownDigits(
    views.flatMap(({ pending, grants }) => [...pending, ...grants].map(({ ticket }) => ticket)),
  );
  const pending = views.flatMap(({ bottle, now, pending }) =>
    pending.map((each) => ({ ...each, bottle, now })),
  );
  const grants = views.flatMap(({ bottle, now, grants }) => grants.map((each) => ({ ...each, bottle, now })));
  printTable(
    ["TICKET", "BOTTLE", "WAITS", "REFUSED IN", "WOULD NEWLY BE POSSIBLE"],
    pending
      .sort((a, b) => b.now - b.at - (a.now - a.at))
      .map((each) => [
        each.ticket.slice(0, digits),
        each.bottle,
        durationText(each.now - each.at),
        durationText(each.deadline - each.now),
        summaryOf(each),
      ]),
  );
  printTable(
    ["GRANT", "BOTTLE", "GIVEN BY", "LEFT", "NEWLY POSSIBLE WITH IT"],
    grants.map((each) => [
      each.ticket.slice(0, digits),
      each.bottle,
      printable(each.by),
      remainderOf(each, each.now),
      grantSummary(each),
    ]),
  );
  for (const { bottle, frozen, lack } of views) {
    if (lack !== undefined) tell(printable(lack, 1_000));
    if (frozen) tell(`${bottle} is frozen; bottle thaw ${bottle} ends that`);
  }
  if (pending.length > 0)
    tell("bottle inbox show <ticket> tells all of one; approve, edit or deny answers it");
  else tell("nothing waits for you");
}
