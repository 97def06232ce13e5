/**
 * The sequences that an agent's terminal may send to the operator's (terminal-filter.ts), and what undoes all of them.
 * What is listed must be answered by no terminal, and have an end: a state that is the same for all at rest.
 */

type Rest = "h" | "l";

/**
 * DEC private modes that may be set and reset, each with the state it has at rest. Not listed, hence dropped, are
 * those that resize (3, 40), lock or redefine keys (8, 67), hang the terminal (1001), raise the window (1043), or
 * report without being asked (2031, 2048, 5522), and those whose state at rest differs between terminals.
 */
const PRIVATE_MODES: ReadonlyMap<number, Rest> = new Map([
  [1049, "l"], // alternate screen with its cursor: left first, so that the rest concerns the main one
  [1047, "l"],
  [47, "l"],
  [1, "l"], // cursor keys
  [5, "l"], // reverse video: the visible bell
  [7, "h"], // wrap at the right margin
  [9, "l"], // mouse, in all its forms
  [1000, "l"],
  [1002, "l"],
  [1003, "l"],
  [1005, "l"],
  [1006, "l"],
  [1015, "l"],
  [1016, "l"],
  [12, "l"], // blinking cursor
  [25, "h"], // visible cursor
  [66, "l"], // keypad
  [1004, "l"], // focus
  [2004, "l"], // bracketed paste
  [2026, "l"], // synchronized output
]);

/** Insert mode and newline mode. Not the keyboard's lock (2) or local echo (12). */
const ANSI_MODES: ReadonlyMap<number, Rest> = new Map([
  [4, "l"],
  [20, "l"],
]);

export type CsiRule =
  | { readonly kind: "numbers"; readonly most: number }
  | { readonly kind: "attributes" }
  | { readonly kind: "modes"; readonly modes: ReadonlyMap<number, Rest> }
  | { readonly kind: "key-format" };

/** Control sequences by prefix, intermediate bytes and final byte. */
export const CSI_RULES: ReadonlyMap<string, CsiRule> = new Map<string, CsiRule>([
  // Move, insert, delete, erase (scrollback too: a flood of lines loses it as well), scroll, repeat, save, restore.
  // Not tab stops (g, W), which nothing puts back.
  ...[..."@ABCDEFGHIJKLMPSXZ`abdefrsu"].map((final): [string, CsiRule] => [
    final,
    { kind: "numbers", most: 2 },
  ]),
  // With five numbers it is highlight tracking, in which xterm waits for the program and hangs.
  ["T", { kind: "numbers", most: 1 }],
  ["?J", { kind: "numbers", most: 1 }],
  ["?K", { kind: "numbers", most: 1 }],
  ["m", { kind: "attributes" }],
  ["h", { kind: "modes", modes: ANSI_MODES }],
  ["l", { kind: "modes", modes: ANSI_MODES }],
  ["?h", { kind: "modes", modes: PRIVATE_MODES }],
  ["?l", { kind: "modes", modes: PRIVATE_MODES }],
  [" q", { kind: "numbers", most: 1 }], // cursor shape
  ["!p", { kind: "numbers", most: 1 }], // soft reset
  [">m", { kind: "key-format" }],
  // kitty's keyboard: push, pop, set. Its query is ?u.
  [">u", { kind: "numbers", most: 1 }],
  ["<u", { kind: "numbers", most: 1 }],
  ["=u", { kind: "numbers", most: 2 }],
]);

/** What may follow ESC: save, restore, keypad, line moves, full reset; ASCII, British or line drawing as G0 to G3. */
export const ESCAPES: ReadonlySet<string> = new Set([
  ...["7", "8", "=", ">", "D", "E", "M", "c"],
  ...[..."()*+"].flatMap((set) => [`${set}0`, `${set}A`, `${set}B`]),
]);

const atRest = (prefix: string, modes: ReadonlyMap<number, Rest>): string =>
  [...modes].map(([mode, rest]) => `\x1b[${prefix}${mode}${rest}`).join("");

/** Pops more of kitty's keyboard states than its stack can hold, then clears the lowest. */
const KITTY_KEYS_OFF = "\x1b[<99u\x1b[=0u";

/**
 * What to print when the operator's terminal is theirs again. It undoes all that the filter lets through and
 * leaves the cursor on the line where it was; a title stays.
 */
export const TERMINAL_RESET: string = [
  "\x1b\\", // ends a sequence that was cut off with the connection; nothing otherwise
  KITTY_KEYS_OFF, // each screen has its own
  "\x1b7", // leaving an alternate screen that was never entered would restore some older position
  atRest("?", PRIVATE_MODES),
  KITTY_KEYS_OFF,
  "\x1b[>4m", // modifyOtherKeys
  atRest("", ANSI_MODES),
  "\x1b>", // keypad
  "\x0f\x1b(B\x1b)B\x1b*B\x1b+B", // ASCII in every character set
  "\x1b]8;;\x1b\\", // link
  "\x1b[0m",
  "\x1b[0 q", // cursor shape
  "\x1b7\x1b[r\x1b8", // scroll region; setting it moves the cursor
].join("");
