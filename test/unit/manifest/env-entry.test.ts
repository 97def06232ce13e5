import { describe, expect, it } from "vitest";
import { parseObject } from "../../../src/manifest/object-file.ts";
import { caEnvironment } from "../../../src/provision/ca-environment.ts";

function read(yaml: string) {
  const file = parseObject("bottle", "b.md", `---\nenv:\n  ${yaml}\n---\n`);
  return {
    entry: file.value?.env?.["A"],
    problems: file.problems.map(({ line, column, key, message }) => `${line}:${column} ${key}: ${message}`),
  };
}

describe("env", () => {
  it.each([
    ["A: text", { kind: "literal", value: "text" }],
    ["A: ''", { kind: "literal", value: "" }],
    ["A: a$b", { kind: "literal", value: "a$b" }],
    ["A: 'costs 5 $'", { kind: "literal", value: "costs 5 $" }],
    ['A: "two\\nlines"', { kind: "literal", value: "two\nlines" }],
    ["A: 'really?'", { kind: "literal", value: "really?" }],
    ["A: '?Your token'", { kind: "prompt", text: "Your token" }],
    ["A: '? Your token '", { kind: "prompt", text: "Your token" }],
    [`A: \${HOST_VAR}`, { kind: "host", variable: "HOST_VAR" }],
    ["A: {value: '?x'}", { kind: "literal", value: "?x" }],
    [`A: {value: "\${X} and $Y"}`, { kind: "literal", value: `\${X} and $Y` }],
    ["A: {value: ''}", { kind: "literal", value: "" }],
    ["A: {from: HOST_VAR}", { kind: "host", variable: "HOST_VAR" }],
    ["A: {ask: Your token}", { kind: "prompt", text: "Your token" }],
  ])("reads %s", (yaml, source) => {
    expect(read(yaml)).toEqual({ entry: { source }, problems: [] });
  });

  it("knows the hosts that a value is for", () => {
    expect(read("A: {from: X, to: [API.example.com, 10.0.0.1]}").entry?.to).toEqual([
      "api.example.com",
      "10.0.0.1",
    ]);
  });

  const hatch = "for this very text write {value: …}";
  it.each([
    [
      `A: pre\${X}post`,
      `3:6 env.A: nothing is interpolated: a value is a text, or \${NAME} as a whole; ${hatch}`,
    ],
    [
      `A: \${X}\${Y}`,
      `3:6 env.A: nothing is interpolated: a value is a text, or \${NAME} as a whole; ${hatch}`,
    ],
    ["A: $HOME", `3:6 env.A: nothing is interpolated: a value is a text, or \${NAME} as a whole; ${hatch}`],
    [`A: "\${}"`, `3:6 env.A: must name one host variable: \${NAME}; ${hatch}`],
    [`A: "\${X:-y}"`, `3:6 env.A: must name one host variable: \${NAME}; ${hatch}`],
    ["A: '?'", `3:6 env.A: needs the question to ask, on one line, after the ?; ${hatch}`],
    ["A: 1", "3:6 env.A: must be text or a map, not a number; put it in quotes"],
    ["A: true", "3:6 env.A: must be text or a map, not true or false; put it in quotes"],
    ["A: [x]", "3:6 env.A: must be text or a map, not a list"],
    ["A:", "3:5 env.A: must be text or a map, not nothing; fill it in, or take the key out"],
    ["A: {}", "3:6 env.A: needs exactly one of value, from, ask"],
    ["A: {value: x, from: Y}", "3:6 env.A: needs exactly one of value, from, ask"],
    ["A: {vlaue: x}", '3:7 env.A.vlaue: is not a key here, did you mean "value"?'],
    [
      "A: {from: 'a b'}",
      "3:13 env.A.from: must be the name of an environment variable, such as GITHUB_TOKEN",
    ],
    ["A: {value: 1}", "3:14 env.A.value: must be text, not a number; put it in quotes"],
    ['A: {value: "a\\0b"}', "3:14 env.A.value: must not contain a NUL character"],
    ['A: "a\\0b"', "3:6 env.A: must not contain a NUL character"],
    [
      "A: {from: X, to: ['*.a.com']}",
      "3:21 env.A.to[0]: is not a host name: labels of letters, digits and dashes, with dots between",
    ],
    ["A: {from: X, to: []}", "3:20 env.A.to: is empty: leave it out, or name the hosts"],
  ])("refuses %s", (yaml, expected) => {
    expect(read(yaml).problems).toContain(expected);
  });

  it.each([
    "HTTPS_PROXY",
    "https_proxy",
    "http_proxy",
    "ALL_PROXY",
    "no_proxy",
    ...Object.keys(caEnvironment()),
    "HOME",
    "USER",
    "LD_PRELOAD",
    "LD_LIBRARY_PATH",
    "DYLD_INSERT_LIBRARIES",
    "BOT_BOTTLE_HOME",
  ])("refuses to set %s, and says why", (name) => {
    expect(read(`${name}: x`).problems).toEqual([
      expect.stringContaining(`3:3 env.${name}: cannot be set here: `),
    ]);
  });

  it.each(["PATH", "NODE_OPTIONS", "LANG", "_X", "a1"])("lets a manifest set %s", (name) => {
    expect(read(`${name}: x`).problems).toEqual([]);
  });

  it.each(["1A", "A-B", "A B", "Ä", "''", "A="])("refuses the name %s", (name) => {
    expect(read(`${name.startsWith("'") ? name : `"${name}"`}: x`).problems[0]).toContain(
      "is not a variable's name",
    );
  });
});
