/**
 * The neighbourhoods of escapes and of letters in disguise: what is cleaned and read once more. What lies in one is
 * unpacked from the cleaned text only.
 */
import { BYTE_CLASSES, HEX_SEPARATED, SPACED } from "./byte-classes.ts";
import { BEGINNINGS, beginsDisguise } from "./disguise.ts";
import { MARK, RUN } from "./events.ts";
import type { Frame } from "./frame.ts";
import { Offsets } from "./offsets.ts";
import type { Span } from "./path.ts";
import { textBegin, textEnd } from "./plausible-text.ts";

/** A cleaned text reaches this far from the escape: as far as an escape can stand from the rest of its value. */
const NEIGHBOURHOOD = 256;
/** Farther away than this it ends with the word it is in, unless there is reason to read on. */
const WHOLE_WORDS = 64;
/** Digits of an encoding go on for longer: so long is a value of 36 bytes in spaced hex in spaced hex, four times. */
const ENCODED = 3072;
/** Either of them, all along: not first one and then the other. */
const DIGITS = HEX_SEPARATED | SPACED;
/** Escapes so close to the last one change nothing: the neighbourhood is that much longer. */
const NOT_AGAIN = 32;
/** Shorter ones hold nothing that is looked for. */
const SMALLEST = 6;

export class Regions {
  /** Begin and end in turn, in order. */
  readonly #bounds = new Offsets();
  /** No disguise that begins before is worth looking at. */
  #near = 0;
  /** So far text is known to reach. */
  #reach = 0;
  /** The first keyword in the neighbourhood. */
  #keyword = 0;

  get count(): number {
    return this.#bounds.count >> 1;
  }

  begin(region: number): number {
    return this.#bounds.at(region * 2) ?? 0;
  }

  end(region: number): number {
    return this.#bounds.at(region * 2 + 1) ?? 0;
  }

  /** Those of `frame`, in which keywords were searched. */
  find(frame: Frame): void {
    this.#bounds.clear();
    this.#near = 0;
    this.#reach = 0;
    this.#keyword = 0;
    const { events, eventCount } = frame;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      const kind = event & 3;
      if (kind === RUN) i++;
      else if (kind === MARK && (event & ~3) >= this.#near) this.#note(frame, event & ~3);
    }
  }

  /** The region, and as much again as a value could go on on either side. */
  widened(region: number, frame: Frame): Span {
    const { length } = frame;
    const begin = this.begin(region);
    const end = this.end(region);
    const first = Math.max(0, begin - NEIGHBOURHOOD);
    const last = Math.min(length, end + NEIGHBOURHOOD);
    return { start: textBegin(frame, begin, first, first), end: textEnd(frame, end, last, last) };
  }

  /** Whether a keyword of `frame` stands in it: to be asked of one region after the other. */
  holdsKeyword(region: number, { keywords }: Frame): boolean {
    if (region === 0) this.#keyword = 0;
    const begin = this.begin(region);
    while ((keywords.at(this.#keyword) ?? begin) < begin) this.#keyword++;
    return (keywords.at(this.#keyword) ?? Number.POSITIVE_INFINITY) < this.end(region);
  }

  /** Whether one of them holds all of `[from, to)`. */
  covers(from: number, to: number): boolean {
    const bounds = this.#bounds;
    if (bounds.count === 0) return false;
    let low = 0;
    let high = bounds.count >> 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.end(middle) < to) low = middle + 1;
      else high = middle;
    }
    return low * 2 < bounds.count && this.begin(low) <= from;
  }

  /** The neighbourhood of what begins in the word at `from`, if something does. */
  #note(frame: Frame, from: number): void {
    const { bytes, length } = frame;
    const bounds = this.#bounds;
    const limit = Math.min(from + 4, length);
    for (let at = from; at < limit; at++) {
      if (BEGINNINGS[bytes[at] as number] === 0 || !beginsDisguise(bytes, at, length)) continue;
      const last = bounds.at(bounds.count - 1) ?? -1;
      // It ends where no text goes on, or every binary file would be cleaned whole.
      const first = Math.max(0, last, at - NEIGHBOURHOOD);
      const text = at <= last ? last : textBegin(frame, at, first, this.#beginBefore(frame, at));
      const begin = text <= last ? last : digitsBegin(bytes, text, Math.max(0, last, at - ENCODED));
      // What the last one reached is not read again.
      const far = Math.min(length, at + NEIGHBOURHOOD + NOT_AGAIN);
      const goesOn = textEnd(frame, Math.max(this.#reach, at + 1), far, at + WHOLE_WORDS);
      const end = digitsEnd(bytes, goesOn, Math.min(length, at + ENCODED));
      this.#reach = end;
      if (begin <= last) bounds.replaceLast(Math.max(last, end));
      else if (end - begin >= SMALLEST) {
        bounds.add(begin);
        bounds.add(end);
      }
      this.#near = Math.min(at + NOT_AGAIN, end);
      return;
    }
  }

  /** Before this, the neighbourhood of `at` begins with a word: it holds the keyword that a value there may belong to. */
  #beginBefore({ keywords }: Frame, at: number): number {
    while ((keywords.at(this.#keyword) ?? at) < at - NEIGHBOURHOOD) this.#keyword++;
    return Math.min(at - WHOLE_WORDS, keywords.at(this.#keyword) ?? at);
  }
}

/** Where the digits begin that go on at `at`, in hex or base64, with what stands between them; at least at `limit`. */
function digitsBegin(bytes: Uint8Array, at: number, limit: number): number {
  let begin = at;
  for (let alive = DIGITS; begin > limit; begin--) {
    alive &= BYTE_CLASSES[bytes[begin - 1] as number] as number;
    if (alive === 0) break;
  }
  return begin;
}

function digitsEnd(bytes: Uint8Array, at: number, limit: number): number {
  let end = at;
  for (let alive = DIGITS; end < limit; end++) {
    alive &= BYTE_CLASSES[bytes[end] as number] as number;
    if (alive === 0) break;
  }
  return end;
}

export const NO_REGIONS = new Regions();
