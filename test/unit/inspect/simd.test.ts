/** What is done in wide registers is what is done without them, byte for byte. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FRAME_SIZE, Frame } from "../../../src/inspect/frame.ts";
import { addGram, addNeighbour, GRAM_WORDS } from "../../../src/inspect/gram-table.ts";
import { holdsText } from "../../../src/inspect/plausible-text.ts";
import { engineHere, openWorkspace } from "../../../src/inspect/simd/kernels.ts";
import { squeeze } from "../../../src/inspect/squeeze.ts";
import { sweep } from "../../../src/inspect/sweep.ts";
import { unpack } from "../../../src/inspect/unpack.ts";

const workspace = openWorkspace(2 * FRAME_SIZE, engineHere());
const frame = new Frame(workspace, workspace.free);
const unpacked = new Frame(workspace, workspace.free + FRAME_SIZE);
const plainMemory = openWorkspace(2 * FRAME_SIZE, undefined);
const plainFrame = new Frame(plainMemory, plainMemory.free);
const plainUnpacked = new Frame(plainMemory, plainMemory.free + FRAME_SIZE);
const bits = new Int32Array(GRAM_WORDS);
for (const keyword of ["ghp", "sk-", "key", "==\n", "\u0000\u0000a"])
  addKeyword(Buffer.from(keyword, "latin1").readUIntLE(0, 3));

function addKeyword(gram: number): void {
  addGram(bits, gram);
  addNeighbour(bits, gram, { before: 0x61 });
  addNeighbour(bits, gram, { before: 0 });
  addNeighbour(bits, gram, { after: 0x62 });
}

/** What is noted of a text: in plain JavaScript, and wide. */
function noted(text: Uint8Array): readonly { readonly events: number[]; readonly hits: number[] }[] {
  return [plainFrame, frame].map((each) => {
    each.load(text);
    sweep(each, bits);
    return {
      events: [...each.events.subarray(0, each.eventCount)],
      hits: [...each.hits.subarray(0, each.hitCount)],
    };
  });
}

/** What of a part of a text is left without what stands between its digits: in plain JavaScript, and wide. */
function squeezed(text: Uint8Array, from: number, to: number, hex: boolean): readonly string[] {
  return [
    { source: plainFrame, into: plainUnpacked },
    { source: frame, into: unpacked },
  ].map(({ source, into }) => {
    source.load(text);
    return into.bytes.toString("latin1", 0, squeeze(source, from, to, into, hex));
  });
}

const ALPHABETS = [
  "0123456789abcdef",
  "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
  "abcdefghijklmnopqrstuvwxyz234567",
  "0123456789 -",
  "ABC 0123456789",
  "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_",
  "QUJDabcd0123 \t\r\n\\=",
  "0a1B:,; '\"xX\\-\n",
  'and the word, "so". it\'s\n',
  "aghpbask-bkeyb",
  "0xX\\nrtx9a\n",
  "%\\&\u0000\u00c2\u0080uUxn/04#ag\u00e1\u00bf",
];

/** Stretches, each of one alphabet, as long as it takes for runs to begin and end. */
const stretches = fc
  .array(
    fc.oneof(
      ...ALPHABETS.map((alphabet) =>
        fc
          .array(fc.constantFrom(...alphabet), { maxLength: 90, size: "max" })
          .map((characters) => Buffer.from(characters.join(""), "latin1")),
      ),
      fc.uint8Array({ maxLength: 70, size: "max" }).map((bytes) => Buffer.from(bytes)),
      fc
        .string({ maxLength: 60, size: "max" })
        .map((text) => Buffer.from(Buffer.from(text).toString("base64"))),
      fc.string({ maxLength: 40, size: "max" }).map((text) => Buffer.from(Buffer.from(text).toString("hex"))),
    ),
    { maxLength: 12, size: "max" },
  )
  .map((parts) => Buffer.concat(parts));

