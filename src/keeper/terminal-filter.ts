/**
 * Stands between an agent's terminal and the operator's. The agent is hostile, and a terminal obeys what it is
 * sent: it writes the clipboard, types answers to queries into the session's input, renames, resizes, prints.
 *
 * What passes is text and the sequences that terminal-rules.ts lists, which move the cursor, colour, erase, and choose how keys and
 * mouse are reported. Everything else is dropped, known or not. So passes no sequence a terminal answers (ENQ, DA,
 * DSR, DECRQM, XTVERSION, window reports, OSC colour queries), no clipboard or file transfer, no notification,
 * no working directory, and no device control, application, privacy or start-of-string command at all: sixel,
 * kitty graphics, user-defined keys, terminfo queries and tmux's passthrough are such.
 *
 * It fails closed by what it writes: whole characters and whole sequences in their one 7-bit form, each of
 * which leaves any terminal where it was, ready for text. Nothing dropped can make its neighbours a sequence,
 * nothing is left open at the end of a chunk, and what was filtered once passes unchanged.
 *
 * - A sequence ends where it does for a terminal: CAN, SUB and a new ESC break it off. An unfinished one waits in
 *   at most MAX_SEQUENCE_BYTES; a longer one is swallowed to its end, and so are the commands never let through.
 * - Text is strict UTF-8. C1 controls are dropped, raw or encoded; other broken bytes become U+FFFD. What would
 *   take a terminal out of UTF-8 is not listed, or the bytes of innocent text would become C1 controls:
 *   ESC %, national character sets (?42), 8-bit replies (ESC SP G), VT52 (?2) and Tektronix (?38).
 */
import { Transform } from "node:stream";
import { CSI_RULES, type CsiRule, ESCAPES } from "./terminal-rules.ts";

/** An incremental filter; each call returns what may be shown by now. */
export interface TerminalFilter {
  write(chunk: Uint8Array): Uint8Array;
  /** Gives up what is unfinished: a sequence is dropped, half a character is U+FFFD. It may be written to again. */
  end(): Uint8Array;
}

/** Holds the longest hyperlink that terminals take (about 2,000 bytes). */
const MAX_SEQUENCE_BYTES = 4_096;
/** A colour of each kind and every attribute at once are 25; terminals keep 16 to 32. */
const MAX_PARAMETERS = 32;
/** No screen has a million columns. Larger numbers are only good for overflows in terminals. */
const MAX_DIGITS = 5;
/** More than any window shows of its title. */
const MAX_TITLE_CHARACTERS = 256;

const ESC = 0x1b;
const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const DEL = 0x7f;
const BACKSLASH = 0x5c;
/** BEL, BS, HT, LF, VT, FF, CR, SO, SI. Not ENQ, which is answered. */
const CONTROLS: ReadonlySet<number> = new Set([BEL, 8, 9, 10, 11, 12, 13, 14, 15]);
const OPEN_CSI = 0x5b;
const OPEN_OSC = 0x5d;
/** DCS, SOS, PM, APC, and the title of GNU screen: all that follows them is theirs, to the string's end. */
const OPEN_STRING: ReadonlySet<number> = new Set(Buffer.from("PX^_k"));

const REPLACEMENT = [0xef, 0xbf, 0xbd];

type State = "text" | "escape" | "csi" | "osc" | "string";

/** A filter for one terminal's output, from its first byte to its last, cut into chunks anywhere. */
export function createTerminalFilter(): TerminalFilter {
  let out: number[] = [];
  let state: State = "text";
  /** The sequence so far, without its introducer. One byte over the limit means: too long, pass nothing. */
  let held: number[] = [];
  /** The operating system command that an ESC has just interrupted: complete, if a backslash comes next. */
  let command: number[] = [];
  /** The character so far, and what its next byte must be. */
  let character: number[] = [];
  let expected: CharacterShape = { length: 0, low: 0, high: 0 };

  const enter = (next: State): void => {
    command = state === "osc" ? held : [];
    held = [];
    state = next;
  };
  const hold = (byte: number): void => {
    if (held.length <= MAX_SEQUENCE_BYTES) held.push(byte);
  };
  const show = (bytes: Iterable<number>): void => {
    for (const byte of bytes) out.push(byte);
  };
  /** Ends the sequence whose bytes were `body`: passes what is allowed of it, and goes on with text. */
  const finish = (body: number[], allowed: (body: Buffer) => string): void => {
    if (body.length <= MAX_SEQUENCE_BYTES) show(Buffer.from(allowed(Buffer.from(body))));
    enter("text");
  };

  function feed(byte: number): void {
    if (character.length > 0 && continueCharacter(byte)) return;
    if (byte >= 0x80 && (state === "escape" || state === "csi")) enter("text");
    if (byte === ESC) enter("escape");
    else if (byte === CAN || byte === SUB) enter("text");
    else if (byte < 0x20 || byte === DEL) control(byte);
    else steps[state](byte);
  }

  /** Within a sequence a terminal obeys a control at once; in a string it means nothing, but that BEL may end it. */
  function control(byte: number): void {
    if (state === "osc" && byte === BEL) finish(held, (body) => allowedOsc(body, "\x07"));
    else if (state !== "osc" && state !== "string" && CONTROLS.has(byte)) out.push(byte);
  }

  const steps: Readonly<Record<State, (byte: number) => void>> = {
    text(byte) {
      if (byte < 0x80) out.push(byte);
      else beginCharacter(byte);
    },
    escape(byte) {
      if (byte < 0x30) hold(byte);
      else if (held.length > 0) finish(held, (body) => allowedEscape(body, byte));
      else if (byte === OPEN_CSI) enter("csi");
      else if (byte === OPEN_OSC) enter("osc");
      else if (OPEN_STRING.has(byte)) enter("string");
      else if (byte === BACKSLASH) finish(command, (body) => allowedOsc(body, "\x1b\\"));
      else finish(held, (body) => allowedEscape(body, byte));
    },
    csi(byte) {
      if (byte < 0x40) hold(byte);
      else finish(held, (body) => allowedCsi(body, byte));
    },
    osc: hold,
    string() {},
  };

  function beginCharacter(byte: number): void {
    const begun = characterOf(byte);
    if (begun !== undefined) {
      character = [byte];
      expected = begun;
    } else if (byte >= 0xa0) show(REPLACEMENT);
  }

  /** Whether `byte` belongs to the character begun. If not, that one is broken, and `byte` is still to be read. */
  function continueCharacter(byte: number): boolean {
    const fits = byte >= expected.low && byte <= expected.high;
    if (fits) {
      character.push(byte);
      expected = { length: expected.length, low: 0x80, high: 0xbf };
      if (character.length < expected.length) return true;
    }
    const [lead = 0, second = 0] = character;
    const isC1 = lead === 0xc2 && second < 0xa0;
    if (!fits) show(REPLACEMENT);
    else if (!isC1) show(character);
    character = [];
    return fits;
  }

  const take = (): Uint8Array => {
    const taken = Buffer.from(out);
    out = [];
    return taken;
  };
  return {
    write(chunk) {
      for (const byte of chunk) feed(byte);
      return take();
    },
    end() {
      if (character.length > 0) show(REPLACEMENT);
      character = [];
      enter("text");
      return take();
    },
  };
}

