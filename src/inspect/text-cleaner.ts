/**
 * Undoes what text formats and disguises do to a value, all of it at once and to the end: percent, JSON and C
 * escapes, HTML entities, UTF-8 of folded characters, and the zero bytes of UTF-16. It rewrites the tail of its own
 * output until nothing there is an escape any more, so that `%25252541`, `\\u0026#65;` and any other nesting come out
 * in one linear pass: each rewriting makes the output shorter.
 *
 * It decodes more than any one format would. That is right for a search, and for nothing else.
 */
import { BYTE_CLASSES, HEX_VALUE, PLAIN } from "./byte-classes.ts";
import { entityValue } from "./entities.ts";
import { DROPPED, fold, foldedText, OTHER, SEVERAL } from "./fold.ts";
import type { Kernels } from "./simd/kernels.ts";
import { decodeUtf8 } from "./utf8.ts";

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const AMPERSAND = 0x26;
const SEMICOLON = 0x3b;

/** Longest escape, begin to end: `&ZeroWidthSpace;`, and a number with some zeros before it. */
const LONGEST = 18;
/** Escapes nested deeper count as this deep. */
const DEEPEST = 127;
/** It was the percent sign or an entity that stood for the byte, not a backslash. */
const FOREIGN = 128;
/** Above both: how deep the least nested part of it was. */
const SHALLOWEST_SHIFT = 8;
const PLAIN_BYTES = BYTE_CLASSES.map((classes) => classes & PLAIN);
/** No escape is being read. */
const IDLE = -1 - LONGEST;

/** Where in the source each byte of the output comes from. */
export interface Origins {
  readonly from: Int32Array;
  readonly to: Int32Array;
}

/** The memory of {@link Kernels} in which the text lies, and what it is cleaned into, which has room for 16 bytes more. */
export interface WideCopy {
  readonly kernels: Kernels;
  readonly source: number;
  readonly out: number;
}

/**
 * Which backslashes are doubled by a deeper one before them, that is by one which was itself written as an escape (JSON in
 * JSON, some of it percent-encoded), rather than by one that begins an escape of its own. Which was meant cannot be known:
 * `none`, those as deep as it but for some bytes that were escaped once more (`alike`), those that were themselves `encoded`,
 * or `all`.
 */
export type Doubling = "none" | "alike" | "encoded" | "all";
type Ambiguous = "plain" | "encoded" | "alike";
const DOUBLED: Readonly<Record<Doubling, readonly Ambiguous[]>> = {
  none: [],
  alike: ["alike"],
  encoded: ["alike", "encoded"],
  all: ["alike", "encoded", "plain"],
};

export class TextCleaner {
  #out: Uint8Array = new Uint8Array(0);
  #length = 0;
  #armed = IDLE;
  /** Where the bytes of the output stand that begin escapes, in order. */
  #openings = new Int32Array(0);
  #openingCount = 0;
  /**
   * How many escapes deep each byte of the output is, as far as it can be part of one: by its most and by its least nested
   * part, because an escape of which some bytes alone were escaped again is no deeper than its neighbour that was spared.
   */
  #depths = new Uint16Array(0);
  #depth = 0;
  #doubling: Doubling = "none";
  /** How the last text can be read besides, because it had a backslash before a less deep one (`%5c\u0041`). */
  #ambiguity = { plain: false, encoded: false, alike: false };
  #origins: Origins | undefined;
  #wide: WideCopy | undefined;
  #from = 0;
  #to = 0;

  /**
   * Cleans `source[from, to)` into `out`, which must have as much room; says how long it became.
   *
   * @param options.wide says that both lie in one memory, and where.
   */
  clean(
    source: Uint8Array,
    from: number,
    to: number,
    out: Uint8Array,
    {
      origins,
      doubling = "none",
      wide,
    }: { origins?: Origins; doubling?: Doubling; wide?: WideCopy | undefined } = {},
  ): number {
    this.#ambiguity = { plain: false, encoded: false, alike: false };
    this.#doubling = doubling;
    this.#out = out;
    this.#length = 0;
    this.#armed = IDLE;
    this.#openingCount = 0;
    if (this.#depths.length < to - from) {
      this.#depths = new Uint16Array(to - from);
      this.#openings = new Int32Array(to - from);
    }
    this.#origins = origins;
    this.#wide = wide;
    let i = from;
    while (i < to) {
      if (origins === undefined && this.#length - this.#armed > LONGEST) {
        i = this.#copyPlain(source, i, to);
        if (i === to) break;
      }
      this.#from = i;
      this.#to = i + 1;
      this.#put(source[i] as number);
      i++;
    }
    return this.#length;
  }

  /** What begins no escape and no letter in disguise, while none is being read; says where it ends. */
  #copyPlain(source: Uint8Array, from: number, to: number): number {
    const wide = this.#wide;
    if (wide !== undefined) {
      const count = wide.kernels.copyPlain(wide.source + from, to - from, wide.out + this.#length);
      this.#length += count;
      return from + count;
    }
    const out = this.#out;
    let length = this.#length;
    let i = from;
    for (; i < to; i++) {
      const byte = source[i] as number;
      if (PLAIN_BYTES[byte] === 0) break;
      out[length++] = byte;
    }
    this.#length = length;
    return i;
  }

