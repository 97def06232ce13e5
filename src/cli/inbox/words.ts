/**
 * What waits, as the operator reads it. What an approval would do is shown from the keeper's computed difference. What
 * the agent wrote (its justification, the subjects of its commits) stands in passages of its own and is marked as the
 * agent's, so that none of it can pass for a fact; nothing here holds a character that a terminal would obey.
 */
import { describeAsk } from "../../approvals/ask-words.ts";
import { warningsOfHost } from "../../approvals/asked-host.ts";
import { ASK_LIMITS } from "../../contract/approvals.ts";
import type { ActiveGrant, InboxView, Pending } from "../../keeper/inbox-protocol.ts";
import { unreachable } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { LIFELONG } from "./lifetime.ts";
import { durationText, sizeText } from "./quantities.ts";

export interface Passage {
  readonly heading: string;
  /** One line each, of any length. */
  readonly lines: readonly string[];
  readonly kind: "fact" | "warning" | "agent";
}

/** A path, a ref or a subject with words around it. */
const LINE_LENGTH = 2 * ASK_LIMITS.itemLength;
/** Of each list of a push: what nobody reads to its end is not read at all. */
const SHOWN_ITEMS = 50;
const ID_LENGTH = 10;

function shown(text: string): string {
  return printable(text, LINE_LENGTH);
}

/** Nothing is cut of what an approval is about: what stands last on a line, such as a credential, counts as the rest does. */
function whole(text: string): string {
  return printable(text, text.length);
}

/** One line, for a list. */
export function summaryOf(pending: Pending): string {
  switch (pending.kind) {
    case "request": {
      const [first, ...more] = pending.described;
      if (first === undefined) return `nothing new (${describeAsk(pending.ask)})`;
      return shown(first) + (more.length === 0 ? "" : `, and ${more.length} more`);
    }
    case "push": {
      const { repo, updates, commitCount } = pending.review;
      const [first, ...more] = updates;
      const refs = first === undefined ? "" : `: ${shown(first.ref)}`;
      const others = more.length === 0 ? "" : ` and ${more.length} more`;
      return `push to ${shown(repo)}${refs}${others}, ${counted(commitCount, "commit")}`;
    }
    default:
      return unreachable(pending);
  }
}

/** What an approval of it would mean, whole. */
export function passagesOf(pending: Pending): readonly Passage[] {
  switch (pending.kind) {
    case "request": {
      const { ask, described, justification } = pending;
      const none = ["nothing: the bottle may do all of it already"];
      const warnings = "host" in ask ? warningsOfHost(ask.host) : [];
      return [
        {
          heading: "would newly be possible",
          lines: described.length === 0 ? none : described.map(whole),
          kind: "fact",
        },
        ...(warnings.length === 0
          ? []
          : [{ heading: "mind", lines: warnings.map(shown), kind: "warning" as const }]),
        { heading: "asked for", lines: [describeAsk(ask)], kind: "fact" },
        agentWords([justification]),
      ];
    }
    case "push": {
      const { repo, updates, commits, commitCount, files, fileCount } = pending.review;
      return [
        {
          heading: `would be pushed to ${shown(repo)}`,
          lines: updates.map(({ ref, old, new: now }) => `${shown(ref)}  ${shortId(old)} -> ${shortId(now)}`),
          kind: "fact",
        },
        {
          heading: counted(fileCount, "changed file"),
          lines: listed(files.map(shown), fileCount),
          kind: "fact",
        },
        {
          ...agentWords(
            listed(
              commits.map(({ id, author, subject }) => `${shortId(id)}  ${author}: ${subject}`),
              commitCount,
            ),
          ),
          heading: `the agent's words, unchecked: ${counted(commitCount, "commit")}`,
        },
      ];
    }
    default:
      return unreachable(pending);
  }
}

function agentWords(words: readonly string[]): Passage {
  const said = words.filter((each) => each.trim() !== "");
  return {
    heading: "the agent's words, unchecked",
    lines: said.length === 0 ? ["(none)"] : said.map((each) => printable(each, ASK_LIMITS.justification)),
    kind: "agent",
  };
}

function listed(lines: readonly string[], count: number): readonly string[] {
  const first = lines.slice(0, SHOWN_ITEMS);
  return count > first.length ? [...first, `and ${count - first.length} more`] : first;
}

/** `claude-ab1cd (claude)`, or with its label. */
export function bottleText({ bottle, agent, label }: Pick<InboxView, "bottle" | "agent" | "label">): string {
  return `${bottle} (${shown(agent)}${label === undefined ? "" : `, ${shown(label)}`})`;
}

/** What is left of a grant: `51 min, 1 use`. */
export function remainderOf({ expiresAt, usesLeft, bytesLeft }: ActiveGrant, now: number): string {
  return [
    expiresAt === null ? LIFELONG : durationText(expiresAt - now),
    ...(usesLeft === null ? [] : [counted(usesLeft, "use")]),
    ...(bytesLeft === null ? [] : [sizeText(bytesLeft)]),
  ].join(", ");
}

/** One line, for a list. */
export function grantSummary({ described, ask }: ActiveGrant): string {
  const [first, ...more] = described;
  return first === undefined
    ? describeAsk(ask)
    : shown(first) + (more.length === 0 ? "" : `, and ${more.length} more`);
}

export function grantPassages(grant: ActiveGrant, now: number): readonly Passage[] {
  return [
    {
      heading: "newly possible with it",
      lines: grant.described.length === 0 ? ["nothing"] : grant.described.map(whole),
      kind: "fact",
    },
    { heading: "given for", lines: [describeAsk(grant.ask)], kind: "fact" },
    {
      heading: "given by",
      lines: [`${shown(grant.by)}, ${durationText(now - grant.at)} ago; left: ${remainderOf(grant, now)}`],
      kind: "fact",
    },
  ];
}

function shortId(id: string): string {
  return /^0+$/.test(id) ? "nothing" : shown(id).slice(0, ID_LENGTH);
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
