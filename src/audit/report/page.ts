/**
 * What a report holds, before it is Markdown or HTML. A plain string is data: it may have come from a guest or an
 * upstream, so each writer shows it where nothing in it counts for markup. Only {@link own} marks our own words.
 */
import { printable } from "../../lib/printable.ts";
import type { Entry } from "../entry.ts";

export type Cell = string | Own;
export interface Own {
  readonly own: string;
}

export interface Section {
  readonly title: string;
  /** Instead of a table without rows. */
  readonly empty: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
  /** Rows that there is no room for. */
  readonly omitted: number;
}

export interface Page {
  readonly bottle: string;
  /** Of the log: whether it is as it was written. */
  readonly verdict: { readonly sound: boolean; readonly text: string; readonly problems: readonly string[] };
  readonly facts: readonly (readonly [string, Cell])[];
  readonly sections: readonly Section[];
}

/** One part of the page, made of events as they come: a log may be longer than memory. */
export interface Collector {
  take(entry: Entry): void;
  sections(): readonly Section[];
}

/** Rows of one table: nobody reads more, and a guest can cause as many events as it likes. */
export const MAX_ROWS = 500;
/** Characters of one cell. */
const MAX_CELL = 600;

export function own(text: string): Own {
  return { own: text };
}

/** The first rows of a table, and how many there would have been. */
export function createRows() {
  const rows: (readonly Cell[])[] = [];
  let count = 0;
  return {
    add(row: readonly Cell[]): void {
      count += 1;
      if (rows.length < MAX_ROWS) rows.push(row);
    },
    section(title: string, columns: readonly string[], empty: string): Section {
      return { title, columns, empty, rows, omitted: count - rows.length };
    },
  };
}

/** Data as a cell shows it: one line, nothing that a terminal or a reader's eye obeys. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return "";
  return printable(typeof value === "string" ? value : (JSON.stringify(value) ?? ""), MAX_CELL);
}

/** A member of an event's data, if it is text; a log may hold anything. */
export function textOf(data: Entry["data"], name: string): string {
  const value = data[name];
  return typeof value === "string" ? value : "";
}

export function numberOf(data: Entry["data"], name: string): number {
  const value = data[name];
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}

export function textsOf(data: Entry["data"], name: string): readonly string[] {
  const value = data[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === "string") : [];
}

/** How often an event stands for: those of a flood are told together. */
export function timesOf(data: Entry["data"]): number {
  return Math.max(1, numberOf(data, "count"));
}

/** `2030-01-02 03:04:05`, UTC. */
export function timeText(time: string): Own {
  return own(time.replace("T", " ").slice(0, 19));
}

export function instantText(milliseconds: number): Own {
  const date = new Date(milliseconds);
  return Number.isNaN(date.getTime()) ? own("?") : timeText(date.toISOString());
}

export function sizeText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1_024 && unit < units.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ""}`;
}

export function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
