/**
 * What four neighbouring bytes, a word, can be part of, as one bit a question: the AND of what each byte answers at its
 * place in the word, and the AND of neighbouring words says "16 bytes and more, all of them …". The sweep asks nothing else.
 *
 * Base64 of text is told from base64 of anything else without decoding it. At the right one of four phases three of
 * four digits have a zero where a byte's highest bit is: that is all the sweep asks. Where it says yes, WORD_TABLES say
 * more: two digits hold one byte whole, and some bits of its neighbours, so each pair must be part of text.
 */

/** Bit `p`: base64 (both alphabets) of ASCII text, its quads beginning at addresses ≡ p modulo 4. */
export const BASE64_ASCII = 0b1111;
/** The same, shifted by 4, for what may be UTF-8: disguised letters are not ASCII. */
export const BASE64_UTF8 = 0b1111 << 4;
/** Bit 8: hex of ASCII text, pairs beginning at even addresses; bit 9: at odd ones. No pair begins with 1, or 8 and more. */
export const HEX_ASCII = 0b11 << 8;
export const HEX = 1 << 10;
export const BASE32_UPPER = 1 << 11;
export const BASE32_LOWER = 1 << 12;
/** Base64 with white space, or with JSON's escapes of it. */
export const SPACED = 1 << 13;
/** Hex digits and what people put between them. */
export const HEX_SEPARATED = 1 << 14;
/** Base64, unbroken. */
export const BASE64 = 1 << 15;
/** All of those above, and all that WORD_TABLES have. */
const IN_TABLES = 0xffff;
/** Digits, spaces, hyphens. */
export const DIGITS = 1 << 16;
/** Capitals, digits, spaces. */
export const CAPITALS = 1 << 17;
export const ALPHANUMERICS = 1 << 18;
/** Neither capital nor digit. */
export const SMALL = 1 << 19;
/** Capitals and digits alone. */
export const LOUD = 1 << 20;
/** No byte that could begin an escape or belong to a disguised letter. */
export const PLAIN = 1 << 21;
/** What phrases of words are made of: letters, and what people put between words. */
export const PHRASE = 1 << 22;

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
    (/[A-Z0-9]/.test(character) ? LOUD : SMALL) |
    (/[A-Za-z0-9 \t\r\n,"'.]/.test(character) ? PHRASE : 0) |
    (base64 ? BASE64 : 0) |
    (base64 || /[ \t\r\n\\=]/.test(character) ? SPACED : 0) |
    (/[0-9a-fA-F \t\r\n:,;"'xX\\-]/.test(character) ? HEX_SEPARATED : 0) |
    (byte > 0 && byte < 0x80 && !/[%&\\]/.test(character) ? PLAIN : 0)
  );
});

/** What the sweep asks of a byte that stands at each of a word's four places. */
export const PLACE_CLASSES: readonly Int32Array[] = [0, 1, 2, 3].map((place) =>
  BYTE_CLASSES.map((classes, byte) => classes | phasesAt(byte, place) | hexPhasesAt(byte, place)),
);

/** Bit `p`: at this place of a word the byte can be a digit of base64 of ASCII, if its quads begin at phase p. */
function phasesAt(byte: number, place: number): number {
  const value = BASE64_VALUE[byte] ?? 64;
  if (value > 63) return 0;
  const zeros = [(value & 32) === 0, (value & 8) === 0, (value & 2) === 0, true];
  return [0, 1, 2, 3].reduce((bits, phase) => (zeros[(place - phase) & 3] ? bits | (1 << phase) : bits), 0);
}

/** A digit of hex that begins a pair is the upper half of a byte of text. */
function hexPhasesAt(byte: number, place: number): number {
  const value = HEX_VALUE[byte] ?? 16;
  if (value > 15) return 0;
  const begins = value < 8 && value !== 1;
  const phases = begins ? 0b11 : place % 2 === 0 ? 0b10 : 0b01;
  return phases << 8;
}

/** In 16 bits, which hold all that is asked of words: what of them a text needs stays in the fastest cache. */
interface WordTables {
  /** By the word's first two bytes, little-endian. */
  readonly first: Uint16Array;
  /** By its last two. */
  readonly second: Uint16Array;
}

const TEXT_ASCII = Uint8Array.from({ length: 256 }, (_, byte) => (isAsciiText(byte) ? 1 : 0));
const TEXT_UTF8 = Uint8Array.from({ length: 256 }, (_, byte) => (isUtf8Text(byte) ? 1 : 0));
const ASCII_STARTS = startsOf(TEXT_ASCII);
const UTF8_STARTS = startsOf(TEXT_UTF8);

export const WORD_TABLES: WordTables = buildWordTables();

function buildWordTables(): WordTables {
  const first = pairTable();
  const second = first.slice();
  addPhases(first, second);
  return { first, second };
}

function pairTable(): Uint16Array {
  const table = new Uint16Array(65_536);
  const bytes = bytesWhere((byte) => ((BYTE_CLASSES[byte] as number) & IN_TABLES) !== 0);
  for (const high of bytes)
    for (const low of bytes)
      table[(high << 8) | low] = (BYTE_CLASSES[high] as number) & (BYTE_CLASSES[low] as number);
  return table;
}

/** A pair holds one whole byte of what is encoded, and some bits of its neighbours. */
function addPhases(first: Uint16Array, second: Uint16Array): void {
  const base64 = bytesWhere((byte) => (BASE64_VALUE[byte] as number) < 64);
  for (const a of base64)
    for (const b of base64) {
      const x = BASE64_VALUE[a] as number;
      const y = BASE64_VALUE[b] as number;
      const pair = (b << 8) | a;
      const ascii = asciiPhases(x, y);
      const utf8 = utf8Phases(x, y);
      first[pair] = (first[pair] as number) | ascii | (utf8 << 4);
      second[pair] = (second[pair] as number) | twoLater(ascii) | (twoLater(utf8) << 4);
    }
  const hex = bytesWhere((byte) => (HEX_VALUE[byte] as number) < 16);
  for (const a of hex)
    for (const b of hex) {
      const x = HEX_VALUE[a] as number;
      const y = HEX_VALUE[b] as number;
      const pair = (b << 8) | a;
      const even = x < 8 && x !== 1 ? 0x100 : 0;
      const odd = y < 8 && y !== 1 ? 0x200 : 0;
      first[pair] = (first[pair] as number) | even | odd;
      second[pair] = (second[pair] as number) | even | odd;
    }
}

function bytesWhere(counts: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => byte).filter(counts);
}

