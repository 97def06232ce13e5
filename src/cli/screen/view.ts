/** The screen as rows of styled text, each exactly as wide as the terminal. Pure. */
import { unreachable } from "../../lib/errors.ts";
import { printable } from "../../lib/printable.ts";
import { shownDigits } from "../inbox/inboxes.ts";
import { durationText } from "../inbox/quantities.ts";
import { fitted, textWidth } from "../inbox/text-width.ts";
import { bottleText, grantSummary, remainderOf, summaryOf } from "../inbox/words.ts";
import {
  cursorIn,
  type Item,
  itemsOf,
  type Mode,
  passagesOfItem,
  type Sheet,
  type SheetLine,
  type State,
  sheetLines,
  sheetRoom,
} from "./state.ts";

export type Style = "plain" | "title" | "heading" | "dim" | "selected" | "warning" | "agent";

export interface Row {
  /** Exactly as many cells as the terminal has columns. */
  readonly text: string;
  readonly style: Style;
}

interface Line {
  readonly text: string;
  readonly style: Style;
}

/** Exactly `size.rows` rows. */
export function render(state: State): readonly Row[] {
  const { rows, columns } = state.size;
  const lines = linesOf(state).slice(0, rows);
  const blank: Line = { text: "", style: "plain" };
  const filled = [...lines, ...Array.from({ length: rows - lines.length }, () => blank)];
  return filled.map(({ text, style }) => ({ text: fitted(safe(text), columns), style }));
}

/**
 * Whatever was forgotten before: nothing that a terminal obeys gets past here. Enclosing marks go too, because
 * terminals disagree on how wide they make what is before them.
 */
function safe(text: string): string {
  return printable(text, text.length).replace(/\p{Me}/gu, "");
}

function linesOf(state: State): readonly Line[] {
  const { mode } = state;
  switch (mode.kind) {
    case "list":
    case "filter":
    case "reason":
      return mainLines(state, mode);
    case "help":
      return HELP;
    case "details":
      return sheetScreen(state, mode.sheet, [
        messageLine(state),
        hint("j/k scroll   a approve  e edit  d deny  r revoke  f freeze  t thaw   q back"),
      ]);
    case "approve": {
      const { subject, sheet, input } = mode;
      const question = subject.isPush
        ? `let this push through? [Y/n] ${input}_`
        : `for how long? [1h] ${input}_`;
      const keys = subject.isPush
        ? "Enter approves   Esc leaves it waiting"
        : "once, 30m, 2h, 1d, session, always   Enter approves   Esc leaves it waiting";
      const stale = staleText(state, subject.ticket, subject.digest, subject.isEdited);
      const last: Line =
        state.message === undefined && stale === undefined
          ? hint(keys)
          : { text: state.message?.text ?? stale ?? "", style: "warning" };
      return sheetScreen(state, sheet, [{ text: question, style: "heading" }, last]);
    }
    case "always":
      return sheetScreen(state, mode.sheet, [
        messageLine(state),
        hint("y writes the manifest and approves   Esc leaves all as it is"),
      ]);
    default:
      return unreachable(mode);
  }
}

/** What is read may have changed since; the keeper would refuse it, and this says why. */
function staleText(state: State, ticket: string, digest: string, edited: boolean): string | undefined {
  const now = state.views.flatMap(({ pending }) => pending).find((each) => each.ticket === ticket);
  if (now === undefined) return "it is not waiting any more: Esc";
  return edited || now.digest === digest ? undefined : "what it would allow has changed: Esc, and look again";
}

function hint(text: string): Line {
  return { text, style: "dim" };
}

function messageLine({ message }: State): Line {
  if (message === undefined) return { text: "", style: "plain" };
  return { text: message.text, style: message.isFailure ? "warning" : "heading" };
}

function sheetScreen(state: State, sheet: Sheet, below: readonly Line[]): readonly Line[] {
  const room = sheetRoom(state.size);
  const { lines } = sheetLines(sheet.passages, state.size.columns);
  const shown = lines.slice(sheet.scroll, sheet.scroll + room).map(lineOf);
  const rest = lines.length - sheet.scroll - shown.length;
  const more: Line = { text: rest > 0 ? `-- ${rest} more lines --` : "", style: "dim" };
  const blanks = Array.from({ length: room - shown.length }, (): Line => ({ text: "", style: "plain" }));
  return [{ text: sheet.title, style: "title" }, ...shown, ...blanks, more, ...below];
}

function lineOf({ text, kind }: SheetLine): Line {
  switch (kind) {
    case "heading":
      return { text, style: "heading" };
    case "fact":
      return { text, style: "plain" };
    case "warning":
      return { text, style: "warning" };
    case "agent":
      return { text, style: "agent" };
  }
}

