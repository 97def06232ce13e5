import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { knownKeys, manifestJsonSchemas } from "../../../src/manifest/json-schema.ts";
import { MERGE_TABLE } from "../../../src/manifest/merge.ts";
import { UNSUPPORTED_KEYS } from "../../../src/manifest/unsupported-keys.ts";

type Schema = {
  description?: string;
  type?: string;
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  additionalProperties?: Schema | false;
};

/** Every property below `schema`, by its path. */
function properties(schema: Schema, path = ""): [string, Schema][] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([key, value]): [string, Schema][] => {
    const at = path === "" ? key : `${path}.${key}`;
    return [[at, value], ...properties(value, at)];
  });
  const below = [
    ...(schema.anyOf ?? []).map((each): [Schema, string] => [each, path]),
    ...(schema.oneOf ?? []).map((each): [Schema, string] => [each, path]),
    ...(schema.items === undefined ? [] : [[schema.items, `${path}[]`] satisfies [Schema, string]]),
    ...(schema.additionalProperties
      ? [[schema.additionalProperties, `${path}.*`] satisfies [Schema, string]]
      : []),
  ];
  return [...own, ...below.flatMap(([each, at]) => properties(each, at))];
}

const schemas = manifestJsonSchemas() as { bottle: Schema; agent: Schema };

describe("the JSON Schemas", () => {
  it.each(["bottle", "agent"] as const)("describe every key of a %s, and allow no other", (kind) => {
    const all = properties(schemas[kind]);
    expect(all.length).toBeGreaterThan(kind === "bottle" ? 60 : 8);
    for (const [path, schema] of all) expect(schema.description, path).toMatch(/^[a-zA-Z].*\.$/);
    expect(JSON.parse(JSON.stringify(schemas[kind]))).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      additionalProperties: false,
    });
  });

  it("know the keys at any path, also where there are alternatives", () => {
    expect(knownKeys("bottle", ["egress", "routes", 3, "auth"])).toEqual(["scheme", "token_ref"]);
    expect(knownKeys("bottle", ["env", "ANY"])).toEqual(["value", "from", "ask", "to"]);
    expect(knownKeys("bottle", ["git-gate", "repos", "p", "key"])).toEqual([
      "provider",
      "path",
      "public_key",
      "token_ref",
      "username",
      "url",
      "forge_token_env",
    ]);
    expect(knownKeys("bottle", ["env"])).toEqual([]);
    expect(knownKeys("agent", ["git-gate", "user"])).toEqual(["name", "email"]);
    expect(knownKeys("agent", ["constructor", "toString"])).toEqual([]);
  });
});

describe("docs/manifest.md", () => {
  const text = readFileSync(new URL("../../../docs/manifest.md", import.meta.url), "utf8");
  const section = (title: string): string => text.split(`\n## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
  const bottles = section("Keys of a bottle") + section("Routes") + section("Repositories");

  it("names every key", () => {
    const spans = (bottles + section("Variables")).match(/`[^`]+`/g) ?? [];
    const words = new Set(spans.flatMap((span) => span.match(/[\w-]+|\*/g) ?? []));
    for (const [path] of properties(schemas.agent)) {
      if (path !== "git-gate" && path !== "git-gate.user")
        expect(section("Keys of an agent")).toContain(`\`${path}\``);
    }
    for (const [path] of properties(schemas.bottle)) {
      const last = path.split(".").at(-1) ?? "";
      expect(words, path).toContain(last.replace("[]", ""));
    }
  });

  it("marks exactly the keys that nothing acts on yet", () => {
    const rows = bottles.split("\n").filter((row) => row.startsWith("| `"));
    const marked = rows
      .filter((row) => /\*[lL]ater[.:]?\*/.test(row))
      .flatMap((row) => row.split(" | ")[0]?.match(/`[^`]+`/g) ?? []);
    const expected = new Set(
      UNSUPPORTED_KEYS.map(({ key }) => key.replace("env.*", "env.<NAME>").replace("egress.routes.*.", "")),
    );
    expect(new Set(marked.map((key) => key.slice(1, -1).replace(/^dlp\..*/, "dlp")))).toEqual(expected);
  });

  it("shows the merge table of the code", () => {
    const words = {
      last: /^the last one wins/,
      overlay: /^(entry by entry|field by field)/,
      "replace-then-join": /^an heir that declares it replaces all of it; siblings are put together$/,
      "replace-then-strongest": /^an heir that declares it replaces it; of siblings the strongest counts$/,
      own: /^never inherited$/,
    };
    const rows = section("Extending")
      .split("\n")
      .filter((row) => row.startsWith("| `"));
    const shown = rows
      .map((row) => row.split("|").map((cell) => cell.trim().replaceAll("`", "")))
      .map((cells) => [cells[1], cells[2]]);
    expect(shown.map(([key]) => key)).toEqual(Object.keys(MERGE_TABLE));
    for (const [key, rule] of shown)
      expect(rule).toMatch(words[MERGE_TABLE[key as keyof typeof MERGE_TABLE].rule]);
  });
});
