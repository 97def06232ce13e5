/** What the screen shows, as a value; what follows from it without being kept. */
import type { Ask } from "../../contract/approvals.ts";
import type { ActiveGrant, InboxView, Pending } from "../../keeper/inbox-protocol.ts";
import { printable } from "../../lib/printable.ts";
import type { Lifetime } from "../inbox/lifetime.ts";
import { textWidth, wrapped } from "../inbox/text-width.ts";
import { grantPassages, grantSummary, type Passage, passagesOf, summaryOf } from "../inbox/words.ts";

export interface Size {
  readonly rows: number;
  readonly columns: number;
}

/** A page of passages that is read, scrolled, and perhaps answered. */
export interface Sheet {
  readonly title: string;
  readonly passages: readonly Passage[];
  /** The first line that is shown. */
  readonly scroll: number;
  /** So many lines of it were really on the screen. What was not cannot be approved (I6). */
  readonly seen: number;
}

/** What an approval names: as it was when it was opened, whatever happens meanwhile. */
export interface Subject {
  readonly bottle: string;
  readonly ticket: string;
  readonly digest: string;
  readonly isPush: boolean;
  /** Of a request: what would be given. */
  readonly ask?: Ask;
  readonly isEdited: boolean;
}

export type Mode =
  | { readonly kind: "list" }
  | { readonly kind: "help" }
  | { readonly kind: "filter" }
  | { readonly kind: "details"; readonly sheet: Sheet; readonly key: string }
  | { readonly kind: "approve"; readonly sheet: Sheet; readonly subject: Subject; readonly input: string }
  /** What would be written into a manifest, before it is. */
  | { readonly kind: "always"; readonly sheet: Sheet; readonly subject: Subject }
  | {
      readonly kind: "reason";
      readonly what: "deny" | "revoke" | "freeze";
      readonly bottle: string;
      /** Not of a freeze. */
      readonly ticket?: string;
      readonly about: string;
      readonly input: string;
    };

export interface State {
  readonly size: Size;
  readonly now: number;
  /** By name. */
  readonly views: readonly InboxView[];
  readonly filter: string;
  /** What the cursor is on, and where it was when that was last there. */
  readonly selected: string | undefined;
  readonly position: number;
  readonly mode: Mode;
  readonly message: { readonly text: string; readonly isFailure: boolean } | undefined;
}

export type Item =
  | {
      readonly kind: "pending";
      readonly key: string;
      readonly view: InboxView;
      readonly pending: Pending;
    }
  | { readonly kind: "bottle"; readonly key: string; readonly view: InboxView }
  | { readonly kind: "grant"; readonly key: string; readonly view: InboxView; readonly grant: ActiveGrant };

export type Effect =
  | {
      readonly kind: "approve";
      readonly subject: Subject;
      /** Absent for a push. */
      readonly lifetime?: Lifetime;
    }
  | { readonly kind: "plan-always"; readonly subject: Subject }
  | { readonly kind: "approve-always"; readonly subject: Subject }
  | { readonly kind: "edit"; readonly view: InboxView; readonly pending: Pending }
  | {
      readonly kind: "deny" | "revoke";
      readonly bottle: string;
      readonly ticket: string;
      readonly reason: string;
    }
  | { readonly kind: "freeze"; readonly bottle: string; readonly reason: string }
  | { readonly kind: "thaw"; readonly bottle: string }
  | { readonly kind: "redraw" | "suspend" | "quit" };

export const LIST: Mode = { kind: "list" };

export function initialState(size: Size, now: number): State {
  return {
    ...{ size, now, views: [], filter: "", selected: undefined, position: 0 },
    ...{ mode: LIST, message: undefined },
  };
}

/** What the cursor moves over: what waits, oldest first; then each bottle with what it was given. */
export function itemsOf({ views, filter }: Pick<State, "views" | "filter">): readonly Item[] {
  const wanted = filter.toLowerCase();
  const has = (...texts: readonly (string | undefined)[]): boolean =>
    wanted === "" || texts.some((text) => text?.toLowerCase().includes(wanted));
  const isOf = ({ bottle, agent, label }: InboxView): boolean => has(bottle, agent, label);
  const pending = views
    .flatMap((view) =>
      view.pending
        .filter((each) => isOf(view) || has(each.ticket, summaryOf(each)))
        .map((each): Item & { kind: "pending" } => ({
          ...{ kind: "pending", key: `pending ${each.ticket}`, view, pending: each },
        })),
    )
    .sort((a, b) => a.pending.at - b.pending.at);
  const bottles = views.flatMap((view): readonly Item[] => {
    const grants = view.grants
      .filter((each) => isOf(view) || has(each.ticket, grantSummary(each)))
      .map((each): Item => ({ kind: "grant", key: `grant ${each.ticket}`, view, grant: each }));
    if (grants.length === 0 && !isOf(view)) return [];
    return [{ kind: "bottle", key: `bottle ${view.bottle}`, view }, ...grants];
  });
  return [...pending, ...bottles];
}

/** Where the cursor is: on what it was on, else where that was. -1 when there is nothing. */
export function cursorIn(
  items: readonly Item[],
  { selected, position }: Pick<State, "selected" | "position">,
): number {
  const there = items.findIndex(({ key }) => key === selected);
  return there >= 0 ? there : Math.min(position, items.length - 1);
}

export function passagesOfItem(item: Item, now: number): readonly Passage[] {
  switch (item.kind) {
    case "pending":
      return passagesOf(item.pending);
    case "grant":
      return grantPassages(item.grant, now);
    case "bottle": {
      const { frozen, lack, pending, grants } = item.view;
      return [
        {
          heading: frozen ? "frozen: nothing leaves it" : "running",
          lines: [
            ...(lack === undefined ? [] : [printable(lack, 1_000)]),
            `waiting: ${pending.length}`,
            `given: ${grants.length}`,
          ],
          kind: frozen ? "warning" : "fact",
        },
      ];
    }
  }
}

export interface SheetLine {
  readonly text: string;
  readonly kind: Passage["kind"] | "heading";
}

/** @returns the lines, and how many of them an approval is about: all but the agent's words, which come last. */
export function sheetLines(
  passages: readonly Passage[],
  columns: number,
): { readonly lines: readonly SheetLine[]; readonly binding: number } {
  const lines: SheetLine[] = [];
  let binding = 0;
  for (const { heading, lines: texts, kind } of passages) {
    for (const text of wrapped(heading, columns))
      lines.push({ text, kind: kind === "warning" ? kind : "heading" });
    const prefix = kind === "agent" ? "  | " : "  ";
    for (const text of texts)
      for (const part of wrapped(text, columns - textWidth(prefix)))
        lines.push({ text: prefix + part, kind });
    if (kind !== "agent") binding = lines.length;
  }
  return { lines, binding };
}

/** Lines of a sheet that fit: a title above; below it what is typed, and what the keys do. */
export function sheetRoom({ rows }: Size): number {
  return Math.max(1, rows - 4);
}
