/** Rows as what a terminal is sent: only those that changed, each at its own place, so that no row can move another. */
import type { Row, Style } from "./view.ts";

const ATTRIBUTES: Readonly<Record<Style, string>> = {
  plain: "",
  title: "\x1b[1;7m",
  heading: "\x1b[1m",
  dim: "\x1b[2m",
  selected: "\x1b[7m",
  warning: "\x1b[1;33m",
  agent: "\x1b[36m",
};
/** Signs say all that colours do. */
const WITHOUT_COLOUR: Readonly<Record<Style, string>> = { ...ATTRIBUTES, warning: "\x1b[1m", agent: "" };

/** Alternate screen, no cursor, no wrapping, pastes marked as such. */
export const ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h\x1b[2J";
/** All of it undone, in any state. */
export const LEAVE = "\x1b[?2026l\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[0m\x1b[?1049l";

export interface Painter {
  /** Empty when nothing changed. */
  paint(rows: readonly Row[]): string;
  /** What is on the terminal is not known any more. */
  forget(): void;
}

export function createPainter(options: { readonly colour: boolean }): Painter {
  const attributes = options.colour ? ATTRIBUTES : WITHOUT_COLOUR;
  let painted: readonly string[] = [];
  return {
    forget() {
      painted = [];
    },
    paint(rows) {
      const wanted = rows.map(({ text, style }) => `${attributes[style]}${text}\x1b[0m`);
      const isNew = painted.length !== wanted.length;
      const changed = wanted.flatMap((row, i) =>
        !isNew && painted[i] === row ? [] : [`\x1b[${i + 1};1H\x1b[2K${row}`],
      );
      painted = wanted;
      if (changed.length === 0) return "";
      // Shown at once by terminals that know 2026; the others ignore it.
      return `\x1b[?2026h${isNew ? "\x1b[2J" : ""}${changed.join("")}\x1b[?2026l`;
    },
  };
}
