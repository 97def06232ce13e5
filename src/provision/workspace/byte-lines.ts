/** Answers of git's as lists. Names are of any bytes: one character a byte (latin1) keeps them apart. */
import { UserError } from "../../lib/errors.ts";

/** Of a repository that people work in. A guest's answer of nothing but short lines takes thirty times its bytes as a list. */
const MAX_LINES = 2_000_000;

/** The parts between separators that are not empty, one character a byte. @throws UserError when they are too many. */
export function linesOf(bytes: Buffer, separator: "\0" | "\n"): string[] {
  let count = 0;
  for (let at = bytes.indexOf(separator); at >= 0; at = bytes.indexOf(separator, at + 1)) {
    count += 1;
    if (count > MAX_LINES)
      throw new UserError(`git in the guest named more than ${MAX_LINES} things at once`);
  }
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
