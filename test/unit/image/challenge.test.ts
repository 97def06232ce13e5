import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseChallenge } from "../../../src/image/registry/challenge.ts";

describe("what a registry asks for", () => {
  it.each([
    [
      'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull"',
      { scheme: "bearer", realm: "https://auth.example/token", service: "registry.example" },
    ],
    [
      'bearer service=x , realm="https://a.example/t?x=1,2"',
      { scheme: "bearer", realm: "https://a.example/t?x=1,2", service: "x" },
    ],
    ['Bearer realm="https://a.example/\\"q\\""', { scheme: "bearer", realm: 'https://a.example/"q"' }],
    ['Basic realm="a", Bearer realm="https://a.example"', { scheme: "bearer", realm: "https://a.example" }],
    ['Basic realm="Registry Realm"', { scheme: "basic" }],
    ["Basic", { scheme: "basic" }],
  ])("%s", (header, challenge) => {
    expect(parseChallenge(header)).toEqual(challenge);
  });

  it.each([
    [undefined],
    [""],
    ["Negotiate"],
    ["Bearer"],
    ['Bearer service="x"'],
    ["===="],
    [`Basic ${"x".repeat(9_000)}`],
  ])("is nothing that we can answer in %j", (header) => {
    expect(parseChallenge(header)).toBeUndefined();
  });

  it("is read in bounded time, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 8_192 }), (header) => {
        parseChallenge(header);
      }),
    );
    for (const hostile of ['Bearer realm="', " ,", "a ", "\\", '"', "a=,"]) {
      parseChallenge(`Bearer ${hostile.repeat(Math.floor(8_000 / hostile.length))}`);
    }
  });
});
