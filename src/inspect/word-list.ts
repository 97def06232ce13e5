/** Finds phrases whose words all stand in a list: seed phrases, which no keyword announces. */
import type { Span } from "./path.ts";

/** What a phrase's checksum may be computed for in one text: honest prose has hardly a run of twelve such words. */
const FREE_CHECKS = 256;
/** A longer run of words of the list, in no order, is itself what is looked for. */
const LONGEST_CHECKED = 24;

export interface Phrase extends Span {
  readonly text: string;
}

interface Word extends Span {
  readonly text: string;
}

export class WordList {
  readonly #words: ReadonlySet<string>;
  readonly #counts: readonly number[];
  readonly #least: number;
  /** Bytes of the shortest phrase there can be: words of three letters, a separator between them. */
  readonly shortest: number;
  readonly #check: (phrase: string) => boolean;
  /** By the first three letters: settles most words without making a string. */
  readonly #beginnings = new Uint8Array(1 << 15);
  #checksLeft = FREE_CHECKS;

  constructor(words: readonly string[], counts: readonly number[], check: (phrase: string) => boolean) {
    this.#words = new Set(words);
    this.#counts = [...counts].sort((a, b) => b - a);
    this.#least = Math.min(...counts);
    this.shortest = this.#least * 4 - 1;
    this.#check = check;
    for (const word of words) {
      const bytes = Buffer.from(word);
      this.#beginnings[beginning(bytes, 0)] = 1;
    }
  }

  /** To be called before each text. */
  reset(): void {
    this.#checksLeft = FREE_CHECKS;
  }

  /** The phrases of `bytes[start, end)`, a run of lower-case letters and separators. */
  find(bytes: Uint8Array, start: number, end: number): Phrase[] {
    const phrases: Phrase[] = [];
    let count = 0;
    let runStart = start;
    let at = start;
    while (at < end) {
      if (!isLetter(bytes[at] as number)) {
        at++;
        continue;
      }
      const wordStart = at;
      while (at < end && isLetter(bytes[at] as number)) at++;
      const size = at - wordStart;
      if (size >= 3 && size <= 8 && this.#beginnings[beginning(bytes, wordStart)] === 1) {
        if (count === 0) runStart = wordStart;
        count++;
        continue;
      }
      if (count >= this.#least) this.#findInRun(bytes, runStart, wordStart, phrases);
      count = 0;
    }
    if (count >= this.#least) this.#findInRun(bytes, runStart, end, phrases);
    return phrases;
  }

  #findInRun(bytes: Uint8Array, start: number, end: number, phrases: Phrase[]): void {
    const text = Buffer.from(bytes.subarray(start, end)).toString("latin1");
    let words: Word[] = [];
    for (const { 0: word, index } of text.matchAll(/[a-z]{1,20}/g)) {
      if (this.#words.has(word)) {
        words.push({ text: word, start: start + index, end: start + index + word.length });
        continue;
      }
      this.#findInWords(words, phrases);
      words = [];
    }
    this.#findInWords(words, phrases);
  }

  #findInWords(words: readonly Word[], phrases: Phrase[]): void {
    if (words.length < this.#least) return;
    if (words.length > LONGEST_CHECKED) {
      // The list itself, in a library that brings it.
      if (!isSorted(words)) phrases.push(phraseOf(words));
      return;
    }
    for (const count of this.#counts)
      for (let from = 0; from + count <= words.length; from++) {
        const phrase = phraseOf(words.slice(from, from + count));
        if (this.#checksLeft-- > 0 && !this.#check(phrase.text)) continue;
        phrases.push(phrase);
        return;
      }
  }
}

function phraseOf(words: readonly Word[]): Phrase {
  return {
    text: words.map(({ text }) => text).join(" "),
    start: words[0]?.start ?? 0,
    end: words[words.length - 1]?.end ?? 0,
  };
}

function isSorted(words: readonly Word[]): boolean {
  return words.every(({ text }, i) => i === 0 || (words[i - 1]?.text ?? "") <= text);
}

function isLetter(byte: number): boolean {
  return byte >= 0x61 && byte <= 0x7a;
}

function beginning(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) & 31) << 10) |
    (((bytes[at + 1] as number) & 31) << 5) |
    ((bytes[at + 2] as number) & 31)
  );
}
