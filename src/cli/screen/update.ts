/** What a key, a bottle's news or an answer's outcome makes of the screen. Pure: what is to be done comes back as effects. */
import type { InboxView, Pending, Preview } from "../../keeper/inbox-protocol.ts";
import { UserError, unreachable } from "../../lib/errors.ts";
import { type Lifetime, lifetimeFrom } from "../inbox/lifetime.ts";
import { bottleText, grantSummary, type Passage, passagesOf, summaryOf } from "../inbox/words.ts";
import { characterOf, isNamed, type Key } from "./keys.ts";
import { newSheet, noted, resized, type Step, scrolled, unseen } from "./sheets.ts";
import {
  cursorIn,
  type Effect,
  type Item,
  itemsOf,
  LIST,
  type Mode,
  passagesOfItem,
  type Size,
  type State,
  type Subject,
} from "./state.ts";

export type ScreenEvent =
  | { readonly kind: "key"; readonly key: Key }
  | { readonly kind: "view"; readonly view: InboxView }
  | { readonly kind: "gone"; readonly bottle: string }
  | { readonly kind: "tick"; readonly now: number }
  | { readonly kind: "size"; readonly size: Size }
  /** This state was put on the terminal. */
  | { readonly kind: "drawn"; readonly state: State }
  | { readonly kind: "done" | "failed"; readonly text: string }
  | { readonly kind: "edited"; readonly bottle: string; readonly ticket: string; readonly preview: Preview }
  | { readonly kind: "always"; readonly subject: Subject; readonly passages: readonly Passage[] };

/** Of a typed line: a reason is at most as long as what the keeper takes. */
const MAX_INPUT = 500;

export function update(state: State, event: ScreenEvent): Step {
  switch (event.kind) {
    case "key":
      return pressed({ ...state, message: undefined }, event.key);
    case "view": {
      const others = state.views.filter(({ bottle }) => bottle !== event.view.bottle);
      const views = [...others, event.view].sort((a, b) => (a.bottle < b.bottle ? -1 : 1));
      return only(settled(state, { views }));
    }
    case "gone":
      return only(settled(state, { views: state.views.filter(({ bottle }) => bottle !== event.bottle) }));
    case "tick":
      return only({ ...state, now: event.now });
    case "size":
      return only(resized(state, event.size));
    case "drawn":
      return only(noted(state, event.state));
    case "done":
    case "failed":
      return only({ ...state, message: { text: event.text, isFailure: event.kind === "failed" } });
    case "edited": {
      const { bottle, ticket, preview } = event;
      const lines = preview.described.length === 0 ? ["nothing"] : preview.described;
      const heading = "as you wrote it, would newly be possible";
      const sheet = newSheet(`approve what you wrote, for ${bottle}?`, [{ heading, lines, kind: "fact" }]);
      const { ask, digest } = preview;
      const subject = { bottle, ticket, digest, isPush: false, ask, isEdited: true };
      return only({ ...state, mode: { kind: "approve", sheet, subject, input: "" } });
    }
    case "always": {
      const { subject, passages } = event;
      const sheet = newSheet(`write this, and approve it for ${subject.bottle}?`, passages);
      return only({ ...state, mode: { kind: "always", sheet, subject } });
    }
    default:
      return unreachable(event);
  }
}

function only(state: State): Step {
  return { state, effects: [] };
}

/**
 * The cursor stays on what it was moved to; when that has gone, where it was. Until it was moved it is at the top: the
 * bottles' first news come in any order, and whichever is first must not hold it.
 */
function settled(state: State, change: Partial<State>): State {
  const at = cursorIn(itemsOf(state), state);
  const next = { ...state, ...change, position: Math.max(0, at) };
  if (state.selected === undefined) return next;
  const items = itemsOf(next);
  const item = items[cursorIn(items, next)];
  return { ...next, selected: item?.key };
}