interface CharacterShape {
  readonly length: number;
  /** The range of the next byte. */
  readonly low: number;
  readonly high: number;
}

/** What a character that begins with `lead` must look like: no overlong form, no surrogate, nothing past U+10FFFF. */
function characterOf(lead: number): CharacterShape | undefined {
  if (lead < 0xc2 || lead > 0xf4) return undefined;
  if (lead < 0xe0) return { length: 2, low: 0x80, high: 0xbf };
  if (lead < 0xf0) return { length: 3, low: lead === 0xe0 ? 0xa0 : 0x80, high: lead === 0xed ? 0x9f : 0xbf };
  return { length: 4, low: lead === 0xf0 ? 0x90 : 0x80, high: lead === 0xf4 ? 0x8f : 0xbf };
}

// Each of the following gives the sequence as it may pass, or "".

function allowedEscape(body: Buffer, final: number): string {
  const sequence = body.toString("latin1") + String.fromCharCode(final);
  return ESCAPES.has(sequence) ? `\x1b${sequence}` : "";
}

function allowedCsi(body: Buffer, final: number): string {
  const [, prefix = "", list, intermediates = ""] = CSI_BODY.exec(body.toString("latin1")) ?? [];
  const rule = CSI_RULES.get(prefix + intermediates + String.fromCharCode(final));
  if (list === undefined || rule === undefined || list.split(/[;:]/).length > MAX_PARAMETERS) return "";
  const parameters = allowedParameters(rule, list.split(";"));
  if (parameters === undefined) return "";
  return `\x1b[${prefix}${parameters.join(";")}${intermediates}${String.fromCharCode(final)}`;
}

const CSI_BODY = new RegExp(`^([<=>?]?)((?:[0-9]{0,${MAX_DIGITS}}[;:])*[0-9]{0,${MAX_DIGITS}})([ -/]*)$`);

function allowedParameters(rule: CsiRule, parameters: readonly string[]): readonly string[] | undefined {
  // Only attributes have parts: 4:3, 38:2::255:128:0.
  if (rule.kind !== "attributes" && parameters.some((parameter) => parameter.includes(":"))) return undefined;
  switch (rule.kind) {
    case "attributes":
      return parameters;
    case "numbers":
      return parameters.length <= rule.most ? parameters : undefined;
    case "modes": {
      const kept = parameters.filter((parameter) => rule.modes.has(Number(parameter)));
      return kept.length > 0 ? kept : undefined;
    }
    case "key-format":
      // Only modifyOtherKeys, which TERMINAL_RESET undoes.
      return parameters.length <= 2 && Number(parameters[0]) === 4 ? parameters : undefined;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });

/** Titles, and links to the web. */
function allowedOsc(body: Buffer, terminator: string): string {
  const [, code, rest = ""] = /^([0-9]+);(.*)$/s.exec(utf8.decode(body)) ?? [];
  switch (code) {
    case "0":
    case "1":
    case "2":
      return `\x1b]${code};${title(rest)}${terminator}`;
    case "8":
      return `\x1b]8;${hyperlink(rest)}${terminator}`;
    default:
      return "";
  }
}

/** A title is shown where nobody expects an agent's words: on one line, nothing invisible, nothing reversed. */
function title(text: string): string {
  return [...text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "")].slice(0, MAX_TITLE_CHARACTERS).join("");
}

/** `id;uri`. A click on file:, ssh: or an application's own scheme acts on the host: such a link becomes a link's end. */
function hyperlink(rest: string): string {
  const [, parameters = "", uri = ""] = /^([^;]*);(https?:\/\/[!-~]+)$/i.exec(rest) ?? [];
  const id = parameters.split(":").find((parameter) => /^id=[\w.-]{1,64}$/.test(parameter)) ?? "";
  return uri === "" ? ";" : `${id};${uri}`;
}

/** {@link createTerminalFilter} as a stream of bytes. */
export function filterTerminal(): Transform {
  const filter = createTerminalFilter();
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      done(null, filter.write(chunk));
    },
    flush(done) {
      done(null, filter.end());
    },
  });
}
