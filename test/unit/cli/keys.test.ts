import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createKeyDecoder, type Key } from "../../../src/cli/screen/keys.ts";

/** `j`, `<up>`, `"pasted"`. */
function shownKey(key: Key): string {
  return key.kind === "named" ? `<${key.name}>` : key.kind === "pasted" ? JSON.stringify(key.text) : key.text;
}

function keysOf(...chunks: readonly string[]): string {
  const decoder = createKeyDecoder();
  const keys = chunks.flatMap((chunk) => decoder.write(Buffer.from(chunk)));
  return [...keys, ...decoder.flush()].map(shownKey).join(" ");
}

describe("keys", () => {
  it.each([
    ["jk?/", "j k ? /"],
    ["\x1b[A\x1b[B\x1bOA\x1bOB", "<up> <down> <up> <down>"],
    ["\x1b[5~\x1b[6~\x1b[1~\x1b[4~\x1b[H\x1b[F", "<page-up> <page-down> <home> <end> <home> <end>"],
    ["\x1b[1;5A", "<up>"],
    ["\r\n\t\x7f\b", "<enter> <enter> <tab> <backspace> <backspace>"],
    ["\x03\x04\x0c\x15\x17\x1a", "<interrupt> <end-of-input> <redraw> <clear-line> <clear-word> <suspend>"],
    ["\x1b", "<escape>"],
    ["\x1bj", "<escape> j"],
    ["\x1b\x1b[A", "<escape> <up>"],
    ["é漢🎉", "é 漢 🎉"],
    ["\x1b[?1;2c\x1b[24;80R\x1b[200zj", "j"],
    ["\x00\x01\x1cj", "j"],
    ["a\x1b[200~rm -rf\ny\r\x1b[201~b", 'a "rm -rf\\ny\\r" b'],
  ])("reads %j as %s", (bytes, keys) => expect(keysOf(bytes)).toBe(keys));

  it("reads the same however the bytes are cut", () => {
    const bytes = Buffer.from("j\x1b[A漢\x1b[200~a\x1bb\x1b[20\x1b[201~k\x1bOBé\x1b[6~\x1b[1;2Hq");
    const whole = keysOf(bytes.toString());
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 8 }), (cuts) => {
        const places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const decoder = createKeyDecoder();
        const keys = places.slice(1).flatMap((end, i) => decoder.write(bytes.subarray(places[i], end)));
        expect([...keys, ...decoder.flush()].map(shownKey).join(" ")).toBe(whole);
      }),
    );
  });

  it("takes any bytes without holding more than a paste may be, and goes on reading afterwards", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 8 }), (chunks) => {
        const decoder = createKeyDecoder();
        for (const chunk of chunks) decoder.write(Buffer.from(chunk));
        decoder.flush();
        decoder.write(Buffer.from("\x1b[201~"));
        const keys = decoder.write(Buffer.from("..q"));
        expect(keys.map(shownKey).at(-1)).toBe("q");
      }),
    );
  });

  it("gives a paste of megabytes back cut", () => {
    const decoder = createKeyDecoder();
    decoder.write(Buffer.from("\x1b[200~"));
    for (let i = 0; i < 100; i++) decoder.write(Buffer.alloc(64 * 1024, "x"));
    const [key] = decoder.write(Buffer.from("\x1b[201~"));
    expect(key).toMatchObject({ kind: "pasted" });
    expect(key?.kind === "pasted" && key.text.length).toBe(8_192);
  });
});
