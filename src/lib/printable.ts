/**
 * Text from files, guests and upstreams, made safe to show: no escape sequence reaches the terminal, no
 * line break forges a second line, no bidirectional or invisible character shows one thing and means another.
 */

/** Most texts, which need no second look. */
const PLAIN = /^[ -~]*$/;
/** What a font may leave out is not format characters alone: 256 selectors can stand unseen behind a letter, each a byte of a message. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu;

/** Long enough for a path or a sentence; a screen is not filled by one hostile value. */
const DEFAULT_LENGTH = 200;

/** Each line of `text` so, and not cut: what several parts have said, each of them perhaps a stranger. */
export function printableLines(text: string): string {
  return text
    .split("\n")
    .map((line) => printable(line, Number.POSITIVE_INFINITY))
    .join("\n");
}

/** `text` on one line: what cannot be shown as itself is written `\u{1b}`; cut at `length` characters. */
export function printable(text: string, length: number = DEFAULT_LENGTH): string {
  if (text.length <= length && PLAIN.test(text)) return text;
  const head = text.slice(0, length + 1);
  const safe = head.replace(UNSAFE, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
  return text.length > length ? `${safe.slice(0, length)}…` : safe;
}
