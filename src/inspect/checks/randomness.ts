/**
 * Whether `value` could have been drawn at random from letters and digits: it mixes them, or the two cases as no words
 * do, and does not count up, spell words in camel case, or repeat one block. For formats of which a prefix and a length is all that
 * is known, so that an identifier of the same length is not taken for a key.
 */
export function looksRandom(value: string): boolean {
  let digits = 0;
  let capitals = 0;
  let small = 0;
  let changes = 0;
  let before: number = Kind.other;
  for (let i = 0; i < value.length; i++) {
    const kind = kindOf(value.charCodeAt(i));
    if (kind === Kind.digit) digits++;
    else if (kind === Kind.capital) capitals++;
    else if (kind === Kind.small) small++;
    if (isChange(before, kind)) changes++;
    before = kind;
  }
  if (digits === value.length) return false;
  // Of twenty characters drawn at random, three in a hundred times none is a digit.
  if (digits === 0 && Math.min(capitals, small) < value.length / LENGTH_PER_OTHER_CASE) return false;
  const lengthPerChange = digits === 0 ? LENGTH_PER_CHANGE_OF_LETTERS : LENGTH_PER_CHANGE;
  if (changes < value.length / lengthPerChange) return false;
  const bare = value.replace(/[-_]/g, "");
  return !(SEQUENCES.test(bare) || isRepetitive(bare));
}

/** Random alphanumerics change kind every second or third character, words at most every fifth. */
const LENGTH_PER_CHANGE = 6;
/** Without digits: letters drawn at random change every second time, words in camel case every fourth at most. */
const LENGTH_PER_CHANGE_OF_LETTERS = 3;
/** They have as many of one case as of the other; names have a capital for each word. */
const LENGTH_PER_OTHER_CASE = 4;

/** Placeholders typed along the alphabet, the keyboard or the digits. */
const SEQUENCES = /abcdef|ABCDEF|ghijkl|uvwxyz|qwerty|123456|987654|example|EXAMPLE/;

/** Characters of a block that is repeated. */
const BLOCKS = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12] as const;

/** The same character five times over, or one block three times. */
export function isRepetitive(text: string): boolean {
  return echoes(text, 1, 4) || BLOCKS.some((size) => echoes(text, size, 2 * size));
}

/** Whether so many characters, one after the other, are each what stands `apart` before them. */
function echoes(text: string, apart: number, wanted: number): boolean {
  let found = 0;
  for (let i = apart; i < text.length; i++) {
    found = text.charCodeAt(i) === text.charCodeAt(i - apart) ? found + 1 : 0;
    if (found === wanted) return true;
  }
  return false;
}

const Kind = { other: 0, digit: 1, capital: 2, small: 3 } as const;

function kindOf(code: number): number {
  if (code >= 48 && code <= 57) return Kind.digit;
  if (code >= 65 && code <= 90) return Kind.capital;
  return code >= 97 && code <= 122 ? Kind.small : Kind.other;
}

/** Every one but a word's capital and its next letter, which camel case has as often as chance. */
function isChange(before: number, kind: number): boolean {
  if (kind === Kind.other || before === Kind.other) return false;
  return kind === before ? kind === Kind.capital : before !== Kind.capital || kind === Kind.digit;
}

/** Whether `value` has small letters, capitals and digits: hexadecimal and base32 have not. */
export function isMixedCase(value: string): boolean {
  return /[a-z]/.test(value) && /[A-Z]/.test(value) && /\d/.test(value) && looksRandom(value);
}
