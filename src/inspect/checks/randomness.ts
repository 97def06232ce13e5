/**
 * Whether `value` could have been drawn at random from letters and digits: it mixes them, and does not count
 * up, spell words in camel case, or repeat one block. For formats of which a prefix and a length is all that
 * is known, so that an identifier of the same length is not taken for a key.
 */
export function looksRandom(value: string): boolean {
  const digits = count(value, /\d/g);
  const changes = count(value, /(?:[A-Za-z](?=\d)|\d(?=[A-Za-z])|[a-z](?=[A-Z])|[A-Z](?=[A-Z0-9]))/g);
  if (digits < MIN_DIGITS || digits === value.length) return false;
  if (changes < value.length / LENGTH_PER_CHANGE) return false;
  return !(SEQUENCES.test(value) || REPEATED.test(value));
}

/** 24 characters drawn from 62 have fewer than two digits in 9 of 100 cases, from 36 in 1 of 100. */
const MIN_DIGITS = 2;

/** Random alphanumerics change kind every second or third character, words at most every fifth. */
const LENGTH_PER_CHANGE = 6;

/** Placeholders typed along the alphabet, the keyboard or the digits. */
const SEQUENCES = /abcdef|ABCDEF|ghijkl|uvwxyz|qwerty|123456|987654|example|EXAMPLE/;

/** The same character five times over, or one block three times. */
const REPEATED = /(.)\1{4}|(.{3,12})\2{2}/;

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/** Whether `value` has small letters, capitals and digits: hexadecimal and base32 have not. */
export function isMixedCase(value: string): boolean {
  return /[a-z]/.test(value) && /[A-Z]/.test(value) && /\d/.test(value) && looksRandom(value);
}