function pressed(state: State, key: Key): Step {
  if (key.kind === "named") {
    if (key.name === "interrupt") return { state, effects: [{ kind: "quit" }] };
    if (key.name === "redraw") return { state, effects: [{ kind: "redraw" }] };
    if (key.name === "suspend") return { state, effects: [{ kind: "suspend" }] };
  }
  const { mode } = state;
  switch (mode.kind) {
    case "list":
      return pressedInList(state, key);
    case "help":
      return only({ ...state, mode: LIST });
    case "filter":
      return pressedInFilter(state, key);
    case "details":
      return pressedInDetails(state, mode, key);
    case "approve":
      return pressedInApproval(state, mode, key);
    case "always":
      return pressedInAlways(state, mode, key);
    case "reason":
      return pressedInReason(state, mode, key);
    default:
      return unreachable(mode);
  }
}

function pressedInList(state: State, key: Key): Step {
  const items = itemsOf(state);
  const at = cursorIn(items, state);
  const item = items[at];
  const goTo = (index: number): Step => {
    const position = Math.max(0, Math.min(index, items.length - 1));
    return only({ ...state, position, selected: items[position]?.key });
  };
  const character = characterOf(key);
  if (character === "j" || isNamed(key, "down")) return goTo(at + 1);
  if (character === "k" || isNamed(key, "up")) return goTo(at - 1);
  if (character === "g" || isNamed(key, "home")) return goTo(0);
  if (character === "G" || isNamed(key, "end")) return goTo(items.length - 1);
  if (isNamed(key, "page-down")) return goTo(at + Math.max(1, state.size.rows - 6));
  if (isNamed(key, "page-up")) return goTo(at - Math.max(1, state.size.rows - 6));
  if (isNamed(key, "tab")) {
    const first = items.findIndex(({ kind }) => kind !== "pending");
    return goTo(item?.kind === "pending" && first >= 0 ? first : 0);
  }
  if (isNamed(key, "end-of-input") || character === "q") return { state, effects: [{ kind: "quit" }] };
  if (character === "?") return only({ ...state, mode: { kind: "help" } });
  if (character === "/") return only({ ...state, mode: { kind: "filter" } });
  if (isNamed(key, "escape")) return only(settled(state, { filter: "" }));
  if (item === undefined) return only(state);
  if (isNamed(key, "enter", "right")) {
    const sheet = newSheet(titleOf(item), passagesOfItem(item, state.now));
    return only({ ...state, mode: { kind: "details", sheet, key: item.key } });
  }
  return answered(state, item, character);
}

/** The keys that answer, of a list and of details alike. */
function answered(state: State, item: Item, character: string): Step {
  const say = (text: string): Step => only({ ...state, message: { text, isFailure: true } });
  const { view } = item;
  const { bottle } = view;
  switch (character) {
    case "a":
      if (item.kind !== "pending") return say("only what waits can be approved");
      return only({ ...state, mode: approvalOf(view, item.pending) });
    case "e":
      if (item.kind !== "pending" || item.pending.kind === "push") return say("only a request can be edited");
      return { state: { ...state, mode: LIST }, effects: [{ kind: "edit", view, pending: item.pending }] };
    case "d": {
      if (item.kind !== "pending") return say("only what waits can be denied");
      const { ticket } = item.pending;
      const about = summaryOf(item.pending);
      return only({ ...state, mode: { kind: "reason", what: "deny", bottle, ticket, about, input: "" } });
    }
    case "r": {
      if (item.kind !== "grant") return say("only what was given can be revoked: it stands below its bottle");
      const { ticket } = item.grant;
      const about = grantSummary(item.grant);
      return only({ ...state, mode: { kind: "reason", what: "revoke", bottle, ticket, about, input: "" } });
    }
    case "f":
      if (view.frozen) return say(`${bottle} is frozen already; t ends that`);
      return only({
        ...state,
        mode: { kind: "reason", what: "freeze", bottle, about: bottleText(view), input: "" },
      });
    case "t":
      return view.frozen ? { state, effects: [{ kind: "thaw", bottle }] } : say(`${bottle} is not frozen`);
    default:
      return only(state);
  }
}

function approvalOf(view: InboxView, pending: Pending): Mode {
  const { ticket, digest } = pending;
  const subject: Subject = {
    ...{ bottle: view.bottle, ticket, digest, isPush: pending.kind === "push", isEdited: false },
    ...(pending.kind === "request" && { ask: pending.ask }),
  };
  const sheet = newSheet(`approve, for ${bottleText(view)}?`, passagesOf(pending));
  return { kind: "approve", sheet, subject, input: "" };
}

