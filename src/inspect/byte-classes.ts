/**
 * What four neighbouring bytes can be part of, as one bit a question. A byte pair is looked up at once, in one
 * table for the first half of a 4-byte word and one for the second; the AND of both is the word's answer, and
 * the AND of neighbouring words says "16 bytes and more, all of them …". sweep.ts reads nothing else.
 *
 * Base64 of text is told from base64 of anything else without decoding it: a byte below 0x80 leaves a zero at a
 * known place of each quad, so at the right one of four phases three bits in 24 are always zero.
 */

/** Bit `p`: base64 (both alphabets) of ASCII, its quads beginning at addresses ≡ p modulo 4. */
export const BASE64_ASCII = 0b1111;
/** The same, shifted by 4, for what may be UTF-8: disguised letters are not ASCII. */
export const BASE64_UTF8 = 0b1111 << 4;
/** Bit 8: hex of ASCII, pairs beginning at even addresses; bit 9: at odd ones. */
export const HEX_ASCII = 0b11 << 8;
export const HEX = 1 << 10;
export const BASE32_UPPER = 1 << 11;
export const BASE32_LOWER = 1 << 12;
/** Digits, spaces, hyphens. */
export const DIGITS = 1 << 13;
/** Capitals, digits, spaces. */
export const CAPITALS = 1 << 14;
export const ALPHANUMERICS = 1 << 15;
/** Lower-case letters and what may stand between the words of a list. */
export const WORDS = 1 << 16;
/** Base64 with white space, or with JSON's escapes of it. */
export const SPACED = 1 << 17;
/** Hex digits and what people put between them. */
export const HEX_SEPARATED = 1 << 18;
/** Base64, unbroken. Bits of SPACED and HEX_SEPARATED are taken away by shifting this and HEX: mind the distances. */
export const BASE64 = 1 << 19;
/** No byte that could begin an escape or belong to a disguised letter. */
export const PLAIN = 1 << 21;

const STANDARD = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** Value of a base64 digit of either alphabet, 64 for other bytes. */
export const BASE64_VALUE = byteTable((character) => {
  const value = STANDARD.indexOf(character === "-" ? "+" : character === "_" ? "/" : character);
  return value < 0 ? 64 : value;
});

/** Value of a hex digit, 16 for other bytes. */
export const HEX_VALUE = byteTable((character) =>
  /[0-9a-f]/i.test(character) ? Number.parseInt(character, 16) : 16,
);

/** Value of a base32 digit of either case, 32 for other bytes. */
export const BASE32_VALUE = byteTable((character) => {
  const value = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(character.toUpperCase());
  return value < 0 ? 32 : value;
});

