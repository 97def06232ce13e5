/** What differs between two preflights, line by line: for an operator who knows the earlier one. Pure. */
import type { PreflightView } from "./preflight.ts";
import { preflightSections } from "./preflight-text.ts";

/** Lines that begin with `+` or `-`, each with its section's title; what belongs to a line above names that line. */
export function preflightChanges(before: PreflightView, after: PreflightView): readonly string[] {
  const [old, now] = [wholeLines(before), wholeLines(after)];
  return [
    ...old.filter((line) => !now.includes(line)).map((line) => `- ${line}`),
    ...now.filter((line) => !old.includes(line)).map((line) => `+ ${line}`),
  ];
}

function wholeLines(view: PreflightView): readonly string[] {
  return preflightSections(view).flatMap(({ title, lines }) => {
    let head = "";
    return lines.map((line) => {
      if (!line.startsWith(" ")) head = line;
      return `${title}: ${line === head ? line : `${head} ${line.trim()}`}`;
    });
  });
}
