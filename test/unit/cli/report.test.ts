import { afterEach, describe, expect, it, vi } from "vitest";
import { report, warn } from "../../../src/cli/output.ts";
import { UserError } from "../../../src/lib/errors.ts";

describe("what a command says of a failure", () => {
  afterEach(() => void vi.restoreAllMocks());

  it("has nothing in it that a terminal would act on, whoever is quoted", () => {
    let said = "";
    vi.spyOn(process.stderr, "write").mockImplementation((chunk) => {
      said += String(chunk);
      return true;
    });
    const words = "line\nother\u001b]52;c;aGk=\u0007\u009b2J\r";
    expect(report(new UserError(words, { hint: words }))).not.toBe(0);
    report(new SyntaxError(words));
    warn(words);
    const plain = said.replaceAll(/\u001b\[[0-9;]*m/g, "");
    expect(plain).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(plain.split("\n").filter((line) => line.startsWith("other\\u{1b}]52"))).toHaveLength(4);
  });
});
