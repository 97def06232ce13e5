/**
 * The pieces detectors' patterns are written with. Every quantifier has an upper bound, and neighbouring
 * pieces share no character, so that no text makes a pattern backtrack for long.
 */

/** Longest name that may go on behind the keyword: `DATADOG` in `DATADOG_PRODUCTION_API_KEY`. */
const NAME_REST = String.raw`[\w.-]{0,40}`;

/**
 * What stands between a name and its value in source code, JSON, YAML, .env files, headers, XML and command
 * lines, with quotes that were escaped once.
 */
const ASSIGNED = String.raw`[\\"'\x60\]]{0,3}\s{0,4}(?:=>|:=|[=:,>]|\s)\s{0,4}[\\"'\x60(]{0,3}`;

/** What stands between a keyword and its value where a name is given one. */
export const NAMED = `${NAME_REST}${ASSIGNED}`;

/** One of `names`, the rest of the name, and what assigns a value to it. */
export function nameOf(names: string): string {
  return `(?:${names})${NAMED}`;
}

/**
 * `value` where it is given to a name that begins with one of `names`: for formats that nothing but their
 * context tells from any other text. The value is the group `secret`.
 */
export function assignedTo(names: string, value: string): string {
  return `${nameOf(names)}(?<secret>${value})`;
}

/** `value` standing alone: neither side continues it. For short or plain formats that longer text may contain. */
export function standalone(value: string): string {
  return `(?<![A-Za-z0-9+/_-])${value}(?![A-Za-z0-9+/_=-])`;
}

/**
 * `least` to `most` characters of `set`, up to where `stop` begins. A text that repeats a secret's beginning would
 * otherwise be read to the longest match again and again: this way each character is read for one beginning only.
 */
export function upTo(stop: string, set: string, least: number, most: number): string {
  return `(?:(?!${stop})${set}){${least},${most}}`;
}

/** A UUID, either case. */
export const UUID = "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}";

/** Line breaks inside base64 as files, source code and JSON have them. */
export const LINE_BREAK = String.raw`(?:\\r|\\n|[\r\n])`;
