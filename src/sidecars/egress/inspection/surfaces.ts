/**
 * The places of a request's head in which a secret could leave, as one text with a note of what is where. A
 * secret may be cut into pieces, so the fields of a query, the segments of a path, the labels of a host and
 * the values of headers also stand there joined. Headers that egress removes do not leave, and are left out.
 */
import type { CompiledRoute } from "../policy/compile.ts";
import type { RequestHead } from "../rules/head.ts";
import type { Target } from "../target/target.ts";

export interface Surface {
  /** For people: `the query`, `header x-note`. */
  readonly name: string;
  /** Where in the text it ends; it begins where the one before it does. */
  readonly end: number;
  /** Made of pieces that do not stand side by side: only what cannot be chance counts there. */
  readonly joined: boolean;
  /** A part of the request as it is; undefined when joined, or of the host. */
  readonly part: "url" | "header" | undefined;
}

export interface HeadText {
  readonly text: Buffer;
  readonly surfaces: readonly Surface[];
}

/** No secret has it in it, and no rule looks across it. */
const SEPARATOR = "\n";

export function headText(target: Target, head: RequestHead, route: CompiledRoute): HeadText {
  let text = "";
  const surfaces: Surface[] = [];
  const add = (name: string, said: string, part?: Surface["part"], joined = false): void => {
    if (said === "") return;
    text += said + SEPARATOR;
    surfaces.push({ name, end: text.length, joined, part });
  };
  const join = (name: string, pieces: readonly string[]): void => {
    if (pieces.length > 1) add(`${name}, joined`, pieces.join(""), undefined, true);
  };
  const queryAt = target.path.indexOf("?");
  const path = queryAt < 0 ? target.path : target.path.slice(0, queryAt);
  const fields = fieldsOf(queryAt < 0 ? "" : target.path.slice(queryAt + 1), /[&;]/);

  // An exact host is the operator's own word.
  const isOpenName = route.host.startsWith("*.");
  if (isOpenName) add("the host", target.host);
  add("the path", path, "url");
  if (queryAt >= 0) add("the query", target.path.slice(queryAt + 1), "url");
  const free: Field[] = [];
  for (let i = 0; i < head.names.length; i++) {
    const name = head.names[i] ?? "";
    if (name === "" || route.stripped.has(name)) continue;
    const said = head.raw[2 * i] ?? "";
    const value = head.raw[2 * i + 1] ?? "";
    add(`header ${name}`, `${said}: ${value}`, "header");
    if (name === "cookie") free.push(...fieldsOf(value, /; */));
    else if (!ORDINARY.test(name)) free.push({ name: said, value });
  }
  if (isOpenName) join("the labels of the host", target.host.split("."));
  join("the segments of the path", path.split("/").filter(isSaid));
  join("the fields of the query", fields.map(({ value }) => value).filter(isSaid));
  join("the names of the query's fields", fields.map(({ name }) => name).filter(isSaid));
  join("the values of headers", free.map(({ value }) => value).filter(isSaid));
  join("the names of headers", free.map(({ name }) => name).filter(isSaid));
  return { text: Buffer.from(text, "latin1"), surfaces };
}

interface Field {
  readonly name: string;
  readonly value: string;
}

const isSaid = (text: string): boolean => text !== "";

/** A field without `=` is all value. */
function fieldsOf(text: string, border: RegExp): Field[] {
  if (text === "") return [];
  return text.split(border).map((field) => {
    const at = field.indexOf("=");
    return { name: field.slice(0, Math.max(at, 0)), value: field.slice(at + 1) };
  });
}

/** What a request says in its query, without the names of its fields. */
export function queryWords(path: string): string {
  const at = path.indexOf("?");
  return at < 0
    ? ""
    : fieldsOf(path.slice(at + 1), /[&;]/)
        .map(({ value }) => value)
        .join("");
}

/** Headers that every client sends, with words of their own: joined with the others, they would only be between. */
const ORDINARY =
  /^(?:accept|accept-.*|authorization|cache-control|content-.*|date|dnt|from|if-.*|origin|pragma|priority|range|referer|sec-.*|user-agent|via|x-forwarded-.*)$/;

/** A request's head without these, wherever in that part of it they stand. */
export function withoutTokens(
  { target, head }: { readonly target: Target; readonly head: RequestHead },
  tokens: readonly { readonly text: string; readonly part: Surface["part"] }[],
): { readonly target: Target; readonly head: RequestHead } {
  const cut = (said: string, wanted: Surface["part"]): string =>
    tokens.reduce(
      (rest, { text, part }) => (part === wanted ? rest.replaceAll(text, SEPARATOR) : rest),
      said,
    );
  return {
    target: { ...target, path: cut(target.path, "url") },
    head: { ...head, raw: head.raw.map((said, i) => (i % 2 === 1 ? cut(said, "header") : said)) },
  };
}

/** Where a position of the text lies. */
export function surfaceAt(surfaces: readonly Surface[], position: number): Surface | undefined {
  return surfaces.find(({ end }) => position < end);
}
