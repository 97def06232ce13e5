/** What waits, printed whole: for `inbox show`, and before a question is asked about it. */
import type { InboxView, Pending } from "../../keeper/inbox-protocol.ts";
import { durationText } from "./quantities.ts";
import { wrapped } from "./text-width.ts";
import { bottleText, type Passage, passagesOf } from "./words.ts";

/** Of a stream that is no terminal, and says nothing of its width. */
const USUAL_WIDTH = 100;

/** @param write takes one line. */
export function showPending(
  { view, pending }: { readonly view: InboxView; readonly pending: Pending },
  write: (line: string) => void,
): void {
  const { now } = view;
  const kind = pending.kind === "push" ? "a push" : "a request";
  write(`${pending.ticket}  ${kind} of ${bottleText(view)}`);
  write(
    `asked ${durationText(now - pending.at)} ago; without an answer it is refused in ${durationText(pending.deadline - now)}`,
  );
  if (view.frozen) write("the bottle is frozen: nothing that is given takes effect before bottle thaw");
  showPassages(passagesOf(pending), write);
  write(`  digest ${pending.digest}`);
}

export function showPassages(passages: readonly Passage[], write: (line: string) => void): void {
  const width = (process.stdout.columns ?? process.stderr.columns ?? USUAL_WIDTH) - 1;
  for (const { heading, lines, kind } of passages) {
    write(`  ${heading}`);
    const prefix = kind === "agent" ? "    | " : "    ";
    for (const line of lines)
      for (const part of wrapped(line, width - prefix.length)) write(`${prefix}${part}`);
  }
}
