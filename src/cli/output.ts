/** How commands speak: data on stdout, words for people on stderr, colour only where a terminal wants it. */
import { styleText } from "node:util";
import { codeOf, isLackOfRoom, messageOf, UserError } from "../lib/errors.ts";
import { printableLines } from "../lib/printable.ts";
import { textWidth, wrapped } from "./inbox/text-width.ts";

type Style = Parameters<typeof styleText>[0];

function coloured(stream: NodeJS.WriteStream): boolean {
  return stream.isTTY === true && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
}

/** Styled for stderr, or plain. */
export function style(format: Style, text: string): string {
  return coloured(process.stderr) ? styleText(format, text, { validateStream: false }) : text;
}

/** One line for people. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** One line of data. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(jsonText(value, 2));
}

/** One value on one line: of a stream of them. */
export function printJsonLine(value: unknown): void {
  print(jsonText(value));
}

/** What JSON leaves as it is in a text, and a terminal or an eye does not: C1 has escape sequences of its own. */
const UNSAFE_IN_JSON = /[\x7f-\x9f\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** The same to every program; on a terminal an image's label or an agent's word does nothing. */
export function jsonText(value: unknown, indent = 0): string {
  return JSON.stringify(value, null, indent).replace(UNSAFE_IN_JSON, (character) =>
    character
      .split("")
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
      .join(""),
  );
}

/** Fewer cells than these are no room for a text. */
const LEAST_CELLS = 24;

/**
 * `text` behind `head`; on a terminal in rows that are set in, as many as it takes. A terminal would go on at its edge,
 * where rows begin: what an agent calls a file, or asks for, could pass there for a row of ours.
 */
export function rowsBehind(head: string, text: string, stream: NodeJS.WriteStream): readonly string[] {
  if (stream.isTTY !== true) return [head + text];
  const inset = stream.columns - textWidth(head) < LEAST_CELLS ? 4 : textWidth(head);
  const [first = "", ...more] = wrapped(text, stream.columns - inset).map((row) => " ".repeat(inset) + row);
  return inset === textWidth(head) ? [head + first.slice(inset), ...more] : [head.trimEnd(), first, ...more];
}

/** Columns as wide as they need be, without trailing spaces. No header when there are no rows. */
export function printTable(header: readonly string[], rows: readonly (readonly string[])[]): void {
  if (rows.length === 0) return;
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)));
  for (const row of [header, ...rows]) {
    const cells = row.slice(0, -1).map((cell, i) => `${cell.padEnd(widths[i] ?? 0)}  `);
    for (const line of rowsBehind(cells.join(""), row.at(-1) ?? "", process.stdout)) print(line.trimEnd());
  }
}

/** A step that takes a while: rewritten in place on a terminal, a line each elsewhere. */
export interface ProgressLine {
  show(text: string): void;
  clear(): void;
}

export function progressLine(): ProgressLine {
  const inPlace = process.stderr.isTTY === true && process.env["TERM"] !== "dumb";
  let last = "";
  return {
    show(text) {
      if (text === last) return;
      last = text;
      const width = (process.stderr.columns ?? 80) - 1;
      process.stderr.write(inPlace ? `\r\u001b[K${text.slice(0, width)}` : `${text}\n`);
    },
    clear() {
      if (inPlace && last !== "") process.stderr.write("\r\u001b[K");
      last = "";
    },
  };
}

/** What could not be undone or taken out. */
export function warn(problem: string): void {
  tell(`warning: ${printableLines(problem)}`);
}

/**
 * Says what went wrong and returns the exit code: a {@link UserError} in two lines, a bug with its stack. Whoever wrote
 * the words may have quoted a guest, an image or a parser that quotes either: none of them gets to the terminal.
 */
export function report(error: unknown): number {
  if (error instanceof UserError) {
    tell(`${style("red", "error:")} ${printableLines(error.message)}`);
    if (error.hint !== undefined) tell(`${style("dim", "next:")}  ${printableLines(error.hint)}`);
    return error.exitCode;
  }
  if (codeOf(error) === "EPIPE") return 0;
  if (isLackOfRoom(error)) {
    tell(`${style("red", "error:")} ${printableLines(messageOf(error))}`);
    return 1;
  }
  tell(printableLines(error instanceof Error ? (error.stack ?? error.message) : String(error)));
  tell("this is a bug in bot-bottle, or a system in a state it did not expect");
  return 70;
}
