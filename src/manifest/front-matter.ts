/** Splits `---` YAML `---` body. Line endings may be LF or CRLF; line numbers stay those of the file. */
import type { Place } from "./text-file.ts";

/**
 * Far more than the largest honest bottle. It is checked before any YAML is read: the time and the depth of
 * the parser are bounded by it.
 */
export const MAX_FRONT_MATTER_CHARACTERS = 64 * 1024;

export type FrontMatter =
  | {
      readonly ok: true;
      /** Without its fences. Its first line is line {@link FIRST_YAML_LINE} of the file. */
      readonly yaml: string;
      /** With LF line endings and without white space around it. */
      readonly body: string;
    }
  | { readonly ok: false; readonly place: Place; readonly message: string };

/** Line 1 is the opening fence, always. */
export const FIRST_YAML_LINE = 2;

const FENCE = /^---[ \t]*\r?(?:\n|$)/;
// Not the m flag: it would take a lone carriage return or U+2028 for a line's end, which no editor shows.
const CLOSING_FENCE = /(?:^|\n)---[ \t]*\r?(?=\n|$)/;

export function splitFrontMatter(text: string): FrontMatter {
  const opening = FENCE.exec(text);
  if (opening === null) {
    return refused("has no front matter: the first line must be ---, then YAML, then another ---");
  }
  const rest = text.slice(opening[0].length);
  const closing = CLOSING_FENCE.exec(rest);
  if (closing === null) return refused("front matter begins here and is never closed: add a line ---");
  if (closing.index > MAX_FRONT_MATTER_CHARACTERS) {
    return refused(
      `front matter is longer than ${MAX_FRONT_MATTER_CHARACTERS / 1024} KiB; ` +
        "long text belongs in the body, below the second ---",
    );
  }
  return {
    ok: true,
    yaml: rest.slice(0, closing.index + (closing[0].startsWith("\n") ? 1 : 0)),
    body: rest
      .slice(closing.index + closing[0].length)
      .replace(/\r\n/g, "\n")
      .trim(),
  };
}

function refused(message: string): FrontMatter {
  return { ok: false, place: { line: 1, column: 1 }, message };
}
