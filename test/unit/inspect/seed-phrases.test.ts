import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSeedPhrase } from "../../../src/inspect/checks/bip39.ts";
import { BIP39_WORDS } from "../../../src/inspect/checks/bip39-words.ts";
import { inspected } from "../../support/inspected.ts";

/** Phrases with a right checksum: made here, so that they are nobody's. */
function phrases(count: number, length = 12): string[][] {
  const found: string[][] = [];
  for (let seed = 1; found.length < count; seed++) {
    const words = Array.from(
      { length },
      (_, i) => BIP39_WORDS[(seed * 7919 + i * i * 104_729 + i * 613) % BIP39_WORDS.length] ?? "",
    );
    if (isSeedPhrase(words)) found.push(words);
  }
  return found;
}

const [phrase = [], other = []] = phrases(2);
/** Of which no part is a phrase too, so that it must be read whole. */
const long = phrases(40, 24).find((words) => !holdsShorter(words)) ?? [];
const isFound = (text: string): boolean => inspected(text).some(({ detector }) => detector === "seed-phrase");
const capital = (word: string): string => `${word.charAt(0).toUpperCase()}${word.slice(1)}`;
const PROSE = "It was so, and the rest of what they had written on that day is not in question here. ".repeat(
  9,
);

describe("seed phrases", () => {
  it.each([
    ["in lower case", phrase.join(" ")],
    ["in UPPER CASE", phrase.join(" ").toUpperCase()],
    ["in Title Case", phrase.map(capital).join(" ")],
    ["in mIxEd case", phrase.map((word, i) => (i % 2 === 0 ? word : word.toUpperCase())).join(" ")],
    ["in a list with numbers", phrase.map((word, i) => `${i + 1}. ${capital(word)}`).join("\n")],
    ["in JSON", JSON.stringify(phrase.map((word) => word.toUpperCase()))],
    ["in base64, in capitals", Buffer.from(phrase.join(" ").toUpperCase()).toString("base64")],
    ["with one letter escaped", phrase.join(" ").replace(/(?<=^.{35})./, escaped)],
    ["of 24 words in JSON with one letter escaped", JSON.stringify(long).replace(/(?<=^.{3})./, escaped)],
    ["of 24 words with one letter escaped", long.join(" ").replace(/(?<=^.{80})./, escaped)],
  ])("finds one %s", (_, text) => {
    expect(isFound(text)).toBe(true);
    expect(isFound(`${PROSE}${text}. ${PROSE}`)).toBe(true);
  });

  it("finds one wherever it stands in a text, also where words of the list stand around it", () => {
    fc.assert(
      fc.property(fc.nat(400), fc.constantFrom(...phrases(6)), fc.nat(5), (shift, words, around) => {
        const before = `${PROSE.slice(0, shift)}; ${other.slice(0, around).join(" ")}`;
        expect(
          isFound(`${before} ${words.join(" ").toUpperCase()} ${other.slice(0, around).join(" ")}`),
        ).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  it("finds one behind what is no text, however long the text before that was", () => {
    for (const words of phrases(4))
      for (let size = 100; size < 200; size++)
        expect(isFound(`${PROSE.slice(0, size)}${"{;".repeat(20)}${words.join(" ")};`), `${size}`).toBe(true);
  });

  it("leaves words of the list alone that are no phrase, in any case", () => {
    const wrong = [...phrase.slice(1), phrase[0] ?? ""];
    expect(isSeedPhrase(wrong)).toBe(false);
    for (const text of [wrong.join(" "), wrong.join(" ").toUpperCase(), BIP39_WORDS.join("\n").toUpperCase()])
      expect(isFound(text)).toBe(false);
  });

  it("reads no further than it must where nothing but separators stands", () => {
    const text = "1 ".repeat(500_000);
    expect(isFound(text)).toBe(false);
    expect(isFound(`${text}${phrase.join(" ")}`)).toBe(true);
  });
});

function holdsShorter(words: readonly string[]): boolean {
  return [12, 15, 18, 21].some((length) =>
    words.some((_, from) => from + length <= words.length && isSeedPhrase(words.slice(from, from + length))),
  );
}

function escaped(letter: string): string {
  return `\\u00${letter.charCodeAt(0).toString(16).padStart(2, "0")}`;
}
