import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createTerminalFilter, filterTerminal } from "../../../src/keeper/terminal-filter.ts";
import { TERMINAL_RESET } from "../../../src/keeper/terminal-rules.ts";

/** Latin-1 for the cases that need raw bytes. */
const raw = (text: string): Buffer => Buffer.from(text, "latin1");

function filterBytes(...chunks: readonly Uint8Array[]): Buffer {
  const filter = createTerminalFilter();
  return Buffer.concat([...chunks.map((chunk) => filter.write(chunk)), filter.end()]);
}

const filtered = (text: string): string => filterBytes(Buffer.from(text)).toString();

const DROPPED: readonly (readonly [string, string])[] = [
  ["a clipboard write", "\x1b]52;c;aGVsbG8=\x07"],
  ["a clipboard query", "\x1b]52;c;?\x1b\\"],
  ["a clipboard write to any selection", "\x1b]52;pqs01;aGVsbG8=\x07"],
  ["kitty's clipboard", "\x1b]5522;type=read;dGV4dA==\x1b\\"],
  ["a palette query", "\x1b]4;1;?\x07"],
  ["a special colour query", "\x1b]5;0;?\x07"],
  ["a foreground query", "\x1b]10;?\x07"],
  ["a background query", "\x1b]11;?\x1b\\"],
  ["a cursor colour query", "\x1b]12;?\x07"],
  ["a highlight colour query", "\x1b]19;?\x07"],
  ["a foreground change, which would outlive the session", "\x1b]10;#000000\x07"],
  ["kitty's colour query", "\x1b]21;foreground=?\x1b\\"],
  ["the working directory", "\x1b]7;file://host/etc\x07"],
  ["a notification (iTerm2)", "\x1b]9;Approve now\x07"],
  ["a progress bar", "\x1b]9;4;1;50\x07"],
  ["a notification (kitty)", "\x1b]99;i=1;Approve now\x1b\\"],
  ["a notification (rxvt)", "\x1b]777;notify;a;b\x07"],
  ["a font change or query", "\x1b]50;?\x07"],
  ["Emacs shell control", "\x1b]51;A\x07"],
  ["iTerm2's commands", "\x1b]1337;File=name=eA==;inline=0:AAAA\x07"],
  ["iTerm2's copy", "\x1b]1337;CopyToClipboard=\x07"],
  ["kitty's file transfer", "\x1b]5113;ac=send;id=1\x1b\\"],
  ["shell integration marks", "\x1b]133;D;0\x07"],
  ["VS Code's command line", "\x1b]633;E;rm -rf /\x07"],
  ["an X property", "\x1b]3;WM_CLASS=x\x07"],
  ["a command without a number", "\x1b]ltitle\x1b\\"],
  ["a title with another spelling of its number", "\x1b]02;title\x07"],
  ["a command with nothing in it", "\x1b]\x07"],
  ["primary device attributes", "\x1b[c"],
  ["primary device attributes with a zero", "\x1b[0c"],
  ["secondary device attributes", "\x1b[>c"],
  ["tertiary device attributes", "\x1b[=c"],
  ["the Linux cursor shape, spelt like a query", "\x1b[?1c"],
  ["an operating status report", "\x1b[5n"],
  ["a cursor position report", "\x1b[6n"],
  ["an extended cursor position report", "\x1b[?6n"],
  ["a colour scheme report", "\x1b[?996n"],
  ["the terminal's version", "\x1b[>0q"],
  ["LEDs", "\x1b[1q"],
  ["an ANSI mode query", "\x1b[4$p"],
  ["a private mode query", "\x1b[?2026$p"],
  ["terminal parameters", "\x1b[1x"],
  ["a rectangle checksum", "\x1b[1;1;1;1;10;10*y"],
  ["a terminal test", "\x1b[2;1y"],
  ["a locator query", "\x1b['|"],
  ["presentation state", "\x1b[1$w"],
  ["the keyboard query of kitty", "\x1b[?u"],
  ["a modifyOtherKeys query", "\x1b[?4m"],
  ["graphics attributes", "\x1b[?1;1;0S"],
  ["SGR stack report", "\x1b[#|"],
  ["a colour stack report", "\x1b[#R"],
  ["a title report", "\x1b[21t"],
  ["a size report", "\x1b[18t"],
  ["iconify", "\x1b[2t"],
  ["a resize", "\x1b[8;1;1t"],
  ["lines per page", "\x1b[24t"],
  ["pushing the title", "\x1b[22;0;0t"],
  ["title modes", "\x1b[>2t"],
  ["media copy", "\x1b[5i"],
  ["private media copy", "\x1b[?5i"],
  ["leaving VT220 for 8-bit controls", '\x1b[62;0"p'],
  ["the keyboard's lock", "\x1b[2h"],
  ["VT52", "\x1b[?2l"],
  ["132 columns", "\x1b[?3h"],
  ["Tektronix", "\x1b[?38h"],
  ["national character sets, which end UTF-8", "\x1b[?42h"],
  ["highlight tracking", "\x1b[?1001h"],
  ["the start of highlight tracking", "\x1b[1;1;1;1;1T"],
  ["in-band resize reports", "\x1b[?2048h"],
  ["saving modes", "\x1b[?1049s"],
  ["restoring modes", "\x1b[?1049r"],
  ["clearing tab stops", "\x1b[3g"],
  ["other key formats", "\x1b[>1;2m"],
  ["a number past every screen", "\x1b[100000b"],
  ["more parameters than terminals keep", `\x1b[${"1;".repeat(32)}1m`],
  ["parts where there are none", "\x1b[1:2H"],
  ["a prefix that comes late", "\x1b[1?25h"],
  ["an unknown final byte", "\x1b[1~"],
  ["DECID", "\x1bZ"],
  ["the default character set, which ends UTF-8", "\x1b%@"],
  ["8-bit replies", "\x1b G"],
  ["a locking shift", "\x1bn"],
  ["a single shift", "\x1bN"],
  ["an unknown character set", "\x1b(%5"],
  ["a setting query (DECRQSS)", "\x1bP$qm\x1b\\"],
  ["a terminfo query (XTGETTCAP)", "\x1bP+q544e\x1b\\"],
  ["a terminfo change", "\x1bP+p544e\x1b\\"],
  ["user-defined keys", "\x1bP0;1|17/726d\x1b\\"],
  ["sixel", "\x1bPq#0;2;0;0;0~~\x1b\\"],
  ["tmux's passthrough", "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\"],
  ["kitty's graphics", "\x1b_Ga=q,i=1;AAAA\x1b\\"],
  ["a privacy message", "\x1b^x\x1b\\"],
  ["a start of string", "\x1bXx\x1b\\"],
  ["GNU screen's title", "\x1bkname\x1b\\"],
  ["controls inside a string", "\x1bPq\r\n\x07x\x1b\\"],
  ["a sequence that a string terminator breaks off", "\x1b[0;1\x1b\\"],
  ["a string terminator by itself", "\x1b\\"],
  ["ENQ", "\x05"],
  ["NUL", "\0"],
  ["XOFF", "\x13"],
  ["DEL", "\x7f"],
];

const KEPT: readonly (readonly [string, string])[] = [
  ["colours and attributes", "\x1b[m\x1b[0;1;3;38;5;208;48;2;1;2;3m\x1b[4:3m\x1b[58:2::255:128:0m"],
  [
    "cursor movement",
    "\x1b[H\x1b[12;40H\x1b[3A\x1b[B\x1b[C\x1b[D\x1b[E\x1b[F\x1b[10G\x1b[5d\x1b[2`\x1b[1;1f",
  ],
  ["erasing, scrollback included", "\x1b[J\x1b[2J\x1b[3J\x1b[K\x1b[1K\x1b[10X\x1b[?2J"],
  ["inserting, deleting and scrolling", "\x1b[L\x1b[2M\x1b[P\x1b[4@\x1b[2S\x1b[T"],
  ["repeating", "-\x1b[79b"],
  ["tabs", "\t\x1b[I\x1b[Z"],
  ["the scroll region", "\x1b[2;23r\x1b[r"],
  ["save and restore", "\x1b7\x1b8\x1b[s\x1b[u"],
  ["line moves", "\x1bD\x1bE\x1bM"],
  ["keypad modes", "\x1b=\x1b>\x1b[?1h\x1b[?66l"],
  ["full and soft reset", "\x1bc\x1b[!p"],
  ["the alternate screen", "\x1b[?1049h\x1b[?1049l\x1b[?47h"],
  ["cursor visibility, blinking and shape", "\x1b[?25l\x1b[?12;25h\x1b[5 q\x1b[0 q"],
  ["mouse and focus", "\x1b[?1000;1002;1003;1006;1015;1004h"],
  ["bracketed paste", "\x1b[?2004h\x1b[?2004l"],
  ["synchronized output", "\x1b[?2026h\x1b[?2026l"],
  ["the visible bell", "\x1b[?5h\x1b[?5l"],
  ["insert mode", "\x1b[4h\x1b[4l"],
  ["line drawing", "\x1b(0lqk\x1b(B\x1b)0\x0ex\x0f"],
  ["kitty's keyboard", "\x1b[>1u\x1b[<u\x1b[=5;1u"],
  ["modifyOtherKeys", "\x1b[>4;2m\x1b[>4m\x1b[>4;m"],
  ["titles, ended either way", "\x1b]0;✳ Task\x07\x1b]2;vim\x1b\\\x1b]1;i\x07"],
  [
    "links to the web",
    "\x1b]8;;https://example.org/a?b=c;d\x07text\x1b]8;;\x07\x1b]8;id=1-a;http://example.org\x1b\\x",
  ],
  ["bell, backspace, newline, form feed", "\x07\b\r\n\v\f"],
];

const CHANGED: readonly (readonly [string, string, string])[] = [
  ["the modes of a list that may pass, and only those", "\x1b[?3;4;25;1049l", "\x1b[?25;1049l"],
  ["a link to a file as a link's end", "\x1b]8;;file:///etc/passwd\x07x", "\x1b]8;;\x07x"],
  ["a link with an application's scheme likewise", "\x1b]8;id=a;vscode://x\x1b\\x", "\x1b]8;;\x1b\\x"],
  ["a link with a space likewise", "\x1b]8;;https://a b\x07", "\x1b]8;;\x07"],
  ["a link without its unknown parameters", "\x1b]8;x=y:id=7;https://a\x07", "\x1b]8;id=7;https://a\x07"],
  ["a title on one line", "\x1b]0;a\r\nb\tc\x07", "\x1b]0;abc\x07"],
  ["a title without C1 controls", "\x1b]0;a\u009b6nb\x07", "\x1b]0;a6nb\x07"],
  ["a title that is not reversed", "\x1b]0;a\u202egpj.exe\u2066\x07", "\x1b]0;agpj.exe\x07"],
  ["a long title cut", `\x1b]0;${"é".repeat(300)}\x07`, `\x1b]0;${"é".repeat(256)}\x07`],
  ["a control inside a sequence before it, as a terminal obeys it", "\x1b[3\r1m", "\r\x1b[31m"],
  ["a broken-off sequence not at all", "\x1b[3\x1b[31m", "\x1b[31m"],
  ["a cancelled sequence not at all", "\x1b[3\x1811m\x1b]2;t\x1ax", "11mx"],
  ["a command broken off by another", "\x1b]0;one\x1b]2;two\x07", "\x1b]2;two\x07"],
  ["text that interrupts a sequence", "\x1b[3é1m", "é1m"],
  ["text after an escape that means nothing", "\x1béa", "éa"],
  ["a query's remains as text, when what stood between was dropped", "\x1b\x1b]52;c;eA==\x07[c", "[c"],
  ["a query's remains as text, after a C1 control", "\x1b\u009d]52;c;eA==\x07", "]52;c;eA==\x07"],
  ["C1 controls, encoded, not at all", "a\u009bc\u0090q\u009c\u0085\u009d52;c;x\u0080b", "acq52;c;xb"],
];

describe("the terminal filter", () => {
  it.each(DROPPED)("drops %s", (_name, sequence) => {
    expect(filtered(`before${sequence}after`)).toBe("beforeafter");
  });

  it.each(KEPT)("lets through %s", (_name, sequence) => {
    expect(filtered(`before${sequence}after`)).toBe(`before${sequence}after`);
  });

  it.each(CHANGED)("passes %s", (_name, sequence, expected) => {
    expect(filtered(sequence)).toBe(expected);
  });

  it("gives the same wherever the stream is cut", () => {
    const all = [...DROPPED, ...KEPT, ...CHANGED].map(([, sequence]) => Buffer.from(`a${sequence}漢🧪`));
    for (const bytes of all) {
      const whole = filterBytes(bytes);
      for (let cut = 1; cut < bytes.length; cut++) {
        expect(filterBytes(bytes.subarray(0, cut), bytes.subarray(cut))).toEqual(whole);
      }
      expect(filterBytes(...[...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(whole);
    }
  });

  it("passes what it has passed", () => {
    for (const [, sequence] of [...DROPPED, ...KEPT, ...CHANGED]) {
      expect(filtered(filtered(sequence))).toBe(filtered(sequence));
    }
  });
});

describe("text", () => {
  it.each([
    ["emoji with modifiers and joiners", "👩🏽‍💻 🏳️‍🌈 👨‍👩‍👧‍👦 ✳️"],
    ["Chinese, Japanese, Korean", "漢字 かな カナ 한국어 𠮷"],
    ["right to left", "שלום \u200fمرحبا\u200e"],
    ["combining marks and box drawing", "é Z̷̈ ┌─┐ ▌█ ⣿"],
    ["private use and the byte order mark", "\ue0b0 \u{f0000} \ufeff \uffff"],
    ["bytes that alone would be C1 controls", "Û Ü Ý À Ð ß ✜ \u{10ffff}"],
  ])("is untouched: %s", (_name, text) => {
    expect(filtered(text)).toBe(text);
  });

  it("is untouched whatever its characters and wherever it is cut", () => {
    const anyText = fc.string({ unit: "binary", maxLength: 40 }).map((text) => text.replace(/\p{Cc}/gu, ""));
    fc.assert(
      fc.property(anyText, fc.nat(160), (text, at) => {
        const bytes = Buffer.from(text);
        const cut = at % (bytes.length + 1);
        expect(filterBytes(bytes.subarray(0, cut), bytes.subarray(cut)).toString()).toBe(text);
      }),
    );
  });

  it.each([
    ["C1 controls as raw bytes", "a\x9bcb\x9d52;c;x\x9c\x90q\x85", "acb52;c;xq"],
    ["an overlong escape", "\xc0\x9b[c", "\ufffd[c"],
    ["a longer overlong escape", "\xe0\x80\x9b[c", "\ufffd[c"],
    ["an overlong C1 control", "\xe0\x82\x9b6n", "\ufffd6n"],
    ["the longest overlong escape", "\xf0\x80\x80\x9b[c", "\ufffd[c"],
    ["a surrogate", "\xed\xa0\x80.", "\ufffd\ufffd."],
    ["a character past the last", "\xf4\x90\x80\x80.\xf5\x80\x80\x80.", "\ufffd.\ufffd."],
    ["Latin-1", "caf\xe9 \xff", "caf\ufffd \ufffd"],
    ["half a character before an escape", "\xe6\xbc\x1b[31m", "\ufffd\x1b[31m"],
    ["half a character before a whole one", "\xf0\x9f\xc3\xa9", "\ufffdé"],
    ["half a character at the end", "x\xf0\x9f\xa7", "x\ufffd"],
  ])("that is broken is made whole: %s", (_name, bytes, expected) => {
    expect(filterBytes(raw(bytes)).toString()).toBe(expected);
  });
});

describe("C1 controls", () => {
  it("are dropped, every one, raw and encoded, and no character beside them", () => {
    for (let code = 0x80; code < 0xa0; code++) {
      expect(filterBytes(Uint8Array.of(0x61, code, 0x62)).toString()).toBe("ab");
      expect(filtered(`a${String.fromCharCode(code)}b`)).toBe("ab");
    }
    expect(filtered("a\u00a0b")).toBe("a\u00a0b");
  });
});

describe("what is long or never ends", () => {
  const url = (length: number): string => `\x1b]8;;https://${"a".repeat(length - "8;;https://".length)}\x07`;

  it("keeps a sequence of 4096 bytes and drops a longer one", () => {
    expect(filtered(url(4096))).toBe(url(4096));
    expect(filtered(`${url(4097)}after`)).toBe("after");
    expect(filtered(`\x1b[${"0".repeat(5000)}mafter`)).toBe("after");
    expect(filtered(`\x1b${" ".repeat(5000)}Bafter`)).toBe("after");
  });

  it("swallows megabytes of a command and goes on behind it, with nothing kept meanwhile", () => {
    for (const opening of ["\x1b]52;c;", "\x1bPq", "\x1b_G", "\x1b[1;"]) {
      const filter = createTerminalFilter();
      filter.write(Buffer.from(opening));
      const before = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
      const piece = Buffer.alloc(64 * 1024, "1");
      for (let i = 0; i < 128; i++) expect(filter.write(piece)).toHaveLength(0);
      const grown = process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed - before;
      expect(grown).toBeLessThan(64 * 1024 * 1024);
      expect(Buffer.from(filter.write(Buffer.from("m\x1b\\after"))).toString()).toBe("after");
    }
  });

  it("drops what is unfinished at the end, and begins anew", () => {
    for (const opening of ["\x1b", "\x1b[3", "\x1b]0;title", "\x1b]0;title\x1b", "\x1bPq", "\x1b("]) {
      const filter = createTerminalFilter();
      expect(Buffer.from(filter.write(Buffer.from(`a${opening}`))).toString()).toBe("a");
      expect(filter.end()).toHaveLength(0);
      expect(Buffer.from(filter.write(Buffer.from("[c\\x\x07"))).toString()).toBe("[c\\x\x07");
    }
  });
});

describe("the stream", () => {
  it("filters what is piped through it, to the last byte", async () => {
    const chunks = ["a\x1b]5", "2;c;eA==", "\x07b\x1b[3", "1mc\xe6"].map(raw);
    const stream = filterTerminal();
    const [shown] = await Promise.all([buffer(stream), pipeline(Readable.from(chunks), stream)]);
    expect(shown.toString()).toBe("ab\x1b[31mc\ufffd");
  });
});

describe("TERMINAL_RESET", () => {
  it("puts back every mode that the filter lets an agent change", () => {
    for (const prefix of ["?", ""]) {
      for (let mode = 0; mode < 10_000; mode++) {
        if (filtered(`\x1b[${prefix}${mode}h`) === "") continue;
        const rest = prefix === "?" && (mode === 7 || mode === 25) ? "h" : "l";
        expect(TERMINAL_RESET).toContain(`\x1b[${prefix}${mode}${rest}`);
      }
    }
  });

  it.each([
    ["shows the cursor", "\x1b[?25h"],
    ["leaves the alternate screen", "\x1b[?1049l"],
    ["stops reporting the mouse", "\x1b[?1003l"],
    ["ends bracketed paste", "\x1b[?2004l"],
    ["pops kitty's keyboard", "\x1b[<99u"],
    ["clears attributes", "\x1b[0m"],
    ["wraps lines", "\x1b[?7h"],
    ["ends line drawing", "\x0f\x1b(B"],
    ["frees the scroll region", "\x1b[r"],
  ])("%s", (_name, sequence) => {
    expect(TERMINAL_RESET).toContain(sequence);
  });

  it("consists of nothing but what may pass, after ending what was cut off", () => {
    expect(TERMINAL_RESET.startsWith("\x1b\\")).toBe(true);
    expect(filtered(TERMINAL_RESET)).toBe(TERMINAL_RESET.slice(2));
  });
});
