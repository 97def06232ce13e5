import { describe, expect, it } from "vitest";
import { createDetachKey } from "../../../src/cli/detach-key.ts";

function type(...reads: readonly string[]): { passed: string; pressed: boolean } {
  const key = createDetachKey();
  let passed = "";
  for (const read of reads) {
    const { pass, pressed } = key.scan(Buffer.from(read, "latin1"));
    passed += pass.toString("latin1");
    if (pressed) return { passed, pressed };
  }
  return { passed, pressed: false };
}

describe("the detach key", () => {
  it.each([
    ["one byte", "\x1d"],
    ["kitty's protocol", "\x1b[93;5u"],
    ["kitty's protocol with alternates and a press", "\x1b[93:125:93;5:1u"],
    ["kitty's protocol while caps lock is on", "\x1b[93;69u"],
    ["kitty's protocol while num lock is on", "\x1b[93;133u"],
    ["modifyOtherKeys", "\x1b[27;5;93~"],
  ])("is known as %s, and what was typed before it goes to the agent", (_, spelling) => {
    expect(type(`ab${spelling}cd`)).toEqual({ passed: "ab", pressed: true });
  });

  it("is known however a read cuts it", () => {
    const spelling = "\x1b[93;5u";
    for (let i = 3; i < spelling.length; i++) {
      expect(type(`x${spelling.slice(0, i)}`, spelling.slice(i))).toEqual({ passed: "x", pressed: true });
    }
  });

  it.each([
    ["its release", "\x1b[93;5:3u"],
    ["the same key with alt", "\x1b[93;3u"],
    ["the same key with ctrl and shift", "\x1b[93;6u"],
    ["another key with ctrl", "\x1b[92;5u"],
    ["an arrow", "\x1b[A"],
    ["escape alone", "\x1b"],
    ["a mouse report", "\x1b[<0;93;5M"],
    ["text of many bytes", "é漢\u{1f600}"],
  ])("is not %s, which goes to the agent whole", (_, typed) => {
    const bytes = Buffer.from(typed, "utf8").toString("latin1");
    expect(type(bytes, "z")).toEqual({ passed: `${bytes}z`, pressed: false });
  });
});
