/**
 * Finds phrases whose words all stand in a list, in any case: seed phrases, which no keyword announces.
 *
 * A phrase fills so much text that some byte of it lies under every probe: one word in STRIDE bytes is looked up, and only
 * where it is one of the list its neighbours are. So prose is not read at all.
 */
import { BYTE_CLASSES, PHRASE } from "./byte-classes.ts";
import { RUN } from "./events.ts";
import type { FindingKind } from "./finding.ts";
import type { Frame } from "./frame.ts";
import type { Ledger } from "./ledger.ts";
import type { Span } from "./path.ts";

/** What a phrase's checksum may be computed for in one text: honest prose has hardly a run of twelve such words. */
const FREE_CHECKS = 256;
/** A longer run of words of the list, in no order, is itself what is looked for. */
const LONGEST_CHECKED = 24;
/** Letters of the words that lists may have. */
const SHORTEST_WORD = 3;
const LONGEST_WORD = 8;

/** The sweep notices a phrase in its eighth whole word of four bytes, which begins so far behind the phrase's beginning at most. */
const NOTICED = 31;
/** Bytes at the beginning of those that need not be of the run. */
const NOTICED_WHOLE = 4;
/** Of the bytes between two probes, one in so many is asked whether the phrase can go on. */
const SAMPLED = 16;

/** What may stand between two words: white space, commas, quotes, and numbers (`1. abandon 2. ability`). */
const BETWEEN = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[0-9 \t\r\n,"'.]/.test(String.fromCharCode(byte)) ? 1 : 0,
);
const LETTER = Uint8Array.from({ length: 256 }, (_, byte) =>
  /[A-Za-z]/.test(String.fromCharCode(byte)) ? 1 : 0,
);

interface Word extends Span {
  readonly text: string;
}

export interface WordListOptions {
  readonly kind: FindingKind;
  readonly id: string;
  /** Lower case. */
  readonly words: readonly string[];
  /** Possible lengths of a phrase. */
  readonly counts: readonly number[];
  /** Gets the words in lower case, joined by single spaces. */
  readonly check: (phrase: string) => boolean;
}

export class WordList {
  readonly #options: WordListOptions;
  readonly #words: ReadonlySet<string>;
  readonly #counts: readonly number[];
  readonly #least: number;
  /** No phrase is shorter: words of SHORTEST_WORD letters, a separator between them. */
  readonly #stride: number;
  /** A bit for each word's hash: settles nearly all others without making a string. */
  readonly #hashes = new Int32Array(HASHES >> 5);
  /** Words that stood together in the last text. */
  #longest = 0;
  #checksLeft = FREE_CHECKS;

  constructor(options: WordListOptions) {
    this.#options = options;
    this.#words = new Set(options.words);
    this.#counts = [...options.counts].sort((a, b) => b - a);
    this.#least = Math.min(...options.counts);
    this.#stride = this.#least * (SHORTEST_WORD + 1) - 1;
    for (const word of options.words) {
      const hash = hashOf(Buffer.from(word), 0, word.length);
      this.#hashes[hash >> 5] = (this.#hashes[hash >> 5] ?? 0) | (1 << hash);
    }
  }

  /** To be called before each text. */
  reset(): void {
    this.#checksLeft = FREE_CHECKS;
  }

  /** True when half a phrase stands in `frame`, or more. */
  search(frame: Frame, ledger: Ledger): boolean {
    this.#longest = 0;
    const { events, eventCount } = frame;
    let probed = 0;
    for (let i = 0; i < eventCount; i++) {
      const event = events[i] as number;
      if ((event & 3) !== RUN) continue;
      const classes = events[++i] as number;
      if ((classes & PHRASE) !== 0)
        probed = this.#probe(frame, Math.max(probed, (event & ~3) - NOTICED), ledger);
    }
    return this.#longest * 2 >= this.#least;
  }

  /** Looks one word in `stride` up from `from` on, for as long as there may be a phrase; says up to where. */
  #probe(frame: Frame, from: number, ledger: Ledger): number {
    const stride = this.#stride;
    const { bytes, length } = frame;
    let settled = from;
    let at = from + stride - 1;
    for (; at < length; at += stride) {
      // The sweep notices what begins behind a break for itself.
      const end = breakIn(bytes, at - stride + NOTICED_WHOLE, at);
      if (end >= 0) return end;
      at = wordAt(bytes, at, length);
      if (!this.#mayBeOne(bytes, at, wordEnd(bytes, at, length))) continue;
      settled = this.#searchAround(frame, at, settled, ledger);
      // The next phrase begins there at the earliest.
      at = Math.max(at, settled - 1);
    }
    return at;
  }

