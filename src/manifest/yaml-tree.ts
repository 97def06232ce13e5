/**
 * YAML text to plain data, and where each piece of it stands. The text may be hostile.
 *
 * Depth is measured on the token tree before anything recursive sees it: near the end of its stack V8 does
 * not throw inside a regular expression, it ends the process, so that depth cannot be left to a catch.
 * Anchors and aliases are refused (nothing can expand), tags are refused (nothing is constructed), keys are
 * text, unique, and never `__proto__`.
 */
import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  Parser,
} from "yaml";
import { printable } from "../lib/printable.ts";
import type { Path } from "./problem.ts";
import type { Place } from "./text-file.ts";

/** The deepest key of a bottle is 8 levels down; what goes further is an accident or an attack. */
export const MAX_DEPTH = 32;

export interface YamlProblem extends Place {
  readonly path: Path;
  readonly message: string;
}

export interface YamlTree {
  /** Maps, lists, text, numbers, booleans and null. `{}` for an empty text. */
  readonly value: unknown;
  /** When any of them is a syntax error, `value` is `{}` and not worth a second look. */
  readonly problems: readonly YamlProblem[];
  readonly broken: boolean;
  /** Where the value (or the key) at `path` stands; of what is not there, the nearest thing around it. */
  locate(path: Path, at: "key" | "value"): Place;
}

/** `firstLine` is the number that the first line of `text` has in its file. */
export function parseYaml(text: string, firstLine: number): YamlTree {
  const lines = new LineCounter();
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.min(offset, text.length));
    return { line: Math.max(line, 1) + firstLine - 1, column: Math.max(col, 1) };
  };
  const broken = (problems: readonly YamlProblem[]): YamlTree => ({
    value: {},
    problems,
    broken: true,
    locate: () => place(0),
  });

  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const deep = firstTooDeep(tokens);
  if (deep !== undefined) {
    const message = `nested more than ${MAX_DEPTH} levels deep`;
    return broken([{ ...place(deep), path: [], message }]);
  }
  const documents = [...new Composer(COMPOSER_OPTIONS).compose(tokens, true, text.length)];
  const document = documents[0];
  const errors = documents.flatMap((each) => each.errors);
  if (document === undefined || documents.length > 1) {
    return broken([{ ...place(0), path: [], message: "holds more than one YAML document" }]);
  }
  if (errors.length > 0) {
    return broken(
      errors.slice(0, MAX_SYNTAX_ERRORS).map((error) => ({
        ...place(error.pos[0]),
        path: [],
        message: `is not valid YAML: ${printable(error.message)}`,
      })),
    );
  }
  return readTree(document, place);
}

/** One slip makes many errors; the first few say where to look. */
const MAX_SYNTAX_ERRORS = 5;

const COMPOSER_OPTIONS = {
  version: "1.2",
  schema: "core",
  merge: false,
  strict: true,
  // Keys are judged below, where the message can name them.
  uniqueKeys: false,
  stringKeys: false,
} as const;

/** The offset of the first map or list below {@link MAX_DEPTH} others; walks with its own stack, not the machine's. */
function firstTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const pending: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  let first: number | undefined;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    if (token.type === "document" && token.value !== undefined) pending.push({ token: token.value, depth });
    if (!("items" in token)) continue;
    if (depth >= MAX_DEPTH) {
      if (first === undefined || token.offset < first) first = token.offset;
      continue;
    }
    for (const item of token.items) {
      if (item.key) pending.push({ token: item.key, depth: depth + 1 });
      if (item.value !== undefined) pending.push({ token: item.value, depth: depth + 1 });
    }
  }
  return first;
}

interface Offsets {
  readonly key: number;
  readonly value: number;
}

function readTree(document: Document, place: (offset: number) => Place): YamlTree {
  const problems: YamlProblem[] = [];
  const offsets = new Map<string, Offsets>();
  const report = (offset: number, path: Path, message: string): void => {
    problems.push({ ...place(offset), path, message });
  };

  /** Depth was bounded above: this recursion is. */
  function read(node: unknown, path: Path, keyOffset: number): unknown {
    const offset = startOf(node) ?? keyOffset;
    offsets.set(pathId(path), { key: keyOffset, value: offset });
    if (isAlias(node)) {
      report(offset, path, "uses a YAML alias; write the value itself, or share it with extends");
      return undefined;
    }
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) return null;
    if (node.anchor !== undefined) {
      report(offset, path, "uses a YAML anchor; write the value itself, or share it with extends");
    }
    if (node.tag !== undefined) {
      report(offset, path, `uses the YAML tag ${printable(node.tag, 60)}; write the value without it`);
    }
    if (isSeq(node)) return node.items.map((item, i) => read(item, [...path, i], startOf(item) ?? offset));
    if (isMap(node)) return readMap(node.items, path, offset);
    return node.value;
  }

  function readMap(pairs: readonly { key: unknown; value: unknown }[], path: Path, offset: number): unknown {
    const map: Record<string, unknown> = {};
    for (const pair of pairs) {
      const keyOffset = startOf(pair.key) ?? offset;
      const key = isScalar(pair.key) && !isTagged(pair.key) ? pair.key.value : undefined;
      if (typeof key !== "string") {
        report(keyOffset, path, "a key must be plain text; put it in quotes");
        continue;
      }
      const at = [...path, key];
      // Assigning it would give the map another prototype instead of a key.
      if (key === "__proto__") {
        report(keyOffset, at, "is not a name that can be used");
        continue;
      }
      if (Object.hasOwn(map, key)) {
        const first = place(offsets.get(pathId(at))?.key ?? offset);
        report(keyOffset, at, `is given twice, first on line ${first.line}; keep one`);
        continue;
      }
      map[key] = read(pair.value, at, keyOffset);
    }
    return map;
  }

  const contents = document.contents;
  const value = contents === null ? {} : read(contents, [], 0);
  return {
    value: value ?? {},
    problems,
    broken: false,
    locate(path, at) {
      for (let length = path.length; length >= 0; length--) {
        const found = offsets.get(pathId(path.slice(0, length)));
        // What is missing is looked for at the key that should have held it.
        if (found !== undefined) return place(length === path.length ? found[at] : found.key);
      }
      return place(0);
    },
  };
}

function pathId(path: Path): string {
  return JSON.stringify(path);
}

function isTagged(node: { tag?: string; anchor?: string }): boolean {
  return node.tag !== undefined || node.anchor !== undefined;
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== "object" || node === null || !("range" in node)) return undefined;
  return Array.isArray(node.range) && typeof node.range[0] === "number" ? node.range[0] : undefined;
}
