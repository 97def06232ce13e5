/**
 * Takes credentials out of what an upstream sends back: one that echoes headers, a page that shows its token. The
 * values are the ones egress put in, so the guest must never read them.
 *
 * Works on a stream and keeps its length. It holds back only a tail that is the true beginning of a value in one of
 * its encodings, so the event streams of models are not delayed. Encodings: as it is, in JSON, HTML, a URL or a
 * form, in hex, and in base64 at every alignment. No others, and no pieces: an upstream that wants to leak what it
 * was given can do so in any way it likes; this stops the ones that do not mean to.
 */
import { UserError } from "../lib/errors.ts";
import { MIN_KNOWN } from "./known-secret.ts";
import { compileSkipSearch, type SkipSearch } from "./skip-search.ts";

export interface EchoScrubber {
  /** What can be passed on of all that was pushed. */
  push(chunk: Uint8Array): Buffer;
  /** What was held back. */
  end(): Buffer;
}

/** Values and their encodings, ready for any number of streams. */
export interface EchoScrubberFactory {
  open(): EchoScrubber;
}

const REPLACEMENT = 0x58; // X: stays a digit of base64, a character of JSON, a letter of a URL.
const HEX_REPLACEMENT = 0x30;

/** Throws a UserError for a value that is too short to be told from ordinary text. */
export function compileEchoScrubber(values: readonly (string | Uint8Array)[]): EchoScrubberFactory {
  const forms = values.flatMap((value) => echoForms(Buffer.from(value)));
  const automaton = buildAutomaton(forms);
  const search = compileSkipSearch(forms);
  return { open: () => openScrubber(automaton, search) };
}

function echoForms(value: Buffer): Buffer[] {
  if (value.length < MIN_KNOWN)
    throw new UserError(`A credential of ${value.length} bytes cannot be told from ordinary text.`, {
      hint: `Use one of at least ${MIN_KNOWN} bytes.`,
    });
  const text = value.toString();
  const json = JSON.stringify(text).slice(1, -1);
  const url = encodeURIComponent(text);
  const hex = value.toString("hex");
  const forms = [
    json,
    json.replaceAll("/", "\\/"),
    url,
    url.replace(/%../g, (percent) => percent.toLowerCase()),
    url.replaceAll("%20", "+"),
    text.replace(/[&<>"']/g, (mark) => `&#${mark.charCodeAt(0)};`),
    text.replace(/[&<>"]/g, (mark) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[mark] ?? "&quot;"),
    hex,
    hex.toUpperCase(),
    ...[0, 1, 2].flatMap((place) => [
      base64Digits(value, place, "base64"),
      base64Digits(value, place, "base64url"),
    ]),
  ].map((form) => Buffer.from(form));
  return [value, ...forms];
}

/** The digits that do not depend on what stands before or behind. */
function base64Digits(value: Buffer, place: number, alphabet: "base64" | "base64url"): string {
  const digits = Buffer.concat([Buffer.alloc(place), value])
    .toString(alphabet)
    .replace(/=+$/, "");
  const whole = Math.floor(((place + value.length) * 8) / 6);
  return digits.slice(Math.ceil((place * 8) / 6), whole);
}

/** Aho and Corasick's: the next state for every state and byte, with bytes that no form has as one class. */
interface Automaton {
  readonly classes: Uint8Array;
  readonly width: number;
  readonly next: Int32Array;
  /** Length of the longest form that ends in a state; 0 for none. */
  readonly matched: Int32Array;
  /** Length of the longest beginning of a form that a state stands for. */
  readonly depth: Int32Array;
}

function buildAutomaton(forms: readonly Buffer[]): Automaton {
  const used = [...new Set(forms.flatMap((form) => [...form]))];
  const classes = new Uint8Array(256);
  // A form cannot have all 256 bytes and fit a class each besides "none": the last one then shares, harmlessly.
  for (const [i, byte] of used.entries()) classes[byte] = Math.min(i + 1, 255);
  const width = Math.min(used.length + 1, 256);
  const most = forms.reduce((sum, { length }) => sum + length, 1);
  const next = new Int32Array(most * width);
  const matched = new Int32Array(most);
  const depth = new Int32Array(most);
  const fallback = new Int32Array(most);
  let states = 1;
  for (const form of forms) {
    let state = 0;
    for (const byte of form) {
      const slot = state * width + (classes[byte] ?? 0);
      if (next[slot] === 0) {
        depth[states] = (depth[state] ?? 0) + 1;
        next[slot] = states++;
      }
      state = next[slot] ?? 0;
    }
    matched[state] = form.length;
  }
  const queue = [0];
  for (const state of queue) {
    const behind = fallback[state] ?? 0;
    matched[state] = Math.max(matched[state] ?? 0, matched[behind] ?? 0);
    for (let i = 0; i < width; i++) {
      const slot = state * width + i;
      const child = next[slot] ?? 0;
      const other = state === 0 ? 0 : (next[behind * width + i] ?? 0);
      if (child === 0) next[slot] = other;
      else {
        fallback[child] = other;
        queue.push(child);
      }
    }
  }
  return { classes, width, next, matched, depth };
}

/** Nearly all that upstreams say holds no value: the search passes over it, and only its end is read byte by byte. */
function openScrubber(automaton: Automaton, search: SkipSearch): EchoScrubber {
  const { depth } = automaton;
  let held: Buffer = Buffer.alloc(0);
  let state = 0;
  return {
    push(chunk) {
      const pushed = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      let text = held.length === 0 ? pushed : Buffer.concat([held, pushed]);
      if (search.holds(text)) {
        text = text === pushed ? Buffer.from(pushed) : text;
        state = scrub(automaton, text, held.length, state);
      } else {
        // What ends here begins no farther back than the longest form is long.
        state = scrub(automaton, text, Math.max(0, text.length - search.longest), 0);
      }
      const ready = text.length - (depth[state] as number);
      held = text.subarray(ready);
      return text.subarray(0, ready);
    },
    end() {
      const rest = held;
      held = Buffer.alloc(0);
      state = 0;
      return rest;
    },
  };
}

/** Blanks what ends behind `from`, where the automaton is in `before`; says in which state it is at the end. */
function scrub(
  { classes, width, next, matched }: Automaton,
  text: Buffer,
  from: number,
  before: number,
): number {
  let state = before;
  for (let i = from; i < text.length; i++) {
    state = next[state * width + (classes[text[i] as number] as number)] as number;
    const size = matched[state] as number;
    if (size > 0) blank(text, i + 1 - size, i + 1);
  }
  return state;
}

function blank(text: Buffer, from: number, to: number): void {
  let isHex = true;
  for (let i = from; i < to && isHex; i++) isHex = /[0-9a-fA-F]/.test(String.fromCharCode(text[i] ?? 0));
  text.fill(isHex ? HEX_REPLACEMENT : REPLACEMENT, from, to);
}