function titleOf(item: Item): string {
  switch (item.kind) {
    case "pending":
      return `${item.pending.ticket}  ${bottleText(item.view)}`;
    case "grant":
      return `${item.grant.ticket}  given to ${bottleText(item.view)}`;
    case "bottle":
      return bottleText(item.view);
  }
}

function pressedInDetails(state: State, mode: Extract<Mode, { kind: "details" }>, key: Key): Step {
  const character = characterOf(key);
  const arrow: Key =
    character === "j"
      ? { kind: "named", name: "down" }
      : character === "k"
        ? { kind: "named", name: "up" }
        : key;
  const moved = scrolled(state, mode, arrow);
  if (moved !== undefined) return moved;
  if (character === "q" || isNamed(key, "escape", "enter", "left", "end-of-input"))
    return only({ ...state, mode: LIST });
  const item = itemsOf(state).find((each) => each.key === mode.key);
  if (item === undefined) return only({ ...state, mode: LIST, message: GONE });
  return answered(state, item, character);
}

const GONE = { text: "it is not there any more", isFailure: true } as const;

function pressedInApproval(state: State, mode: Extract<Mode, { kind: "approve" }>, key: Key): Step {
  const { subject, input } = mode;
  const moved = scrolled(state, mode, key);
  if (moved !== undefined) return moved;
  if (isNamed(key, "escape", "end-of-input")) return only({ ...state, mode: LIST });
  if (!isNamed(key, "enter")) return only({ ...state, mode: { ...mode, input: typed(input, key) } });
  const more = unseen(state, mode);
  if (more !== undefined) return more;
  if (subject.isPush) {
    const isYes = ["", "y", "yes"].includes(input.trim().toLowerCase());
    return { state: { ...state, mode: LIST }, effects: isYes ? [{ kind: "approve", subject }] : [] };
  }
  let lifetime: Lifetime;
  try {
    lifetime = lifetimeFrom(input);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const text = "write once, 30m, 2h, 1d, session or always";
    return only({ ...state, message: { text, isFailure: true } });
  }
  const effect: Effect =
    lifetime.kind === "always" ? { kind: "plan-always", subject } : { kind: "approve", subject, lifetime };
  return { state: { ...state, mode: LIST }, effects: [effect] };
}

function pressedInAlways(state: State, mode: Extract<Mode, { kind: "always" }>, key: Key): Step {
  const moved = scrolled(state, mode, key);
  if (moved !== undefined) return moved;
  if (characterOf(key) === "y") {
    const effect: Effect = { kind: "approve-always", subject: mode.subject };
    return unseen(state, mode) ?? { state: { ...state, mode: LIST }, effects: [effect] };
  }
  const leaves = isNamed(key, "escape", "end-of-input") || ["n", "q"].includes(characterOf(key));
  return only(leaves ? { ...state, mode: LIST } : state);
}

function pressedInReason(state: State, mode: Extract<Mode, { kind: "reason" }>, key: Key): Step {
  if (isNamed(key, "escape", "end-of-input")) return only({ ...state, mode: LIST });
  if (!isNamed(key, "enter")) return only({ ...state, mode: { ...mode, input: typed(mode.input, key) } });
  const { what, bottle, ticket = "" } = mode;
  const reason = mode.input.trim();
  const effect: Effect =
    what === "freeze" ? { kind: what, bottle, reason } : { kind: what, bottle, ticket, reason };
  return { state: { ...state, mode: LIST }, effects: [effect] };
}

function pressedInFilter(state: State, key: Key): Step {
  if (isNamed(key, "enter", "down")) return only({ ...state, mode: LIST });
  if (isNamed(key, "escape", "end-of-input")) return only({ ...settled(state, { filter: "" }), mode: LIST });
  return only(settled(state, { filter: typed(state.filter, key) }));
}

function typed(input: string, key: Key): string {
  switch (key.kind) {
    case "character":
      return (input + key.text).slice(0, MAX_INPUT);
    case "pasted":
      return (input + key.text.replace(/[\s\p{Cc}]+/gu, " ")).slice(0, MAX_INPUT);
    case "named":
      if (key.name === "backspace") return [...input].slice(0, -1).join("");
      if (key.name === "clear-word") return input.replace(/\S*\s*$/, "");
      return key.name === "clear-line" ? "" : input;
  }
}
