/**
 * Adds to YAML text and changes nothing else of it: comments, order, quotes and blank lines stay as they were written.
 * Works by places in the text; whoever uses it reads the result again before anything is done with it.
 */
import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from "yaml";

export type Node = YAMLMap | YAMLSeq;

export interface Insertable {
  readonly text: string;
  readonly document: Document;
}

export function openYaml(text: string): Insertable {
  return { text, document: parseDocument(text, { merge: false, version: "1.2" }) };
}

/** The map or list at `path`; undefined for none, or something else. */
export function nodeAt({ document }: Insertable, path: readonly (string | number)[]): Node | undefined {
  const node: unknown = path.length === 0 ? document.contents : document.getIn(path, true);
  return isMap(node) || isSeq(node) ? node : undefined;
}

/** The text with `value` as the last item of the list. Undefined where it cannot be told how. */
export function withItem({ text }: Insertable, list: YAMLSeq, value: unknown): string | undefined {
  if (list.flow === true) return withinFlow(text, list, JSON.stringify(value));
  return afterLast(text, list, stringify([value], { lineWidth: 0 }));
}

/** The text with one key more in the map. */
export function withPair(
  { text }: Insertable,
  map: YAMLMap,
  key: string,
  value: unknown,
): string | undefined {
  if (map.flow === true) return withinFlow(text, map, `${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  return afterLast(text, map, stringify({ [key]: value }, { lineWidth: 0 }));
}

/** The text with one key at the top, of a document that may be empty. */
export function withTopPair(yaml: Insertable, key: string, value: unknown): string | undefined {
  const { contents } = yaml.document;
  if (isMap(contents) && (contents.flow === true || contents.items.length > 0))
    return withPair(yaml, contents, key, value);
  if (contents !== null && !(isScalar(contents) && contents.value === null)) return undefined;
  const { text } = yaml;
  return `${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${stringify({ [key]: value }, { lineWidth: 0 })}`;
}

function withinFlow(text: string, node: Node, added: string): string | undefined {
  const end = node.range?.[1];
  if (end === undefined || !"]}".includes(text[end - 1] ?? "x")) return undefined;
  const before = text.slice(0, end - 1).trimEnd();
  const comma = node.items.length === 0 || before.endsWith(",") ? "" : ",";
  const blank = /[[{]$/.test(before) ? "" : " ";
  // A comment at the end of the line would swallow what came after it.
  const isAfterComment = text.slice(before.length, end - 1).includes("\n");
  if (isAfterComment) return `${text.slice(0, end - 1)}${comma} ${added}${text.slice(end - 1)}`;
  return `${before}${comma}${blank}${added}${text.slice(before.length)}`;
}

/** On lines of its own, as far in as its siblings. */
function afterLast(text: string, node: Node, added: string): string | undefined {
  const [start] = node.range ?? [];
  const end = endOfContent(text, node);
  if (start === undefined || end === undefined) return undefined;
  const indent = start - (text.lastIndexOf("\n", start - 1) + 1);
  const line = text.indexOf("\n", end);
  const at = line < 0 ? text.length : line + 1;
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  const lines = added
    .trimEnd()
    .split("\n")
    .map((each) => `${" ".repeat(indent)}${each}${newline}`);
  return `${text.slice(0, at)}${line < 0 ? newline : ""}${lines.join("")}${text.slice(at)}`;
}

/** Behind the last character of a block's last item, comments behind it aside. */
function endOfContent(text: string, node: Node): number | undefined {
  const last: unknown = node.items.at(-1);
  const value: unknown = isPairLike(last) ? (last.value ?? last.key) : last;
  if ((isMap(value) || isSeq(value)) && value.flow !== true && value.items.length > 0)
    return endOfContent(text, value);
  if (!isMap(value) && !isSeq(value) && !isScalar(value)) return undefined;
  let end = value.range?.[1];
  while (end !== undefined && end > 0 && /\s/.test(text[end - 1] ?? "")) end -= 1;
  return end;
}

function isPairLike(item: unknown): item is { readonly key: unknown; readonly value: unknown } {
  return typeof item === "object" && item !== null && "key" in item && "value" in item;
}
