/**
 * What a build's context leaves out: `.dockerignore`, as Docker reads it. A pattern is of path components; `**` for one
 * stands for any number of them. A pattern that matches a folder matches all that is in it; the last one counts.
 * Matching takes no longer than the pattern's length times the name's: the file may be a stranger's.
 * Source: https://docs.docker.com/build/concepts/context/#dockerignore-files
 */

export interface IgnoreRules {
  /** Whether what has this name, with slashes and from the context's top, stays out. */
  isOut(name: string): boolean;
  /** Something below a folder that stays out may come in all the same. */
  readonly hasExceptions: boolean;
}

interface Rule {
  readonly isException: boolean;
  /** A component each; undefined: any number of them. */
  readonly parts: readonly (readonly Token[] | undefined)[];
}

/** One character of a name; `star`: any number of them. */
type Token = "star" | ((character: string) => boolean);

export function parseIgnoreFile(text: string): IgnoreRules {
  const rules = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .flatMap((line) => ruleOf(line) ?? []);
  return {
    hasExceptions: rules.some(({ isException }) => isException),
    isOut(name) {
      const parts = name.split("/");
      const above = parts.map((_, i) => parts.slice(0, i + 1));
      const last = rules.findLast((rule) => above.some((each) => matches(rule.parts, each)));
      return last !== undefined && !last.isException;
    },
  };
}

function ruleOf(line: string): Rule | undefined {
  if (line.startsWith("#")) return undefined;
  const trimmed = line.trim();
  const isException = trimmed.startsWith("!");
  const parts: string[] = [];
  for (const part of (isException ? trimmed.slice(1).trim() : trimmed).split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  if (parts.length === 0) return undefined;
  // What is below a folder is not the folder.
  if (parts.at(-1) === "**") parts.push("*");
  return { isException, parts: parts.map((part) => (part === "**" ? undefined : tokensOf(part))) };
}

function tokensOf(part: string): readonly Token[] {
  const tokens: Token[] = [];
  const characters = [...part];
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? "";
    if (character === "*") {
      if (tokens.at(-1) !== "star") tokens.push("star");
    } else if (character === "?") tokens.push(() => true);
    else if (character === "[") {
      const end = characters.indexOf("]", i + 2);
      const set = end < 0 ? undefined : setOf(characters.slice(i + 1, end));
      tokens.push(set ?? ((each) => each === "["));
      if (set !== undefined) i = end;
    } else {
      const meant = character === "\\" ? (characters[++i] ?? "\\") : character;
      tokens.push((each) => each === meant);
    }
  }
  return tokens;
}

/** `a-z`, `^a-z`. */
function setOf(inner: readonly string[]): (character: string) => boolean {
  const isNegated = inner[0] === "^";
  const from = isNegated ? inner.slice(1) : inner;
  const ranges: (readonly [string, string])[] = [];
  for (let i = 0; i < from.length; i++) {
    const low = from[i] ?? "";
    const high = from[i + 1] === "-" ? from[i + 2] : undefined;
    ranges.push([low, high ?? low]);
    if (high !== undefined) i += 2;
  }
  return (each) => ranges.some(([low, high]) => low <= each && each <= high) !== isNegated;
}

function matches(parts: Rule["parts"], names: readonly string[]): boolean {
  return fits(parts, names, undefined, (tokens, name) =>
    tokens === undefined
      ? false
      : fits(tokens, [...name], "star", (token, each) => token !== "star" && token(each)),
  );
}

/** Of patterns with wildcards that stand for any number, it is enough to go back to the last. */
function fits<P, T>(
  pattern: readonly P[],
  text: readonly T[],
  wildcard: P,
  isOne: (pattern: P, item: T) => boolean,
): boolean {
  let at = 0;
  let back: { pattern: number; text: number } | undefined;
  for (let i = 0; i < text.length; ) {
    const item = text[i] as T;
    if (at < pattern.length && pattern[at] !== wildcard && isOne(pattern[at] as P, item)) {
      at += 1;
      i += 1;
    } else if (at < pattern.length && pattern[at] === wildcard) {
      back = { pattern: at + 1, text: i };
      at += 1;
    } else if (back !== undefined) {
      back.text += 1;
      at = back.pattern;
      i = back.text;
    } else return false;
  }
  while (at < pattern.length && pattern[at] === wildcard) at += 1;
  return at === pattern.length;
}