describe("what is done in wide registers", () => {
  it("is done there on every node that this project runs on", () => {
    expect(frame.kernels).toBeDefined();
    expect(plainFrame.kernels).toBeUndefined();
  });

  it("notes of any text what is noted without them", () => {
    fc.assert(
      fc.property(stretches, (text) => {
        const [plain, wide] = noted(text);
        expect(wide).toEqual(plain);
      }),
      { numRuns: 2000 },
    );
  });

  it("tells every byte, at each place of a word, from every other", () => {
    const seen = new Set<string>();
    for (let byte = 0; byte < 256; byte++)
      for (const base of ["A", "a", "4", " ", "-", "=", "\\", "f", "Q"])
        for (let place = 0; place < 4; place++) {
          const text = Buffer.from(base.repeat(120), "latin1");
          text[60 + place] = byte;
          const [plain, wide] = noted(text);
          expect(wide, `byte ${byte} amid ${base}`).toEqual(plain);
          seen.add(JSON.stringify(wide));
        }
    expect(seen.size).toBeGreaterThan(20);
  });

  it("finds the bytes of a keyword wherever they stand, and only beside a neighbour", () => {
    const text = Buffer.from("aghp    ghpb    ghpx    sk-b\u0000\u0000\u0000akey", "latin1");
    const [plain, wide] = noted(text);
    expect(wide?.hits).toEqual(plain?.hits);
    // Only at even offsets.
    expect(wide?.hits).toEqual([8, 24, 32]);
  });

  it("copies text up to the first byte with which a disguise may begin, wherever that stands", () => {
    const { kernels, address } = frame;
    const text = Buffer.from("plain text, \t9-_ZÿA".repeat(20), "latin1").map((byte) => byte & 0x7f);
    for (const length of [0, 1, 15, 16, 17, 33, 64])
      for (let at = 0; at <= length; at++)
        for (const byte of at === length ? [0x20] : [0, 0x25, 0x26, 0x5c, 0x80, 0xff, 0x7f]) {
          const isOther = at < length && byte !== 0x7f;
          const whole = Buffer.from(text.subarray(0, length));
          if (at < length) whole[at] = byte;
          frame.load(whole);
          unpacked.bytes.fill(0, 0, 128);
          const count = kernels?.copyPlain(address.bytes, length, unpacked.address.bytes);
          expect(count).toBe(isOther ? at : length);
          expect(unpacked.bytes.subarray(0, count)).toEqual(whole.subarray(0, count));
        }
  });

  it("decodes base64 of either alphabet as it is decoded without them", () => {
    const digits = fc
      .array(fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"), {
        maxLength: 200,
        size: "max",
      })
      .map((each) => Buffer.from(each.join("")));
    fc.assert(
      fc.property(digits, fc.nat({ max: 7 }), (text, from) => {
        const results = [
          { source: plainFrame, into: plainUnpacked },
          { source: frame, into: unpacked },
        ].map(({ source, into }) => {
          source.load(text);
          const length = unpack("base64", source, Math.min(from, text.length), text.length, into);
          return into.bytes.subarray(0, length).toString("hex");
        });
        const expected = Buffer.from(text.subarray(from).toString(), "base64").toString("hex");
        // A last digit alone is half of nothing.
        expect(results).toEqual([expected, expected]);
      }),
      { numRuns: 1000 },
    );
  });

  it("tells what holds text from noise as it is told without them, whatever is left behind its end", () => {
    const letters = "Az \t\r\n~\u007f\u001f\0\u00c0\u00c1\u00c2\u00c3\u00a9\u0080\u00bf\u00f4\u00f5";
    const pools = ["AB\0", "ABCDEFGHIJKL\u0001", "\u00c3\u00a9", "\u00c3\u00a9\0A", letters];
    const text = fc
      .constantFrom(...pools)
      .chain((pool) => fc.array(fc.constantFrom(...pool), { maxLength: 70 }))
      .map((characters) => characters.join(""));
    const utf8 = fc.tuple(text, fc.integer({ min: 20, max: 40 })).map(([before, count]) => {
      return before.slice(0, 33) + "\u00c3\u00a9".repeat(count).slice(0, count);
    });
    fc.assert(
      fc.property(fc.oneof(text, utf8), fc.constantFrom(0, 0x41, 0xa9), (some, behind) => {
        const bytes = Buffer.from(some, "latin1");
        const [plain, wide] = [plainFrame, frame].map((each) => {
          each.bytes.fill(behind, 0, 160);
          bytes.copy(each.bytes);
          return holdsText(each, bytes.length);
        });
        expect(wide).toBe(plain);
      }),
      { numRuns: 5000 },
    );
  });

  it("tells it of every byte, at each place of a turn", () => {
    for (let byte = 0; byte < 256; byte++)
      for (let place = 0; place < 40; place++)
        for (const around of ["letters ", "letter\0s", "\u00c3\u00a9", "\u00e4\u00bd\u00a0"]) {
          const bytes = Buffer.from(around.repeat(40), "latin1").subarray(0, 7 + (place % 3) * 9 + place);
          if (place < bytes.length) bytes[place] = byte;
          const [plain, wide] = [plainFrame, frame].map((each) => {
            bytes.copy(each.bytes);
            return holdsText(each, bytes.length);
          });
          expect(wide, `byte ${byte} at ${place}`).toBe(plain);
        }
  });

  it("squeezes out of any part of a text what is squeezed out without them", () => {
    fc.assert(
      fc.property(stretches, fc.nat(), fc.nat(), fc.boolean(), (text, begin, size, hex) => {
        const from = begin % (text.length + 1);
        const to = from + (size % (text.length - from + 1));
        const [plain, wide] = squeezed(text, from, to, hex);
        expect(wide).toBe(plain);
      }),
      { numRuns: 2000 },
    );
  });

  it("squeezes every byte as it is squeezed without them, at each place of a turn, behind and before every other that counts", () => {
    for (const hex of [false, true])
      for (const beside of ["\\", "0", "x", "n", "Q", " "])
        for (let byte = 0; byte < 256; byte++)
          for (let at = 1; at < 19; at++) {
            const text = Buffer.from("4\\n0xF Q".repeat(5), "latin1");
            text[at] = byte;
            text[at - 1] = text[at + 1] = beside.charCodeAt(0);
            for (const [from, to] of [
              [0, text.length],
              [0, at + 1],
              [at, at + 17],
            ] as const) {
              const [plain, wide] = squeezed(text, from, to, hex);
              if (wide !== plain)
                expect(wide, `${JSON.stringify(text.toString("latin1"))}, ${at}`).toBe(plain);
            }
          }
  });
});