function mainLines(
  state: State,
  mode: Extract<Mode, { kind: "list" | "filter" | "reason" }>,
): readonly Line[] {
  const items = itemsOf(state);
  const at = cursorIn(items, state);
  const pending = items.filter(({ kind }) => kind === "pending");
  const others = items.slice(pending.length);
  const rooms = roomsOf(state.size.rows, pending.length, others.length);
  const digits = shownDigits(
    state.views.flatMap((view) => [...view.pending, ...view.grants].map(({ ticket }) => ticket)),
  );
  const lineFor = (item: Item): Line => {
    const isSelected = item === items[at];
    const style: Style = isSelected
      ? "selected"
      : item.view.frozen && item.kind === "bottle"
        ? "warning"
        : "plain";
    return { text: `${isSelected ? ">" : " "} ${itemText(item, state.now, digits)}`, style };
  };
  const panel = (of: readonly Item[], room: number, index: number): readonly Line[] => {
    const start = Math.max(0, Math.min(index - Math.floor(room / 2), of.length - room));
    const shown = of.slice(start, start + room).map(lineFor);
    return [
      ...shown,
      ...Array.from({ length: room - shown.length }, (): Line => ({ text: "", style: "plain" })),
    ];
  };
  const { rows } = state.size;
  const title = titleLine(state, pending.length);
  if (rows < ROOMY_ROWS)
    return [title, ...panel(items, Math.max(1, rows - 3), at), ...bottomLines(state, mode)];
  const selected = items[at];
  const details =
    selected === undefined ? [] : sheetLines(passagesOfItem(selected, state.now), state.size.columns).lines;
  return [
    title,
    ...panel(pending, rooms.pending, at < pending.length ? at : 0),
    ...(rooms.others > 0 ? [rule("bottles, and what they were given", state)] : []),
    ...panel(others, rooms.others, at - pending.length),
    ...(rooms.details > 0 ? [rule(selected === undefined ? "" : selected.key, state)] : []),
    ...Array.from(
      { length: rooms.details },
      (_, i): Line => (details[i] === undefined ? { text: "", style: "plain" } : lineOf(details[i])),
    ),
    ...bottomLines(state, mode),
  ];
}

function rule(title: string, { size }: State): Line {
  const text = title === "" ? "" : `-- ${title} `;
  return { text: text + "-".repeat(Math.max(0, size.columns - textWidth(text))), style: "dim" };
}

/** With fewer there is one list of everything, and Enter for the rest. */
const ROOMY_ROWS = 12;

/** Three panels share what the title, two rules and the two lines at the bottom leave. */
function roomsOf(
  rows: number,
  pending: number,
  others: number,
): { readonly pending: number; readonly others: number; readonly details: number } {
  const room = Math.max(0, rows - 5);
  // The difference is what is decided on: it has a third, and whatever the lists do not need.
  const lists = Math.ceil((room * 2) / 3);
  const below = Math.min(Math.max(1, others), Math.max(1, Math.floor(lists / 3)));
  const above = Math.min(Math.max(1, pending), Math.max(0, lists - below));
  return { pending: above, others: Math.min(below, room), details: Math.max(0, room - above - below) };
}

function titleLine({ views, filter }: State, waiting: number): Line {
  const all = views.reduce((sum, view) => sum + view.pending.length, 0);
  const shown = filter === "" ? String(all) : `${waiting} of ${all}`;
  const bottles = `${views.length} ${views.length === 1 ? "bottle" : "bottles"}`;
  const text = `bottle inbox   waiting: ${shown}   ${bottles}${filter === "" ? "" : `   filter: ${filter}`}`;
  return { text, style: "title" };
}

function itemText(item: Item, now: number, digits: number): string {
  switch (item.kind) {
    case "pending": {
      const { ticket, deadline } = item.pending;
      const left = durationText(deadline - now);
      return `${ticket.slice(0, digits)}  ${left.padStart(6)}  ${item.view.bottle}  ${summaryOf(item.pending)}`;
    }
    case "bottle": {
      const { frozen, pending } = item.view;
      return `${bottleText(item.view)}  ${frozen ? "FROZEN  " : ""}waiting: ${pending.length}`;
    }
    case "grant":
      return `   ${item.grant.ticket.slice(0, digits)}  ${remainderOf(item.grant, now)}  ${grantSummary(item.grant)}`;
  }
}

function bottomLines(
  state: State,
  mode: Extract<Mode, { kind: "list" | "filter" | "reason" }>,
): readonly Line[] {
  switch (mode.kind) {
    case "list":
      return [
        messageLine(state),
        hint("a approve  e edit  d deny  r revoke  f/t freeze/thaw  / filter  ? help  q quit"),
      ];
    case "filter":
      return [
        { text: `/${state.filter}_`, style: "heading" },
        hint("Enter keeps the filter   Esc shows all"),
      ];
    case "reason": {
      const { what, about, input } = mode;
      const question = { deny: "deny", revoke: "revoke", freeze: "freeze" }[what];
      return [
        { text: `${question} ${about}`, style: "warning" },
        { text: `why? (Enter goes on, Esc does not) ${input}_`, style: "heading" },
      ];
    }
  }
}

const HELP: readonly Line[] = [
  { text: "bottle inbox: keys", style: "title" },
  ...[
    "",
    "j k, arrows, g G, PgUp PgDn   move;  Tab  to the bottles and back",
    "Enter   all of it: what would newly be possible, and the agent's words",
    "a   approve: asks for how long (once, 30m, 2h, session, always), an hour if you say nothing",
    "e   change in $EDITOR what is asked for; what that would allow is shown before you are asked",
    "d   deny: asks for the reason, which the agent is told",
    "r   revoke what was given (below its bottle)",
    "f   freeze a bottle: nothing leaves it;  t  thaw",
    "/   filter by host, bottle, agent or ticket;  Esc  shows all",
    "Ctrl-L   draw anew;  q, Ctrl-C   quit",
    "",
    "What would newly be possible is computed; the agent's words stand behind a bar and are not checked.",
    "An approval is for exactly what was on this screen; if that has changed meanwhile it is refused.",
    "",
    "any key goes back",
  ].map((text): Line => ({ text, style: "plain" })),
];
