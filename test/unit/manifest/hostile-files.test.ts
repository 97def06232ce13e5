import { describe, expect, it } from "vitest";
import { MAX_FRONT_MATTER_CHARACTERS, splitFrontMatter } from "../../../src/manifest/front-matter.ts";
import { parseObject } from "../../../src/manifest/object-file.ts";
import { ManifestError, type Problem } from "../../../src/manifest/problem.ts";
import { MAX_DEPTH, parseYaml } from "../../../src/manifest/yaml-tree.ts";

function problemsOf(text: string): string[] {
  return parseObject("bottle", "b.md", text).problems.map(
    ({ line, column, key, message }) => `${line}:${column} ${key}: ${message}`,
  );
}

const wrapped = (yaml: string): string => `---\n${yaml}\n---\nbody\n`;

describe("front matter", () => {
  it.each([
    ["", "1:1 : has no front matter"],
    ["# Title\n", "1:1 : has no front matter"],
    ["\n---\na: 1\n---\n", "1:1 : has no front matter"],
    ["----\na: 1\n---\n", "1:1 : has no front matter"],
    ["---\nenv: {}\n", "1:1 : front matter begins here and is never closed"],
    ["---\nenv: {}\n ---\n", "1:1 : front matter begins here and is never closed"],
    ["---\rbottle: x\r---\r", "1:1 : has no front matter"],
  ])("is refused in %j", (text, expected) => {
    expect(problemsOf(text)[0]).toContain(expected);
  });

  it("is the same with CRLF line endings, and the places too", () => {
    const lf = "---\nsupervise: false\negres: {}\n---\n\nOne\nTwo\n";
    const crlf = lf.replaceAll("\n", "\r\n");
    expect(problemsOf(crlf)).toEqual(problemsOf(lf));
    expect(problemsOf(crlf)).toEqual(['3:1 egres: is not a key here, did you mean "egress"?']);
    expect(splitFrontMatter(crlf)).toMatchObject({ ok: true, body: "One\nTwo" });
  });

  it("ends at the first line that is a fence; one further down belongs to the body", () => {
    expect(splitFrontMatter("---\na: 1\n--- \nb\n---\nc")).toEqual({
      ok: true,
      yaml: "a: 1\n",
      body: "b\n---\nc",
    });
    expect(splitFrontMatter("---\n---\nb")).toEqual({ ok: true, yaml: "", body: "b" });
    expect(splitFrontMatter("---\na: 1\n---")).toEqual({ ok: true, yaml: "a: 1\n", body: "" });
  });

  it("is bounded before anything parses it", () => {
    const yaml = `a: ${"x".repeat(MAX_FRONT_MATTER_CHARACTERS)}`;
    expect(problemsOf(wrapped(yaml))).toEqual([
      "1:1 : front matter is longer than 64 KiB; long text belongs in the body, below the second ---",
    ]);
  });

  it("may be empty: a bottle without keys allows nothing", () => {
    expect(parseObject("bottle", "b.md", "---\n---\n").value).toEqual({});
    expect(parseObject("bottle", "b.md", "---\n# nothing yet\n---\n").value).toEqual({});
  });
});