  #mayBeOne(bytes: Uint8Array, start: number, end: number): boolean {
    const size = end - start;
    if (size < SHORTEST_WORD || size > LONGEST_WORD) return false;
    const hash = hashOf(bytes, start, end);
    return ((this.#hashes[hash >> 5] as number) & (1 << hash)) !== 0;
  }

  /** Looks at all words of the list around the one at `at` but for what is settled, and says where they end. */
  #searchAround(frame: Frame, at: number, settled: number, ledger: Ledger): number {
    const { bytes, length } = frame;
    let start = at;
    for (;;) {
      let end = start;
      while (end > settled && BETWEEN[bytes[end - 1] as number] === 1) end--;
      let begin = end;
      while (begin > settled && end - begin <= LONGEST_WORD && LETTER[bytes[begin - 1] as number] === 1)
        begin--;
      if (!this.#mayBeOne(bytes, begin, end)) break;
      start = begin;
    }
    const spans: number[] = [];
    let end = start;
    for (;;) {
      while (end < length && BETWEEN[bytes[end] as number] === 1) end++;
      const next = wordEnd(bytes, end, length);
      if (!this.#mayBeOne(bytes, end, next)) break;
      spans.push(end, next);
      end = next;
    }
    this.#longest = Math.max(this.#longest, spans.length / 2);
    if (spans.length >= this.#least * 2) this.#searchSpans(frame, spans, ledger);
    return end;
  }

  /** `spans` are of words that may be of the list, begin and end in turn. */
  #searchSpans(frame: Frame, spans: readonly number[], ledger: Ledger): void {
    let words: Word[] = [];
    for (let i = 0; i + 1 < spans.length; i += 2) {
      const start = spans[i] ?? 0;
      const end = spans[i + 1] ?? 0;
      const text = frame.bytes.toString("latin1", start, end).toLowerCase();
      if (this.#words.has(text)) {
        words.push({ text, start, end });
        continue;
      }
      this.#searchWords(words, ledger);
      words = [];
    }
    this.#searchWords(words, ledger);
  }

  #searchWords(words: readonly Word[], ledger: Ledger): void {
    if (words.length < this.#least) return;
    if (words.length > LONGEST_CHECKED) {
      // The list itself, in a library that brings it.
      if (!isSorted(words)) this.#report(words, ledger);
      return;
    }
    for (const count of this.#counts)
      for (let from = 0; from + count <= words.length; from++) {
        const phrase = words.slice(from, from + count);
        if (this.#checksLeft-- > 0 && !this.#options.check(textOf(phrase))) continue;
        this.#report(phrase, ledger);
        return;
      }
  }

  #report(words: readonly Word[], ledger: Ledger): void {
    const { kind, id } = this.#options;
    const start = words[0]?.start ?? 0;
    ledger.report(
      kind,
      id,
      { start, end: words[words.length - 1]?.end ?? start },
      Buffer.from(textOf(words)),
    );
  }
}

/** The last byte of `bytes[from, to]` over which no phrase goes on, or -1, of one in SAMPLED. */
function breakIn(bytes: Uint8Array, from: number, to: number): number {
  let at = to;
  while (at >= from && ((BYTE_CLASSES[bytes[at] as number] as number) & PHRASE) !== 0) at -= SAMPLED;
  return at < from ? -1 : at;
}

function textOf(words: readonly Word[]): string {
  return words.map(({ text }) => text).join(" ");
}

function isSorted(words: readonly Word[]): boolean {
  return words.every(({ text }, i) => i === 0 || (words[i - 1]?.text ?? "") <= text);
}

/** Where the word begins that `at` is in, or the next one (or a piece of a longer word than lists have). */
function wordAt(bytes: Uint8Array, at: number, length: number): number {
  let start = at;
  if (LETTER[bytes[at] as number] === 1)
    while (start > 0 && at - start < LONGEST_WORD && LETTER[bytes[start - 1] as number] === 1) start--;
  else while (start < length && BETWEEN[bytes[start] as number] === 1) start++;
  return start;
}

/** Where the word at `at` ends, or one byte behind the longest. */
function wordEnd(bytes: Uint8Array, at: number, length: number): number {
  const limit = Math.min(length, at + LONGEST_WORD + 1);
  let end = at;
  while (end < limit && LETTER[bytes[end] as number] === 1) end++;
  return end;
}

/** Of a word without its case: a number below HASHES. */
function hashOf(bytes: Uint8Array, start: number, end: number): number {
  let hash = end - start;
  for (let at = start; at < end; at++) hash = Math.imul(hash, 31) + ((bytes[at] as number) & 31);
  return Math.imul(hash, 0x9e3779b1) >>> 16;
}

const HASHES = 1 << 16;
