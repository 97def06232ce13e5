/** What a build is made of: what `.dockerignore` leaves out, and what a Dockerfile stands on. */
import { describe, expect, it } from "vitest";
import { basesOf, instructionsOf } from "../../../src/image/dockerfile-text.ts";
import { parseIgnoreFile } from "../../../src/image/ignore-file.ts";

describe("an ignore file", () => {
  it.each([
    ["*.key", ["host.key"], ["a/host.key", "host.keys"]],
    ["**/*.key", ["host.key", "a/b/host.key"], ["host.keys"]],
    ["node_modules", ["node_modules", "node_modules/a/b"], ["a/node_modules"]],
    ["/a/b/", ["a/b", "a/b/c"], ["b", "x/a/b"]],
    ["a/**", ["a/b", "a/b/c"], ["a"]],
    ["a/**/c", ["a/c", "a/b/c", "a/b/b/c/d"], ["a/b"]],
    ["a?c", ["abc"], ["ac", "a/c"]],
    ["[a-c]x", ["ax", "cx"], ["dx"]],
    ["[^a]x", ["bx"], ["ax"]],
    ["a\\*b", ["a*b"], ["axb"]],
    ["./x/../y", ["y"], ["x"]],
    ["# a remark\n\n  b  \r\n", ["b"], ["# a remark", "a"]],
    ["*\n!kept", ["left", "left/kept"], ["kept", "kept/in/it"]],
    [
      "parts/*\n!parts/kept\nparts/kept/*.tmp",
      ["parts/a", "parts/kept/x.tmp"],
      ["parts", "parts/kept", "parts/kept/x"],
    ],
    ["[", ["["], ["a"]],
  ])("%j", (text, out, stays) => {
    const rules = parseIgnoreFile(text);
    expect([...out, ...stays].filter(rules.isOut)).toEqual(out);
  });

  it("of a stranger takes no longer than it is long", () => {
    const rules = parseIgnoreFile(`${"*a".repeat(5_000)}b\n${"**/a/".repeat(2_000)}b\n`);
    expect(rules.isOut("a".repeat(250))).toBe(false);
    expect(rules.isOut(Array(2_000).fill("a").join("/"))).toBe(false);
  });
});

const TEXT = `# escape=\\
# syntax=docker/dockerfile:1
ARG VERSION=12 FLAVOUR="slim"
ARG REST
from --platform=$BUILDPLATFORM debian:\${VERSION}-\${FLAVOUR} as Build
RUN echo one \\
  # a remark within

  && echo two
RUN <<EOF
FROM nowhere
EOF
COPY --from=build /a /b
COPY --from=tools.example/kit:1 /c /d
FROM scratch
FROM build
FROM node:\${REST:-22}
COPY --from=0 /a /b
`;

describe("a Dockerfile", () => {
  it("is read as instructions, each where it begins", () => {
    const found = instructionsOf(TEXT).map(({ keyword, line }) => `${line} ${keyword}`);
    expect(found).toEqual([
      ...["3 ARG", "4 ARG", "5 FROM", "6 RUN", "10 RUN", "13 COPY", "14 COPY"],
      ...["15 FROM", "16 FROM", "17 FROM", "18 COPY"],
    ]);
    expect(instructionsOf(TEXT)[3]?.words).toBe("echo one && echo two");
    expect(instructionsOf("# escape=`\nRUN a `\n  b\nRUN c \\\nRUN d\n").map(({ words }) => words)).toEqual([
      ...["a b", "c \\", "d"],
    ]);
    expect(instructionsOf("RUN <<END\nnever ends")).toHaveLength(1);
  });

  it("stands on images of others, and not on its own stages", () => {
    expect(basesOf(instructionsOf(TEXT))).toEqual(["debian:12-slim", "tools.example/kit:1", "node:22"]);
  });
});
