/** Answers of git's as lists. Names are of any bytes: one character a byte (latin1) keeps them apart. */

/** The parts between separators that are not empty, one character a byte. */
export function linesOf(bytes: Buffer, separator: "\0" | "\n"): string[] {
  return bytes
    .toString("latin1")
    .split(separator)
    .filter((line) => line !== "");
}

/** What is before and after the first `separator`; all of it when there is none. */
export function splitOnce(text: string, separator: string): readonly [string, string] | readonly [string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
