/**
 * Hostile output, made from sequences, their pieces and noise. What comes out is read by a recogniser that
 * shares nothing with the filter: a terminal's grammar as regular expressions, and what it would answer or do.
 * Replay with FUZZ_SEED=<the seed it printed>.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTerminalFilter } from "../../src/keeper/terminal-filter.ts";
import { fuzzRun } from "../support/fuzz-run.ts";

const { seed, milliseconds, timeout } = fuzzRun("terminal-filter");
/** As many as fit into a quarter of the time: there are four properties. */
const RUNS = { seed, numRuns: 2 ** 31 - 1, interruptAfterTimeLimit: milliseconds / 4 };

const SEQUENCE =
  /^\x1b(?:\[(?<csi>[\x20-\x3f]*[@-~])|\](?<osc>[^\x07\x1b]*)(?:\x07|\x1b\\)|(?<plain>[\x20-\x2f]*[\x30-\x7e]))/;

const ANSWERED_CSI =
  /[cnxtiy]$|^\?.*[uSm]$|[$"'*#&+,%)/-].$|^[<=>]?[0-9;:]*[pqgWw{|}~v]$|^[=<].*[^u]$|^>.*[^mu]$/;
const ACTING_MODES =
  /^\?(?:[0-9;]*;)?0*(?:2|3|18|19|38|40|42|67|1001|1034|1043|2031|2048|5522|9001)(?:;[0-9;]*)?[hl]$/;
const LOCKING_MODES = /^(?:[0-9;]*;)?0*(?:2|12)(?:;[0-9;]*)?[hl]$/;
const SWITCHING_ESCAPE = /^(?:Z|[PX^_k\][]|[%\x20#&].*|[no|}~NO])$/;

/** What a terminal in UTF-8 would answer or do for `output`, or how it would be left; empty for harmless bytes. */
function findings(output: Uint8Array): string[] {
  const found: string[] = [];
  let text = "";
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(output);
  } catch {
    found.push("broken UTF-8");
  }
  if (/[\x80-\x9f]/.test(text)) found.push("a C1 control");
  if (/[\x00-\x06\x10-\x1a\x1c-\x1f\x7f]/.test(text)) found.push("a control that acts");
  for (let at = text.indexOf("\x1b"); at >= 0; at = text.indexOf("\x1b", at + 1)) {
    const match = SEQUENCE.exec(text.slice(at));
    const { csi, osc, plain } = match?.groups ?? {};
    if (match === null) found.push("an open sequence");
    else if (csi !== undefined) {
      if (ANSWERED_CSI.test(csi) && !/^[0-9]* q$|^[0-9]*!p$/.test(csi)) found.push(`CSI ${csi}`);
      if (ACTING_MODES.test(csi) || LOCKING_MODES.test(csi)) found.push(`mode ${csi}`);
      if (/[0-9]{6}/.test(csi)) found.push("a huge number");
    } else if (osc !== undefined) {
      if (!/^[012];[^\x00-\x1f\x7f-\x9f]*$|^8;[^;]*;(?:https?:\/\/[!-~]+)?$/i.test(osc))
        found.push(`OSC ${osc}`);
      at += match[0].length - 1;
    } else if (plain !== undefined && SWITCHING_ESCAPE.test(plain)) found.push(`ESC ${plain}`);
  }
  return found;
}

const HOSTILE = [
  ...[
    "\x1b[c",
    "\x1b[>c",
    "\x1b[=0c",
    "\x1b[6n",
    "\x1b[?6n",
    "\x1b[>q",
    "\x1b[?1$p",
    "\x1b[x",
    "\x1b[21t",
    "\x1b[?u",
  ],
  ...[
    "\x1b[5i",
    "\x1bZ",
    "\x05",
    "\x1b%@",
    "\x1b G",
    "\x1b[?42h",
    "\x1b[?2l",
    "\x1b[?38h",
    "\x1b[2h",
    "\x1b[?1;1;0S",
  ],
  ...[
    "\x1b]52;c;eA==\x07",
    "\x1b]11;?\x1b\\",
    "\x1b]1337;x\x07",
    "\x1b]8;;file:///\x07",
    "\x1b]7;file:///\x07",
  ],
  ...["\x1bP$qm\x1b\\", "\x1bP+q54\x1b\\", "\x1b_Ga=q\x1b\\", "\x1bPtmux;\x1b\x1b[c\x1b\\", "\x1b[1;1;1;1*y"],
].map((text) => Buffer.from(text));

const HARMLESS = [
  ...[
    "\x1b[31m",
    "\x1b[?25;2004h",
    "\x1b[2J",
    "\x1b[>1u",
    "\x1b]0;t\x07",
    "\x1b]8;;http://a\x1b\\",
    "\x1b(0",
    "\x1b[0 q",
  ],
].map((text) => Buffer.from(text));

const PIECES = [
  ...[
    "\x1b",
    "\x1b[",
    "\x1b]",
    "\x1bP",
    "\x1b\\",
    "[",
    "]",
    "\\",
    ";",
    ":",
    "?",
    ">",
    "$",
    "!",
    " ",
    "\x07",
    "\x18",
    "\r",
  ],
  ...[
    "0;",
    "8;;",
    "52;c;",
    "c",
    "n",
    "q",
    "p",
    "t",
    "u",
    "h",
    "l",
    "m",
    "2",
    "25",
    "38",
    "99999",
    "é",
    "漢",
    "🧪",
    "\u009b",
  ],
].map((text) => Buffer.from(text));
const BYTES = ["\x9b", "\x9d", "\x9c", "\xc2", "\xe2\x9c", "\xf0\x9f", "\xc0\x9b", "\xff"].map((text) =>
  Buffer.from(text, "latin1"),
);

const hostileOutput = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom(...PIECES, ...BYTES) },
      { weight: 2, arbitrary: fc.constantFrom(...HOSTILE, ...HARMLESS) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 12 }) },
      // One byte of a sequence replaced, or taken out.
      {
        weight: 2,
        arbitrary: fc
          .tuple(fc.constantFrom(...HOSTILE), fc.nat(), fc.option(fc.nat(255)))
          .map(([bytes, where, byte]) => {
            const at = where % bytes.length;
            const middle = byte === null ? [] : [byte];
            return Buffer.concat([bytes.subarray(0, at), Buffer.from(middle), bytes.subarray(at + 1)]);
          }),
      },
    ),
    { maxLength: 40 },
  )
  .map((parts) => Buffer.concat(parts));

