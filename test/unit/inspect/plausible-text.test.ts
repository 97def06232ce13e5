import { describe, expect, it } from "vitest";
import { FRAME_SIZE, Frame } from "../../../src/inspect/frame.ts";
import { textBegin, textEnd } from "../../../src/inspect/plausible-text.ts";
import { openWorkspace } from "../../../src/inspect/simd/kernels.ts";

const workspace = openWorkspace(FRAME_SIZE, undefined);
const frame = new Frame(workspace, workspace.free);
const LENGTH = 40;

/** A text with `byte` at `place`, amid letters. */
function load(byte: number, place: number): void {
  const text = Buffer.from("letter".repeat(LENGTH), "latin1").subarray(0, LENGTH);
  text[place] = byte;
  frame.load(text);
}

describe("the text around an escape", () => {
  const places = Array.from({ length: 8 }, (_, i) => LENGTH / 2 - 4 + i);
  const isText = (byte: number): boolean =>
    byte === 0 || byte === 9 || byte === 10 || byte === 13 || (byte >= 0x20 && byte < 0x7f);

  it("ends at every byte that is none, at each place of a word", () => {
    for (let byte = 0; byte < 256; byte++)
      for (const place of places)
        for (const at of [1, 2, 3, 4]) {
          load(byte, place);
          const isLead = byte >= 0xc2 && byte < 0xf5;
          const expected = isText(byte) ? LENGTH - at : isLead ? place + 1 : place;
          expect(textEnd(frame, at, LENGTH - at, LENGTH - at), `byte ${byte} at ${place}`).toBe(expected);
        }
  });

  it("begins at or behind every byte that is none, at each place of a word", () => {
    for (let byte = 0; byte < 256; byte++)
      for (const place of places)
        for (const at of [1, 2, 3, 4]) {
          load(byte, place);
          const expected = isText(byte) ? at : byte < 0xc0 ? place : place + 1;
          expect(textBegin(frame, LENGTH - at, at, at), `byte ${byte} at ${place}`).toBe(expected);
        }
  });
});
