/**
 * Whether a value is assigned to the name a keyword belongs to. Names are dense in source code, and a text of nothing but
 * names would have each one's pattern read the rest of it: so the rest of a name is read once, for all of them.
 */
import { NAMED } from "./detectors/patterns.ts";
import type { Frame } from "./frame.ts";

/** Bytes with which a name goes on, and with which what assigns a value can begin: no byte is both. */
const NAME = /[\w.-]/;
const ASSIGNS = /[\\"'`\]\s=:,>]/;
const BYTES = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
const GOES_ON = Uint8Array.from(BYTES, (character) => (NAME.test(character) ? 1 : 0));
const ASSIGNING = Uint8Array.from(BYTES, (character) => (ASSIGNS.test(character) ? 1 : 0));

/** Whether NAMED follows `keyword` in all matches of a detector's pattern in which it stands. */
export function isNamed(pattern: string, keyword: string): boolean {
  const at = pattern.indexOf(NAMED);
  if (at < 0) return false;
  const open = openingOf(pattern, at - 1);
  // Nothing but names stands before it, or the keyword nowhere else.
  if (open === 0) return true;
  const others = pattern.slice(0, Math.max(0, open)) + pattern.slice(at + NAMED.length);
  return pattern.slice(open, at).includes(keyword) && !others.includes(keyword);
}

/** Where the group begins that is closed at `close`. */
function openingOf(pattern: string, close: number): number {
  let depth = 0;
  for (let i = close; i >= 0; i--) {
    if (pattern[i] === ")") depth++;
    else if (pattern[i] === "(") depth--;
    if (depth === 0) return i;
  }
  return -1;
}

export class AssignmentMemo {
  #bytes: Uint8Array = new Uint8Array(0);
  #from = 0;
  #to = 0;
  #follows = false;

  /** To be called before each text; its bytes end in one that no name goes on with. */
  open(frame: Frame): void {
    this.#bytes = frame.bytes;
    this.#from = 0;
    this.#to = -1;
  }

  /** Whether the name that goes on at `at` (or ends there) is followed by what can assign a value. */
  follows(at: number): boolean {
    if (at >= this.#from && at <= this.#to) return this.#follows;
    const bytes = this.#bytes;
    let end = at;
    while (GOES_ON[bytes[end] as number] === 1) end++;
    this.#from = at;
    this.#to = end;
    this.#follows = ASSIGNING[bytes[end] as number] === 1;
    return this.#follows;
  }
}
