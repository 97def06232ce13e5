/**
 * Finds the detach key in what the operator types. Plain terminals send it as one byte; the agent can switch the
 * terminal to other ways of spelling keys (and Claude Code does), in which it comes as a sequence: were those
 * not known here, an agent could hold its operator fast.
 */

/** Ctrl-]: the one key that is not the agent's. As in telnet, and free in shells and editors' insert modes. */
export const DETACH_KEY_NAME = "Ctrl-]";

const PLAIN = "\x1d";
/** Kitty's protocol (`CSI 93 ; 5 u`, with alternates and event types) and xterm's modifyOtherKeys (`CSI 27 ; 5 ; 93 ~`). */
const SPELLED = /\x1b\[(?:93(?::\d*){0,2};(?<kitty>\d{1,3})(?::(?<event>\d))?u|27;(?<xterm>\d{1,3});93~)/g;
/** The beginning of such a sequence at the end of a read; its rest comes with the next. */
const UNFINISHED = /\x1b\[(?:9|93[\d;:]{0,16}|2|27[\d;]{0,8})$/;

const CTRL = 4;
/** Caps lock and num lock are reported as modifiers too. */
const LOCKS = 64 | 128;
const RELEASED = "3";

export interface DetachKey {
  /** What to pass on of `chunk`, and whether the key was pressed; nothing after it is passed on. */
  scan(chunk: Buffer): { readonly pass: Buffer; readonly pressed: boolean };
}

export function createDetachKey(): DetachKey {
  let held = "";
  return {
    scan(chunk) {
      // Latin-1 keeps every byte one character.
      const text = held + chunk.toString("latin1");
      held = "";
      const at = positionIn(text);
      if (at !== undefined) return { pass: Buffer.from(text.slice(0, at), "latin1"), pressed: true };
      held = UNFINISHED.exec(text)?.[0] ?? "";
      return { pass: Buffer.from(text.slice(0, text.length - held.length), "latin1"), pressed: false };
    },
  };
}

function positionIn(text: string): number | undefined {
  const plain = text.indexOf(PLAIN);
  for (const match of text.matchAll(SPELLED)) {
    const { kitty, event, xterm } = match.groups ?? {};
    const modifiers = (Number(kitty ?? xterm) - 1) & ~LOCKS;
    if (modifiers !== CTRL || event === RELEASED) continue;
    return plain >= 0 ? Math.min(plain, match.index) : match.index;
  }
  return plain >= 0 ? plain : undefined;
}
