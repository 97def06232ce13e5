/** One manifest file: read, split, parsed, validated. Every problem in it is found, not only the first. */
import type { Stats } from "node:fs";
import type { z } from "zod";
import { explain } from "./explain.ts";
import { FIRST_YAML_LINE, splitFrontMatter } from "./front-matter.ts";
import { type ManifestKind, SCHEMAS } from "./object-schema.ts";
import { keyOf, type Path, type Problem } from "./problem.ts";
import { type Place, readTextFile, START } from "./text-file.ts";
import { unsupportedKeys } from "./unsupported-keys.ts";
import { parseYaml } from "./yaml-tree.ts";

export type ValueOf<K extends ManifestKind> = z.output<(typeof SCHEMAS)[K]>;

export interface ObjectFile<K extends ManifestKind> {
  readonly file: string;
  /** Absent when there is any problem. */
  readonly value?: ValueOf<K>;
  /** The text below the front matter, trimmed. */
  readonly body: string;
  /** sha256 (hex) of the file's bytes; empty when it could not be read. */
  readonly contentHash: string;
  /** Absent when the file could not be read. */
  readonly stat?: Stats;
  readonly problems: readonly Problem[];
  /** Keys that are valid and that nothing acts on yet: no problem until the file is used. */
  readonly unsupported: readonly Problem[];
  /** A problem at a key that passed validation: for what only the whole manifest can tell. */
  problemAt(path: Path, message: string): Problem;
}

/** `path` is where to read what is called `file` in messages. */
export function readObjectFile<K extends ManifestKind>(
  kind: K,
  file: string,
  path: string = file,
): ObjectFile<K> {
  const read = readTextFile(path);
  if (!read.ok) return refusedFile(file, read.message, read.place);
  return { ...parseObject(kind, file, read.text), contentHash: read.contentHash, stat: read.stat };
}

/** The same without a disk: `text` is the whole file. */
export function parseObject<K extends ManifestKind>(kind: K, file: string, text: string): ObjectFile<K> {
  const split = splitFrontMatter(text);
  if (!split.ok) return refusedFile(file, split.message, split.place);

  const tree = parseYaml(split.yaml, FIRST_YAML_LINE);
  const problemAt = (path: Path, message: string, at: "key" | "value" = "value"): Problem => ({
    file,
    ...tree.locate(path, at),
    key: keyOf(path),
    message,
  });
  const structural = tree.problems.map(
    ({ line, column, path, message }): Problem => ({ file, line, column, key: keyOf(path), message }),
  );
  // What already has a problem of its own is not told about twice: an alias is not "missing" as well.
  const told = new Set(structural.map((problem) => problem.key));
  const parsed = SCHEMAS[kind].safeParse(tree.value);
  const schematic =
    parsed.success || tree.broken
      ? []
      : explain(kind, tree.value, parsed.error.issues)
          .filter((finding) => finding.path.length === 0 || !told.has(keyOf(finding.path)))
          .map((finding) => problemAt(finding.path, finding.message, finding.at));
  const problems = [...structural, ...schematic].sort((a, b) => a.line - b.line || a.column - b.column);
  return {
    file,
    // The schema chosen by `kind` made it: TypeScript does not follow an index into a union of schemas.
    ...(parsed.success && problems.length === 0 ? { value: parsed.data as ValueOf<K> } : {}),
    body: split.body,
    contentHash: "",
    problems,
    unsupported: unsupportedKeys(kind, tree.value).map(({ path, message }) =>
      problemAt(path, message, "key"),
    ),
    problemAt,
  };
}

/** A file that is refused as a whole. */
export function refusedFile<K extends ManifestKind>(
  file: string,
  message: string,
  place: Place = START,
): ObjectFile<K> {
  const problemAt = (path: Path, text: string): Problem => ({
    file,
    ...place,
    key: keyOf(path),
    message: text,
  });
  return { file, body: "", contentHash: "", problems: [problemAt([], message)], unsupported: [], problemAt };
}
