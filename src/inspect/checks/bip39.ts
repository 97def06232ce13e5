import { createHash } from "node:crypto";
import { BIP39_WORDS } from "./bip39-words.ts";

const NUMBERS: ReadonlyMap<string, number> = new Map(BIP39_WORDS.map((word, number) => [word, number]));

/** Words in a seed phrase, by its entropy of 128 to 256 bits. */
export const SEED_PHRASE_LENGTHS: readonly number[] = [12, 15, 18, 21, 24];

const BITS_PER_WORD = 11;

/**
 * Fewest different words. Of a phrase drawn at random not one in a billion is under it; repeated words
 * ("test test test", the all-zero vector of every wallet's tests) are.
 */
const MIN_DIFFERENT_WORDS = 7;

/** Whether `words` are a BIP-39 phrase: known words, a right count, and the checksum of its last bits. */
export function isSeedPhrase(words: readonly string[]): boolean {
  if (!SEED_PHRASE_LENGTHS.includes(words.length)) return false;
  if (new Set(words).size < MIN_DIFFERENT_WORDS || isSorted(words)) return false;
  let bits = 0n;
  for (const word of words) {
    const index = NUMBERS.get(word);
    if (index === undefined) return false;
    bits = (bits << BigInt(BITS_PER_WORD)) | BigInt(index);
  }
  const checksumBits = words.length / 3;
  const entropyBytes = (checksumBits * 32) / 8;
  const entropy = (bits >> BigInt(checksumBits)).toString(16).padStart(entropyBytes * 2, "0");
  const head = createHash("sha256").update(Buffer.from(entropy, "hex")).digest()[0] ?? 0;
  return Number(bits & ((1n << BigInt(checksumBits)) - 1n)) === head >> (8 - checksumBits);
}

/** Twelve words in the order of the dictionary are a piece of the word list itself: 1 phrase in 479 million is. */
function isSorted(words: readonly string[]): boolean {
  return words.every((word, i) => i === 0 || (words[i - 1] ?? "") <= word);
}