  /** Other readings of the text that was just cleaned with `none`. */
  get otherReadings(): readonly Doubling[] {
    const { plain, encoded, alike } = this.#ambiguity;
    const readings: Doubling[] = [];
    if (alike && (plain || encoded)) readings.push("alike");
    if (plain && (encoded || alike)) readings.push("encoded");
    return plain || encoded || alike ? [...readings, "all"] : [];
  }

  #store(byte: number): void {
    if (this.#origins !== undefined) {
      this.#origins.from[this.#length] = this.#from;
      this.#origins.to[this.#length] = this.#to;
    }
    this.#depths[this.#length] = this.#depth;
    this.#out[this.#length++] = byte;
  }

  /** Appends a byte, then what the tail turns into, and so on. A loop: nestings are as deep as hostile texts like. */
  #put(byte: number): void {
    let next = byte;
    this.#depth = 0;
    while (next > 0) {
      this.#store(next);
      if (next >= 0x80) next = next < 0xc0 ? this.#foldTail() : -1;
      else if (next === PERCENT || next === BACKSLASH || next === AMPERSAND) {
        this.#open();
        return;
      } else if (this.#length - this.#armed <= LONGEST) next = this.#reduce();
      else return;
    }
  }

  /** If the output ends in a whole UTF-8 character that folds: takes it away and returns what is to be put. */
  #foldTail(): number {
    const out = this.#out;
    const end = this.#length;
    for (let size = 2; size <= 4 && size <= end; size++) {
      const lead = out[end - size] as number;
      if (lead < 0xc0) {
        if (lead < 0x80) return -1;
        continue;
      }
      const codePoint = decodeUtf8(out, end - size, end);
      if (codePoint < 0) return -1;
      const folded = fold(codePoint);
      if (folded === OTHER) return -1;
      return this.#replaceTail(end - size, folded, size);
    }
    return -1;
  }

  #replaceTail(start: number, folded: number, room: number): number {
    if (this.#origins !== undefined) this.#from = this.#origins.from[start] as number;
    this.#cutAt(start);
    if (folded === DROPPED) return -1;
    if (folded < SEVERAL) return folded;
    const text = foldedText(folded);
    // One character must not become longer than it was, or the room would not do.
    const last = Math.min(text.length, room) - 1;
    for (let i = 0; i < last; i++) {
      const code = text.charCodeAt(i);
      this.#store(code);
      if (code === PERCENT || code === BACKSLASH || code === AMPERSAND) this.#open();
    }
    return text.charCodeAt(last);
  }

  /** With the last byte of the output an escape begins. */
  #open(): void {
    this.#armed = this.#length - 1;
    this.#openings[this.#openingCount++] = this.#armed;
  }

  /** Cuts the output there: the escape goes on that was being read before. */
  #cutAt(end: number): void {
    this.#length = end;
    let count = this.#openingCount;
    while (count > 0 && (this.#openings[count - 1] as number) >= end) count--;
    this.#openingCount = count;
    const last = count > 0 ? (this.#openings[count - 1] as number) : IDLE;
    this.#armed = last > end - LONGEST ? last : IDLE;
  }

  /** If the tail is a whole escape: takes it away and returns what is to be put instead, or -1. */
  #reduce(): number {
    switch (this.#out[this.#armed]) {
      case PERCENT:
        return this.#reducePercent();
      case BACKSLASH:
        return this.#reduceBackslash();
      case AMPERSAND:
        return this.#reduceEntity();
      default:
        return -1;
    }
  }

  #reducePercent(): number {
    const size = this.#length - this.#armed;
    const unicode = (this.#out[this.#armed + 1] as number | 0x20) === 0x75;
    if (size === (unicode ? 6 : 3)) {
      const value = this.#hex(this.#armed + (unicode ? 2 : 1), this.#length);
      if (value >= 0) return unicode ? this.#character(value) : this.#byte(value);
      this.#armed = IDLE;
    } else if (size > 6) this.#armed = IDLE;
    return -1;
  }

  #reduceBackslash(): number {
    const size = this.#length - this.#armed;
    const kind = this.#out[this.#armed + 1] as number;
    const last = this.#out[this.#length - 1] as number;
    if (size === 2) {
      if (kind === 0x6e || kind === 0x72) return this.#byte(0x0a);
      if (kind === 0x74) return this.#byte(0x09);
      if (kind === 0x2f || kind === 0x22 || kind === 0x27) return this.#byte(kind);
      // A line that goes on in the next one.
      if (kind === 0x0a) return this.#byte(0);
      if (!(kind === 0x75 || kind === 0x55 || kind === 0x78 || (kind >= 0x30 && kind < 0x34)))
        this.#armed = IDLE;
      return -1;
    }
    if (kind === 0x75 && this.#out[this.#armed + 2] === 0x7b) {
      if (last !== 0x7d) return -1;
      const value = size <= 12 ? this.#hex(this.#armed + 3, this.#length - 1) : -1;
      if (value >= 0) return this.#character(value);
    } else if (kind === 0x75 || kind === 0x55) {
      const whole = kind === 0x75 ? 6 : 10;
      if (size < whole) return -1;
      const value = size === whole ? this.#hex(this.#armed + 2, this.#length) : -1;
      if (value >= 0) return this.#character(value);
    } else if (kind === 0x78) {
      if (size < 4) return -1;
      const value = size === 4 ? this.#hex(this.#armed + 2, this.#length) : -1;
      if (value >= 0) return this.#byte(value);
    } else if (kind >= 0x30 && kind < 0x34) {
      const middle = this.#out[this.#armed + 2] as number;
      if (middle >= 0x30 && middle < 0x38) {
        if (size < 4) return -1;
        if (size === 4 && last >= 0x30 && last < 0x38)
          return this.#byte(((kind & 3) << 6) | ((middle & 7) << 3) | (last & 7));
      }
    }
    this.#armed = IDLE;
    return -1;
  }

  #reduceEntity(): number {
    const last = this.#out[this.#length - 1] as number;
    if (last !== SEMICOLON) {
      const inName =
        (last >= 0x30 && last <= 0x39) || ((last | 0x20) >= 0x61 && (last | 0x20) <= 0x7a) || last === 0x23;
      if (!inName) this.#armed = IDLE;
      return -1;
    }
    const value = entityValue(this.#out, this.#armed + 1, this.#length - 1);
    if (value >= 0) return this.#character(value);
    this.#armed = IDLE;
    return -1;
  }

  #hex(from: number, to: number): number {
    if (from >= to) return -1;
    let value = 0;
    for (let i = from; i < to; i++) {
      const digit = HEX_VALUE[this.#out[i] as number] as number;
      if (digit > 15) return -1;
      value = value * 16 + digit;
    }
    return value;
  }

  /** Takes the escape away, and backslashes before it: JSON inside JSON doubles them. */
  #byte(value: number): number {
    let start = this.#armed;
    const backslash = this.#out[start] === BACKSLASH;
    const own = this.#depths[start] as number;
    const depth = own & DEEPEST;
    if (backslash)
      for (; start > 0 && this.#out[start - 1] === BACKSLASH; start--) {
        const before = this.#depths[start - 1] as number;
        if ((before & DEEPEST) <= depth) continue;
        if ((before & FOREIGN) === 0) break;
        const how =
          depth === 0
            ? "plain"
            : (own & FOREIGN) !== 0 && before >> SHALLOWEST_SHIFT <= own >> SHALLOWEST_SHIFT
              ? "alike"
              : "encoded";
        this.#ambiguity[how] = true;
        if (!DOUBLED[this.#doubling].includes(how)) break;
      }
    let deepest = 0;
    let shallowest = DEEPEST;
    for (let i = start; i < this.#length; i++) {
      const at = this.#depths[i] as number;
      deepest = Math.max(deepest, at & DEEPEST);
      shallowest = Math.min(shallowest, at >> SHALLOWEST_SHIFT);
    }
    this.#depth =
      Math.min(deepest + 1, DEEPEST) |
      (backslash ? 0 : FOREIGN) |
      (Math.min(shallowest + 1, DEEPEST) << SHALLOWEST_SHIFT);
    if (this.#origins !== undefined) this.#from = this.#origins.from[start] as number;
    this.#cutAt(start);
    return value;
  }

  #character(codePoint: number): number {
    this.#byte(0);
    if (codePoint < 0x80) return codePoint;
    if (codePoint >= 0xdc00 && codePoint < 0xe000) {
      const high = decodeUtf8(this.#out, this.#length - 3, this.#length);
      if (high >= 0xd800 && high < 0xdc00) {
        if (this.#origins !== undefined) this.#from = this.#origins.from[this.#length - 3] as number;
        this.#length -= 3;
        return this.#character2(0x10000 + ((high - 0xd800) << 10) + (codePoint - 0xdc00));
      }
    }
    return this.#character2(codePoint);
  }

  #character2(codePoint: number): number {
    const folded = fold(codePoint);
    if (folded === DROPPED) return -1;
    if (folded !== OTHER) return this.#replaceTail(this.#length, folded, 3);
    if (codePoint < 0x800) this.#store(0xc0 | (codePoint >> 6));
    else {
      if (codePoint < 0x10000) this.#store(0xe0 | (codePoint >> 12));
      else {
        this.#store(0xf0 | ((codePoint >> 18) & 7));
        this.#store(0x80 | ((codePoint >> 12) & 63));
      }
      this.#store(0x80 | ((codePoint >> 6) & 63));
    }
    this.#store(0x80 | (codePoint & 63));
    return -1;
  }
}
