/** Texts that are read before they are answered: where they are scrolled to, and how much of them was on the screen (I6). */
import type { Passage } from "../inbox/words.ts";
import { isNamed, type Key } from "./keys.ts";
import { type Effect, type Mode, type Sheet, type Size, type State, sheetLines, sheetRoom } from "./state.ts";

export interface Step {
  readonly state: State;
  readonly effects: readonly Effect[];
}

export function newSheet(title: string, passages: readonly Passage[]): Sheet {
  return { title, passages, scroll: 0, seen: 0 };
}

/** Lines break elsewhere, so what was seen has to be seen again. */
export function resized(state: State, size: Size): State {
  const { mode } = state;
  if (!("sheet" in mode)) return { ...state, size };
  return { ...state, size, mode: { ...mode, sheet: { ...mode.sheet, scroll: 0, seen: 0 } } };
}

/** What was drawn has been seen, if it is the same sheet still, at the same size. */
export function noted(state: State, drawn: State): State {
  const { mode, size } = state;
  if (!("sheet" in mode) || !("sheet" in drawn.mode)) return state;
  if (mode.sheet.passages !== drawn.mode.sheet.passages || size !== drawn.size) return state;
  const { scroll } = drawn.mode.sheet;
  // Only what joins on to what was seen before: nobody has read what was leapt over.
  if (scroll > mode.sheet.seen) return state;
  const seen = Math.max(mode.sheet.seen, scroll + sheetRoom(size));
  if (seen === mode.sheet.seen) return state;
  return { ...state, mode: { ...mode, sheet: { ...mode.sheet, seen } } };
}

type ModeWithSheet = Extract<Mode, { readonly sheet: Sheet }>;

/** Undefined for a key that does not scroll. */
export function scrolled(state: State, mode: ModeWithSheet, key: Key): Step | undefined {
  const room = sheetRoom(state.size);
  const { lines } = sheetLines(mode.sheet.passages, state.size.columns);
  const to = (scroll: number): Step => {
    const most = Math.max(0, lines.length - room);
    const moved = {
      ...state,
      mode: { ...mode, sheet: { ...mode.sheet, scroll: Math.max(0, Math.min(scroll, most)) } },
    };
    return { state: moved, effects: [] };
  };
  const { scroll } = mode.sheet;
  if (isNamed(key, "down")) return to(scroll + 1);
  if (isNamed(key, "up")) return to(scroll - 1);
  if (isNamed(key, "page-down")) return to(scroll + room);
  if (isNamed(key, "page-up")) return to(scroll - room);
  if (isNamed(key, "home")) return to(0);
  if (isNamed(key, "end")) return to(lines.length);
  return undefined;
}

/** Undefined when all that would be approved was on the screen; else the rest of it comes there first. */
export function unseen(state: State, mode: ModeWithSheet): Step | undefined {
  const { sheet } = mode;
  const { binding } = sheetLines(sheet.passages, state.size.columns);
  if (sheet.seen >= binding) return undefined;
  const message = { text: "not all of it was on the screen yet: read on, then Enter", isFailure: true };
  const back = { ...mode, sheet: { ...sheet, scroll: sheet.seen } };
  return { state: { ...state, mode: back, message }, effects: [] };
}
