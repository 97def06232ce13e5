/** What the agent asked for, what the operator answered, and what became of what was given. */
import * as z from "zod";
import { type Ask, approvalEventSchemas, askSchema } from "../../contract/approvals.ts";
import {
  type Cell,
  type Collector,
  counted,
  createRows,
  instantText,
  MAX_ROWS,
  own,
  type Section,
  shown,
  sizeText,
  textOf,
  timeText,
} from "./page.ts";

/** Of one ticket: a request, or a push that waited. */
interface Asked {
  readonly time: string;
  readonly asked: string;
  readonly words: string;
  answer: Cell;
  by: string;
  reason: string;
  given: Cell;
  uses: number;
  bytes: number;
  ended: Cell;
  /** Answered, and with anything but a yes. */
  isNo: boolean;
}

export interface Requests extends Collector {
  readonly totals: { readonly asked: number; readonly given: number; readonly denied: number };
}

/** Tickets that are followed; the others are only counted. */
const MAX_TICKETS = MAX_ROWS;

const reviewAsked = z.looseObject({
  ticket: z.string(),
  repo: z.string(),
  updates: z.array(z.looseObject({ ref: z.string() })),
});

/** @param describeAsk an ask in one line of words. */
export function createRequests(describeAsk: (ask: Ask) => string): Requests {
  const tickets = new Map<string, Asked>();
  let [asked, given, denied] = [0, 0, 0];

  function begin(ticket: string, time: string, what: string, words: string): void {
    asked += 1;
    if (tickets.has(ticket)) return;
    // An agent that asks and takes back all day must not push off the page what it was given in the end.
    if (tickets.size >= MAX_TICKETS) tickets.delete([...tickets].find(([, { isNo }]) => isNo)?.[0] ?? "");
    if (tickets.size >= MAX_TICKETS) return;
    const nothing = { by: "", reason: "", given: "", uses: 0, bytes: 0, ended: "", isNo: false };
    tickets.set(ticket, { time, asked: what, words, answer: own("none yet"), ...nothing });
  }

  function settle(ticket: string, change: Partial<Asked>): void {
    const known = tickets.get(ticket);
    if (known !== undefined) Object.assign(known, change);
  }

  return {
    get totals() {
      return { asked, given, denied };
    },
    take({ event, data, time }) {
      const ticket = textOf(data, "ticket");
      const answered = { by: shown(data["by"]), reason: shown(data["reason"] ?? data["note"]) };
      switch (event) {
        case "request.asked": {
          const ask = askSchema.safeParse(data["ask"]);
          const what = ask.success ? describeAsk(ask.data) : shown(data["ask"]);
          begin(ticket, time, what, shown(data["justification"]));
          return;
        }
        case "review.asked": {
          const review = reviewAsked.safeParse(data);
          const refs = review.success ? review.data.updates.map(({ ref }) => ref).join(", ") : "";
          begin(ticket, time, shown(`that a push to ${textOf(data, "repo")} is let through: ${refs}`), "");
          return;
        }
        case "request.approved": {
          given += 1;
          const parsed = approvalEventSchemas[event].safeParse(data);
          const what = parsed.success ? parsed.data.changes.join("; ") : "";
          const terms = parsed.success ? `${termsText(parsed.data.terms)}: ` : "";
          settle(ticket, { ...answered, answer: at("approved", time), given: shown(`${terms}${what}`) });
          return;
        }
        case "review.approved":
          given += 1;
          settle(ticket, { ...answered, answer: at("approved", time) });
          return;
        case "request.denied":
        case "review.refused":
          denied += 1;
          settle(ticket, { ...answered, answer: at("denied", time), isNo: true });
          return;
        case "request.expired":
          denied += 1;
          settle(ticket, { answer: at("nobody answered: no", time), isNo: true });
          return;
        case "request.withdrawn":
          settle(ticket, { answer: at("taken back by the agent", time), isNo: true });
          return;
        case "grant.used": {
          const known = tickets.get(ticket);
          const parsed = approvalEventSchemas[event].safeParse(data);
          if (known === undefined || !parsed.success) return;
          known.uses += parsed.data.uses;
          known.bytes += parsed.data.bytes;
          return;
        }
        case "grant.ended": {
          const by = textOf(data, "by");
          const why = textOf(data, "reason");
          const how = `${textOf(data, "how")}${by === "" ? "" : ` by ${by}`}${why === "" ? "" : `: ${why}`}`;
          settle(ticket, { ended: shown(`${how} (${timeText(time).own})`) });
        }
      }
    },
    sections: () => [sectionOf(tickets, asked)],
  };
}

function sectionOf(tickets: ReadonlyMap<string, Asked>, asked: number): Section {
  const rows = createRows();
  for (const [ticket, each] of tickets) {
    rows.add([
      timeText(each.time),
      shown(ticket.slice(0, 8)),
      each.asked,
      each.words,
      each.answer,
      each.by,
      each.reason,
      each.given,
      own(each.uses === 0 ? "" : `${counted(each.uses, "use")}, ${sizeText(each.bytes)}`),
      each.ended,
    ]);
  }
  const section = rows.section(
    "Asked and given",
    [
      ...["Time", "Ticket", "Asked for", "The agent's words (unchecked)", "Answer", "By"],
      ...["Reason", "Newly allowed", "Counted uses", "Ended"],
    ],
    "Nothing was asked for.",
  );
  return { ...section, omitted: Math.max(0, asked - tickets.size) };
}

function at(what: string, time: string): Cell {
  return own(`${what} (${timeText(time).own})`);
}

function termsText(terms: z.infer<(typeof approvalEventSchemas)["request.approved"]>["terms"]): string {
  const { lifetime, expiresAt, uses, bytes } = terms;
  return [
    lifetime,
    ...(expiresAt === null ? [] : [`until ${instantText(expiresAt).own}`]),
    ...(uses === null ? [] : [counted(uses, "use")]),
    ...(bytes === null ? [] : [`at most ${sizeText(bytes)}`]),
  ].join(", ");
}
