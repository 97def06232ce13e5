/**
 * A Dockerfile as far as it has to be understood here: where its instructions are, and on which images it stands. What is
 * malformed is for the engine to refuse, in its own words.
 */

export interface Instruction {
  /** In capitals: `FROM`, `RUN`. */
  readonly keyword: string;
  readonly words: string;
  /** Its first one, from 1. */
  readonly line: number;
}

const HEREDOC = /<<-?(["']?)([A-Za-z_][A-Za-z0-9_]*)\1/g;

export function instructionsOf(text: string): readonly Instruction[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const continuation = /^#\s*escape\s*=\s*`/im.test(directivesOf(lines)) ? "`" : "\\";
  const found: Instruction[] = [];
  for (let i = 0; i < lines.length; i++) {
    if (isBlank(lines[i])) continue;
    const line = i + 1;
    let whole = "";
    for (; i < lines.length; i++) {
      const here = lines[i] ?? "";
      // Comments and empty lines within one are no part of it.
      if (whole !== "" && isBlank(here)) continue;
      const end = here.trimEnd();
      const goesOn = end.endsWith(continuation);
      whole += goesOn ? `${end.slice(0, -1)} ` : here;
      if (!goesOn) break;
    }
    const [, keyword = "", words = ""] = /^\s*(\S+)\s*(.*)$/s.exec(whole) ?? [];
    found.push({ keyword: keyword.toUpperCase(), words: words.replace(/\s+/g, " ").trim(), line });
    if (!/^(?:RUN|COPY|ADD)$/i.test(keyword)) continue;
    for (const [, , end] of words.matchAll(HEREDOC)) {
      const length = lines.slice(i + 1).findIndex((each) => each.trim() === end);
      i = length < 0 ? lines.length : i + 1 + length;
    }
  }
  return found;
}

/** Comments before anything else may say how the rest is to be read. */
function directivesOf(lines: readonly string[]): string {
  const end = lines.findIndex((line) => !/^#\s*\w+\s*=/.test(line));
  return lines.slice(0, end < 0 ? undefined : end).join("\n");
}

function isBlank(line = ""): boolean {
  return /^\s*(?:#|$)/.test(line);
}

/** Names of the images that are there before the build: not of its own stages, and not `scratch`. */
export function basesOf(instructions: readonly Instruction[]): readonly string[] {
  const values = new Map<string, string>();
  const stages = new Set<string>();
  const bases = new Set<string>();
  let isBeforeFrom = true;
  const add = (name: string): void => {
    if (name !== "" && name !== "scratch" && !stages.has(name.toLowerCase()) && !/^\d+$/.test(name))
      bases.add(name);
  };
  for (const { keyword, words } of instructions) {
    if (keyword === "ARG" && isBeforeFrom) {
      for (const [, name = "", , quoted, plain = ""] of words.matchAll(/(\w+)(=(?:"([^"]*)"|(\S*)))?/g))
        values.set(name, substituted(quoted ?? plain, values));
    } else if (keyword === "FROM") {
      isBeforeFrom = false;
      const [name = "", as, stage] = words.split(" ").filter((word) => !word.startsWith("--"));
      add(substituted(name, values));
      if (as?.toUpperCase() === "AS" && stage !== undefined) stages.add(stage.toLowerCase());
    } else if (keyword === "COPY") {
      // Of another image's files; a stage's by its name or number.
      const from = /(?:^|\s)--from=(\S+)/.exec(words)?.[1];
      if (from !== undefined) add(substituted(from, values));
    }
  }
  return [...bases];
}

/** `$NAME`, `${NAME}`, `${NAME:-otherwise}`, `${NAME:+instead}`. */
function substituted(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(
    /\$(?:(\w+)|\{(\w+)(?::([-+])([^}]*))?\})/g,
    (_, plain?: string, braced?: string, how?: string, other = "") => {
      const value = values.get(plain ?? braced ?? "") ?? "";
      if (how === "-") return value === "" ? other : value;
      if (how === "+") return value === "" ? "" : other;
      return value;
    },
  );
}
