/** An ask in words: what was asked for, not what it would change. */
import { ASK_LIMITS, type Ask } from "../contract/approvals.ts";
import { unreachable } from "../lib/errors.ts";
import { printable } from "../lib/printable.ts";
import { environmentParts } from "./allowed.ts";
import { pathInWords } from "./path-words.ts";

/** A list of paths or refs is cut where nobody would read on. */
const SHOWN_LENGTH = 2 * ASK_LIMITS.itemLength;

/** One line, that a terminal may be given. */
export function describeAsk(ask: Ask): string {
  switch (ask.kind) {
    case "host": {
      const methods = ask.methods.length === 0 ? "any method" : ask.methods.join(", ");
      const paths = ask.paths.map(pathInWords);
      return shown(`${methods} on ${ask.host}${paths.length === 0 ? ", any path" : `: ${paths.join(" ")}`}`);
    }
    case "repository": {
      const rights = ["push", ...(ask.force ? ["force-push"] : []), ...(ask.delete ? ["delete"] : [])];
      return shown(`${rights.join(", ")} in ${ask.repo}: ${ask.refs.join(" ")}`);
    }
    case "environment":
      return shown(
        `in its environment ${environmentParts(ask)
          .map(({ what, name }) => `${what} ${name}`)
          .join(", ")}`,
      );
    case "finding":
      return shown(`that finding ${ask.finding} (${ask.detector}) passes to ${ask.host}`);
    case "git-exception":
      return shown(`that ${ask.code} is lifted in ${ask.repo}: ${ask.subjects.join(" ")}`);
    default:
      return unreachable(ask);
  }
}

function shown(text: string): string {
  return printable(text, SHOWN_LENGTH);
}
