import { expect, it } from "vitest";
import { linesOf } from "../../../src/provision/workspace/byte-lines.ts";

it("names of any bytes are kept apart, and empty ones left out", () => {
  expect(linesOf(Buffer.from([0x61, 0xff, 0, 0, 0x62, 10, 0]), "\0")).toEqual(["a\xff", "b\n"]);
});

it.each(["\0", "\n"] as const)(
  "regression: more names than there can be are refused, not held (%j)",
  (separator) => {
    const honest = Buffer.from(`src/some/file.ts${separator}`.repeat(100_000));
    expect(linesOf(honest, separator)).toHaveLength(100_000);
    for (const text of [separator, `a${separator}`]) {
      expect(() => linesOf(Buffer.alloc(16 * 1024 ** 2, text), separator)).toThrow(
        "more than 2000000 things",
      );
    }
  },
);
