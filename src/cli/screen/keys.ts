/**
 * Keys, out of the bytes that a terminal sends. What is pasted is text and never a key: a clipboard that holds `a` and
 * a newline approves nothing.
 */
import { StringDecoder } from "node:string_decoder";

const NAMES = [
  ...["up", "down", "left", "right", "home", "end", "page-up", "page-down", "enter", "escape", "tab"],
  ...["backspace", "interrupt", "end-of-input", "clear-line", "clear-word", "redraw", "suspend"],
] as const;
export type KeyName = (typeof NAMES)[number];

export type Key =
  | { readonly kind: "named"; readonly name: KeyName }
  /** One character that was typed. */
  | { readonly kind: "character"; readonly text: string }
  | { readonly kind: "pasted"; readonly text: string };

/** The final byte of a cursor key's sequence, `CSI A` or `SS3 A`. */
const LETTERS: Readonly<Record<string, KeyName>> = {
  A: "up",
  B: "down",
  C: "right",
  D: "left",
  H: "home",
  F: "end",
};
/** `CSI 5 ~` */
const NUMBERS: Readonly<Record<string, KeyName>> = {
  1: "home",
  4: "end",
  5: "page-up",
  6: "page-down",
  7: "home",
  8: "end",
};
const CONTROLS: Readonly<Record<string, KeyName>> = {
  "\x03": "interrupt",
  "\x04": "end-of-input",
  "\b": "backspace",
  "\x7f": "backspace",
  "\t": "tab",
  "\r": "enter",
  "\n": "enter",
  "\x0c": "redraw",
  "\x15": "clear-line",
  "\x17": "clear-word",
  "\x1a": "suspend",
  // Emacs's, which every shell has.
  "\x0e": "down",
  "\x10": "up",
};

const SEQUENCE = /^\x1b(?:\[(?<params>[0-?]*)[ -/]*(?<final>[@-~])|O(?<single>[ -~]))/;
/** The beginning of one, whose rest comes with the next read. */
const UNFINISHED = /^\x1b(?:\[[0-?]*[ -/]*|O)?$/;
/** No terminal sends a longer one: what does not end is no key. */
const MAX_SEQUENCE = 64;
const PASTE_END = "\x1b[201~";
/** More than a reason or a filter takes. */
const MAX_PASTE = 8_192;

export interface KeyDecoder {
  write(chunk: Buffer): readonly Key[];
  /** What waited for more did not get it: an Escape was typed by itself. */
  flush(): readonly Key[];
  /** Whether {@link flush} would have something to say. */
  readonly waiting: boolean;
}

export function createKeyDecoder(): KeyDecoder {
  const utf8 = new StringDecoder("utf8");
  let held = "";
  let pasted: string | undefined;

  function next(): Key | "nothing" | "more" {
    if (pasted !== undefined) return nextPasted(pasted);
    if (held.startsWith("\x1b")) return nextSequence();
    const character = String.fromCodePoint(held.codePointAt(0) ?? 0);
    held = held.slice(character.length);
    const name = CONTROLS[character];
    if (name !== undefined) return { kind: "named", name };
    return /^\p{Cc}$/u.test(character) ? "nothing" : { kind: "character", text: character };
  }

  function nextSequence(): Key | "nothing" | "more" {
    const match = SEQUENCE.exec(held);
    if (match === null) {
      if (held.length < MAX_SEQUENCE && UNFINISHED.test(held)) return "more";
      // Escape, then something else: with Alt held down, or typed one after the other.
      held = held.slice(1);
      return { kind: "named", name: "escape" };
    }
    held = held.slice(match[0].length);
    const { params = "", final, single } = match.groups ?? {};
    if (final === "~" && params === "200") {
      pasted = "";
      return "nothing";
    }
    const name = final === "~" ? NUMBERS[params.split(";")[0] ?? ""] : LETTERS[single ?? final ?? ""];
    return name === undefined ? "nothing" : { kind: "named", name };
  }

  function nextPasted(before: string): Key | "nothing" | "more" {
    const end = held.indexOf(PASTE_END);
    // As much of the end's sign as may be the beginning of it stays.
    const kept = end >= 0 ? 0 : beginningOfEnd(held);
    const text = end >= 0 ? held.slice(0, end) : held.slice(0, held.length - kept);
    held = end >= 0 ? held.slice(end + PASTE_END.length) : held.slice(held.length - kept);
    pasted = (before + text).slice(0, MAX_PASTE);
    if (end < 0) return "more";
    const whole = pasted;
    pasted = undefined;
    return { kind: "pasted", text: whole };
  }

  function all(): readonly Key[] {
    const keys: Key[] = [];
    while (held !== "") {
      const key = next();
      if (key === "more") break;
      if (key !== "nothing") keys.push(key);
    }
    return keys;
  }

  return {
    get waiting() {
      return pasted === undefined && held.startsWith("\x1b");
    },
    write(chunk) {
      held += utf8.write(chunk);
      return all();
    },
    flush() {
      if (pasted !== undefined || !held.startsWith("\x1b")) return [];
      held = held.slice(1);
      return [{ kind: "named", name: "escape" }, ...all()];
    },
  };
}

function beginningOfEnd(text: string): number {
  for (let length = Math.min(PASTE_END.length - 1, text.length); length > 0; length--)
    if (PASTE_END.startsWith(text.slice(text.length - length))) return length;
  return 0;
}

export function isNamed(key: Key, ...names: readonly KeyName[]): boolean {
  return key.kind === "named" && names.includes(key.name);
}

export function characterOf(key: Key): string {
  return key.kind === "character" ? key.text : "";
}
