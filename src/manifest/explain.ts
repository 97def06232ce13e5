/** What zod found, in the words of a manifest: where it stands, what it should be, what was probably meant. */
import type { z } from "zod";
import { didYouMean } from "../lib/names.ts";
import { quoted } from "../lib/parsed.ts";
import { knownKeys } from "./json-schema.ts";
import { MANIFEST_KINDS, type ManifestKind } from "./object-schema.ts";
import { type Path, suggestion } from "./problem.ts";
import { insteadOf } from "./retired-keys.ts";

export interface Finding {
  readonly path: Path;
  readonly at: "key" | "value";
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

/** `value` is what was validated: plain data. */
export function explain(kind: ManifestKind, value: unknown, issues: readonly Issue[]): Finding[] {
  return issues.flatMap((issue) => explainOne(kind, value, issue, []));
}

function explainOne(kind: ManifestKind, root: unknown, issue: Issue, base: Path): Finding[] {
  const path = [...base, ...issue.path.filter((part) => typeof part !== "symbol")];
  const found = valueAt(root, path);
  const say = (message: string, at: Finding["at"] = "value"): Finding[] => [{ path, at, message }];

  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownKey(kind, [...path, key]));
    case "invalid_type":
      if (found === undefined) return say("is missing", "key");
      return say(mustBe([typeName(issue.expected)], found));
    case "invalid_value":
      return say(oneOf(issue.values, found));
    case "invalid_union":
      return explainUnion(kind, root, issue, path);
    case "invalid_key":
      return issue.issues.flatMap((inner) => say(inner.message, "key"));
    case "too_small":
    case "too_big":
    case "invalid_format":
    case "custom":
      return say(issue.message);
    default:
      return say(issue.message);
  }
}

function unknownKey(kind: ManifestKind, path: Path): Finding {
  const key = String(path.at(-1));
  const message = insteadOf(kind, path);
  if (message !== undefined) return { path, at: "key", message: `is no longer a key: ${message}` };
  const meant = didYouMean(key, knownKeys(kind, path.slice(0, -1)));
  const other = MANIFEST_KINDS.find(
    (each) => each !== kind && path.length === 1 && knownKeys(each, []).includes(key),
  );
  if (other !== undefined) {
    const article = (word: string): string => (word === "agent" ? `an ${word}` : `a ${word}`);
    return {
      path,
      at: "key",
      message: `is a key of ${article(other)}, not of ${article(kind)}: move it there`,
    };
  }
  return { path, at: "key", message: `is not a key here${suggestion(meant)}` };
}

/** Of several alternatives the one counts whose outer shape fits: its problems are the ones to tell. */
function explainUnion(
  kind: ManifestKind,
  root: unknown,
  issue: Extract<Issue, { code: "invalid_union" }>,
  path: Path,
): Finding[] {
  const found = valueAt(root, path);
  // A map whose kind is told by one of its keys: that key's value is none of the kinds.
  if ("options" in issue && issue.options !== undefined) {
    return [{ path, at: "value", message: oneOf(issue.options, found) }];
  }
  const fits = issue.errors.find((branch) => !branch.some((inner) => isWrongShape(inner)));
  if (fits !== undefined) return fits.flatMap((inner) => explainOne(kind, root, inner, path));
  const expected = new Set(issue.errors.flat().flatMap(expectedBy));
  return [{ path, at: "value", message: mustBe([...expected], found) }];
}

function mustBe(expected: readonly string[], found: unknown): string {
  return `must be ${expected.join(" or ")}, not ${kindOf(found)}${advice(expected, found)}`;
}

function isWrongShape(issue: Issue): boolean {
  return issue.path.length === 0 && (issue.code === "invalid_type" || issue.code === "invalid_value");
}

function expectedBy(issue: Issue): string[] {
  if (issue.path.length > 0) return [];
  if (issue.code === "invalid_type") return [typeName(issue.expected)];
  if (issue.code === "invalid_value") return issue.values.map(String);
  return [];
}

function oneOf(values: readonly unknown[], found: unknown): string {
  const known = values.map(String);
  const list = known.length === 1 ? `must be ${known[0]}` : `must be one of ${known.join(", ")}`;
  if (typeof found === "number") return `${list}, not ${found}`;
  if (typeof found !== "string") return `${list}, not ${kindOf(found)}${advice(known, found)}`;
  return `${list}, not ${quoted(found)}${suggestion(didYouMean(found, known))}`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "a map",
  record: "a map",
};

function typeName(expected: string): string {
  return TYPE_NAMES[expected] ?? expected;
}

function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "number" && !Number.isFinite(value)) return "infinity";
  return TYPE_NAMES[typeof value] ?? typeof value;
}

/** YAML reads `8080`, `1.10` and `true` as something else than text, and a key without value as null. */
function advice(expected: readonly string[], found: unknown): string {
  if (found === null) return "; fill it in, or take the key out";
  const bare = typeof found === "number" || typeof found === "boolean";
  return bare && expected.includes(typeName("string")) ? "; put it in quotes" : "";
}

function valueAt(root: unknown, path: Path): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.getOwnPropertyDescriptor(value, part)?.value;
  }
  return value;
}