function filterIn(chunks: readonly Uint8Array[]): Buffer {
  const filter = createTerminalFilter();
  return Buffer.concat([...chunks.map((chunk) => filter.write(chunk)), filter.end()]);
}

describe("the terminal filter against hostile output", () => {
  it("has a recogniser that knows what is hostile, and what is not", () => {
    for (const bytes of HOSTILE) expect(findings(bytes), JSON.stringify(bytes.toString())).not.toEqual([]);
    for (const bytes of HARMLESS) expect(findings(bytes), JSON.stringify(bytes.toString())).toEqual([]);
  });

  it("never shows what a terminal answers or obeys, and never leaves one waiting", { timeout }, () => {
    fc.assert(
      fc.property(hostileOutput, (bytes) => {
        expect(findings(filterIn([bytes]))).toEqual([]);
      }),
      RUNS,
    );
  });

  it("passes unchanged what it has passed", { timeout }, () => {
    fc.assert(
      fc.property(hostileOutput, (bytes) => {
        const once = filterIn([bytes]);
        expect(filterIn([once])).toEqual(once);
      }),
      RUNS,
    );
  });

  it("gives the same however the stream is cut, each chunk harmless by itself", { timeout }, () => {
    fc.assert(
      fc.property(hostileOutput, fc.array(fc.nat(), { maxLength: 8 }), (bytes, cuts) => {
        const places = [
          0,
          ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b),
          bytes.length,
        ];
        const filter = createTerminalFilter();
        const shown = places.slice(1).map((end, i) => filter.write(bytes.subarray(places[i], end)));
        shown.push(filter.end());
        for (const chunk of shown) expect(findings(chunk)).toEqual([]);
        expect(Buffer.concat(shown)).toEqual(filterIn([bytes]));
      }),
      RUNS,
    );
  });

  it("never shows more than three bytes for one", { timeout }, () => {
    fc.assert(
      fc.property(hostileOutput, (bytes) => {
        expect(filterIn([bytes]).length).toBeLessThanOrEqual(3 * bytes.length);
      }),
      RUNS,
    );
  });
});