describe("YAML", () => {
  it.each([
    ["- a", "2:1 : must be a map, not a list"],
    ["text", "2:1 : must be a map, not text"],
    ["env: {A: 1", "is not valid YAML"],
    ["env:\n\tA: b", "3:1 : is not valid YAML: Tabs are not allowed as indentation"],
    ['env: {A: "b', "is not valid YAML"],
    ["env: {}\n...\nimage: x", "2:1 : holds more than one YAML document"],
    ["%YAML 1.1\nenv: {}", "is not valid YAML"],
    ["env: {}\nenv: {}", "3:1 env: is given twice, first on line 2; keep one"],
    ["env: {A: x,\n  A: y}", "3:3 env.A: is given twice, first on line 2; keep one"],
    ["env: {__proto__: x}", "2:7 env.__proto__: is not a name that can be used"],
    ["__proto__: {supervise: true}", "2:1 __proto__: is not a name that can be used"],
    ['"__proto__": {}', "2:1 __proto__: is not a name that can be used"],
    ["env: {1: x}", "2:7 env: a key must be plain text; put it in quotes"],
    ["env: {true: x}", "2:7 env: a key must be plain text; put it in quotes"],
    ["? [a]\n: b", "2:3 : a key must be plain text; put it in quotes"],
    ["? {a: b}\n: b", "2:3 : a key must be plain text; put it in quotes"],
    ["env: &e {A: x}", "2:9 env: uses a YAML anchor"],
    ["image: &i debian\nenv: {A: *i}", "3:10 env.A: uses a YAML alias"],
    ["env: {<<: {A: x}}", "2:7 env.<<: is not a variable's name"],
    ["env: {A: !secret x}", "2:18 env.A: uses the YAML tag !secret"],
    ["env: {A: !!binary aGk=}", "2:19 env.A: uses the YAML tag"],
    ["env: !!omap [A: x]", "uses the YAML tag"],
    ["supervise: yes", "2:12 supervise: must be true or false or a map, not text"],
    ["supervise: {notify: notify-send}", "2:21 supervise.notify: must be a list, not text"],
    ["env: {A: 2001-12-14}", undefined],
    ["env: {constructor: a, toString: b, hasOwnProperty: c}", undefined],
  ])("reads %j and says %j", (yaml, expected) => {
    const problems = problemsOf(wrapped(yaml));
    if (expected === undefined) expect(problems).toEqual([]);
    else expect(problems.join("\n")).toContain(expected);
  });

  it.each(["a: [", "a: {a: ", "- ", "? ", "a: ", "{["])(
    "regression: a file of nothing but %j ends in an error, where the YAML parser would end the process",
    (unit) => {
      // Left to itself, the composer recurses until V8 gives up inside a regular expression: no exception.
      const yaml = unit.repeat(Math.floor((MAX_FRONT_MATTER_CHARACTERS - 10) / unit.length));
      expect(problemsOf(wrapped(yaml))).toEqual([
        expect.stringMatching(/^2:\d+ : nested more than 32 levels deep$/),
      ]);
    },
  );

  it("says where it became too deep", () => {
    const indented = Array.from({ length: 300 }, (_, i) => `${" ".repeat(i)}a:`).join("\n");
    expect(problemsOf(wrapped(indented))).toEqual([
      `${MAX_DEPTH + 2}:${MAX_DEPTH + 1} : nested more than 32 levels deep`,
    ]);
  });

  it("accepts what is exactly as deep as allowed", () => {
    expect(parseYaml(`${"[".repeat(MAX_DEPTH)}${"]".repeat(MAX_DEPTH)}`, 1).problems).toEqual([]);
    expect(parseYaml(`${"[".repeat(MAX_DEPTH + 1)}${"]".repeat(MAX_DEPTH + 1)}`, 1).broken).toBe(true);
  });

  it("expands nothing: a bomb of aliases is a list of errors", () => {
    const rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"];
    for (let i = 1; i < 12; i++) rows.push(`a${i}: &a${i} [${`*a${i - 1}, `.repeat(9)}]`);
    const tree = parseYaml(rows.join("\n"), 1);
    expect(tree.problems.length).toBeGreaterThan(100);
    expect(JSON.stringify(tree.value).length).toBeLessThan(2_000);
  });

  it.each([",", "a\n", "&a ", "- [\n", "? x\n", ":\n", "\t", '"\n'])("ends on a file full of %j", (unit) => {
    const yaml = unit.repeat(Math.floor((MAX_FRONT_MATTER_CHARACTERS - 10) / unit.length));
    expect(problemsOf(wrapped(`a: [${yaml}`)).length).toBeGreaterThan(0);
  });

  it("keeps a file with thousands of problems to a screenful", () => {
    const yaml = Array.from({ length: 5_000 }, (_, i) => `k${i}: 1`).join("\n");
    const { problems } = parseObject("bottle", "b.md", wrapped(yaml));
    expect(problems).toHaveLength(5_000);
    const lines = new ManifestError(problems).message.split("\n");
    expect(lines).toHaveLength(31);
    expect(lines[30]).toBe("… and 4970 more");
  });
});

describe("an error", () => {
  it("cannot draw on the terminal or pretend to be a second line", () => {
    const esc = "\\e[2J";
    const file = parseObject(
      "agent",
      "a\u001b[31m.md",
      wrapped(`"x${esc}\\nbottle.md:1:1": 1\nskills: ["\\u202egpj"]`),
    );
    const { message } = new ManifestError(file.problems as readonly Problem[]);
    expect(message).not.toMatch(/[\u001b\u202e]/);
    expect(message.split("\n")).toHaveLength(2);
    expect(message).toContain("a\\u{1b}[31m.md:2:1: x\\u{1b}[2J\\u{a}bottle.md:1:1: is not a key here");
  });
});