/** Bit `p` says it of quads that begin at phase p: of them, a pair at the beginning of a word is at digit -p modulo 4. */
function bits(p0: boolean, p1: boolean, p2: boolean, p3: boolean): number {
  return (p0 ? 1 : 0) | (p1 ? 2 : 0) | (p2 ? 4 : 0) | (p3 ? 8 : 0);
}

/** The same for a pair at the end of a word. */
function twoLater(phases: number): number {
  return ((phases << 2) | (phases >> 2)) & 0b1111;
}

function asciiPhases(x: number, y: number): number {
  return bits(
    TEXT_ASCII[(x << 2) | (y >> 4)] === 1 && (y & 8) === 0,
    (TEXT_ASCII[x] === 1 || TEXT_ASCII[x | 64] === 1) && ASCII_STARTS[y] === 1,
    (x & 2) === 0 && TEXT_ASCII[((x & 3) << 6) | y] === 1,
    TEXT_ASCII[((x & 15) << 4) | (y >> 2)] === 1 && (y & 2) === 0,
  );
}

function utf8Phases(x: number, y: number): number {
  const byte01 = (x << 2) | (y >> 4);
  const byte12 = ((x & 15) << 4) | (y >> 2);
  return bits(
    TEXT_UTF8[byte01] === 1 && canFollow(byte01, (y & 15) >= 8 && (y & 15) < 12, (y & 15) >= 12),
    UTF8_STARTS[y] === 1,
    TEXT_UTF8[((x & 3) << 6) | y] === 1,
    TEXT_UTF8[byte12] === 1 && canFollow(byte12, (y & 3) === 2, (y & 3) === 3),
  );
}

/** Whether a byte may come next that is a continuation, a lead, or else ASCII. */
function canFollow(byte: number, continuation: boolean, lead: boolean): boolean {
  if (byte < 0x80) return !continuation;
  return byte < 0xc0 || (continuation && !lead);
}

/** Bytes of ASCII text, and the zeros of UTF-16. */
function isAsciiText(byte: number): boolean {
  if (byte < 0x20) return byte === 9 || byte === 10 || byte === 13 || byte === 0;
  return byte < 0x7f;
}

/** Bytes of UTF-8 text as far as disguised letters go: ASCII, continuations, the leads of look-alikes. */
function isUtf8Text(byte: number): boolean {
  if (byte < 0x80) return isAsciiText(byte);
  return (
    byte < 0xc0 ||
    (byte >= 0xc2 && byte <= 0xd6) ||
    (byte >= 0xe1 && byte <= 0xe3) ||
    [0xea, 0xef, 0xf0, 0xf3].includes(byte)
  );
}

/** Which six bits such bytes can begin with. */
function startsOf(table: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: 64 }, (_, top) =>
    table.subarray(top * 4, top * 4 + 4).includes(1) ? 1 : 0,
  );
}

function byteTable(value: (character: string) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => value(String.fromCharCode(byte)));
}