/** For each byte, the questions above (from HEX on) to which it answers yes wherever it stands. */
export const BYTE_CLASSES = Int32Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte);
  const base64 = (BASE64_VALUE[byte] ?? 64) < 64;
  return (
    (/[0-9a-fA-F]/.test(character) ? HEX : 0) |
    (/[A-Z2-7]/.test(character) ? BASE32_UPPER : 0) |
    (/[a-z2-7]/.test(character) ? BASE32_LOWER : 0) |
    (/[0-9 -]/.test(character) ? DIGITS : 0) |
    (/[A-Z0-9 ]/.test(character) ? CAPITALS : 0) |
    (/[A-Za-z0-9]/.test(character) ? ALPHANUMERICS : 0) |
    (/[a-z0-9 \t\r\n,"'.]/.test(character) ? WORDS : 0) |
    (base64 ? BASE64 : 0) |
    (base64 || /[ \t\r\n\\=]/.test(character) ? SPACED : 0) |
    (/[0-9a-fA-F \t\r\n:,;"'xX\\-]/.test(character) ? HEX_SEPARATED : 0) |
    (byte > 0 && byte < 0x80 && !/[%&\\]/.test(character) ? PLAIN : 0)
  );
});

interface WordTables {
  /** By the word's first two bytes, little-endian. */
  readonly first: Int32Array;
  /** By its last two. */
  readonly second: Int32Array;
}

export const WORD_TABLES: WordTables = buildWordTables();

function buildWordTables(): WordTables {
  const at = [0, 1, 2, 3].map((place) =>
    Int32Array.from(BYTE_CLASSES, (classes, byte) => classes | asciiPhases(byte, place)),
  );
  const first = pairTable(at[0] ?? new Int32Array(256), at[1] ?? new Int32Array(256));
  const second = pairTable(at[2] ?? new Int32Array(256), at[3] ?? new Int32Array(256));
  addUtf8Phases(first, second);
  return { first, second };
}

function pairTable(low: Int32Array, high: Int32Array): Int32Array {
  const table = new Int32Array(65_536);
  for (let h = 0; h < 256; h++) {
    const classes = high[h] ?? 0;
    if (classes === 0) continue;
    for (let l = 0; l < 256; l++) table[(h << 8) | l] = classes & (low[l] ?? 0);
  }
  // Numbers are grouped by single spaces; indentation is no number.
  table[0x2020] = (table[0x2020] ?? 0) & ~(DIGITS | CAPITALS);
  return table;
}

/** The base64 and hex phases at which `byte`, at this place of a word, can be part of encoded ASCII. */
function asciiPhases(byte: number, place: number): number {
  const value = BASE64_VALUE[byte] ?? 64;
  let phases = 0;
  if (value < 64) {
    const fits = [value < 32, (value & 8) === 0, (value & 2) === 0, true];
    for (let phase = 0; phase < 4; phase++) if (fits[(place - phase) & 3] === true) phases |= 1 << phase;
  }
  const digit = HEX_VALUE[byte] ?? 16;
  if (digit < 16) {
    if (place % 2 === 1 || digit < 8) phases |= 0x100;
    if (place % 2 === 0 || digit < 8) phases |= 0x200;
  }
  return phases;
}

/** A pair holds one whole byte of what is encoded, and some bits of its neighbours. */
function addUtf8Phases(first: Int32Array, second: Int32Array): void {
  const digits = [...BASE64_VALUE.entries()].filter(([, value]) => value < 64);
  const plausible = Uint8Array.from({ length: 256 }, (_, byte) => (isUtf8Plausible(byte) ? 1 : 0));
  const starts = Uint8Array.from({ length: 64 }, (_, top) =>
    [0, 1, 2, 3].some((rest) => plausible[(top << 2) | rest] === 1) ? 1 : 0,
  );
  for (const [a, x] of digits)
    for (const [b, y] of digits) {
      const pair = (b << 8) | a;
      const byte01 = (x << 2) | (y >> 4);
      const byte12 = ((x & 15) << 4) | (y >> 2);
      const quad01 =
        plausible[byte01] === 1 && canFollow(byte01, (y & 15) >= 8 && (y & 15) < 12, (y & 15) >= 12);
      const quad12 = plausible[byte12] === 1 && canFollow(byte12, (y & 3) === 2, (y & 3) === 3);
      const quad23 = plausible[((x & 3) << 6) | y] === 1;
      const quad30 = starts[y] === 1;
      const bits = (p0: boolean, p1: boolean, p2: boolean, p3: boolean): number =>
        (p0 ? 0x10 : 0) | (p1 ? 0x20 : 0) | (p2 ? 0x40 : 0) | (p3 ? 0x80 : 0);
      first[pair] = (first[pair] ?? 0) | bits(quad01, quad30, quad23, quad12);
      second[pair] = (second[pair] ?? 0) | bits(quad23, quad12, quad01, quad30);
    }
}

/** Whether a byte may come next that is a continuation, a lead, or else ASCII. */
function canFollow(byte: number, continuation: boolean, lead: boolean): boolean {
  if (byte < 0x80) return !continuation;
  return byte < 0xc0 || (continuation && !lead);
}

/** Bytes of UTF-8 text as far as disguised letters go: ASCII, continuations, the leads of look-alikes. */
function isUtf8Plausible(byte: number): boolean {
  if (byte < 0x20) return byte === 9 || byte === 10 || byte === 13 || byte === 0;
  if (byte < 0xc0) return byte !== 0x7f;
  return (
    (byte >= 0xc2 && byte <= 0xd6) ||
    (byte >= 0xe1 && byte <= 0xe3) ||
    [0xea, 0xef, 0xf0, 0xf3].includes(byte)
  );
}

function byteTable(value: (character: string) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => value(String.fromCharCode(byte)));
}
