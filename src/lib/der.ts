/** DER (ITU-T X.690), as far as certificates need it: each value is its tag, its length and its content. */

export const SEQUENCE = 0x30;
export const BIT_STRING = 0x03;
export const OCTET_STRING = 0x04;
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SET = 0x31;

export const TRUE = der(BOOLEAN, Buffer.of(0xff));

export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  return Buffer.concat([Buffer.of(tag, ...lengthOf(body)), body]);
}

export const sequence = (...content: readonly Uint8Array[]): Buffer => der(SEQUENCE, ...content);
export const set = (...content: readonly Uint8Array[]): Buffer => der(SET, ...content);
export const text = (value: string): Buffer => der(UTF8_STRING, Buffer.from(value));

/** @param tag context-specific, of what it contains whole (EXPLICIT) or of primitive content that it stands for (IMPLICIT). */
export const explicit = (tag: number, ...content: readonly Uint8Array[]): Buffer =>
  der(0xa0 | tag, ...content);
export const implicit = (tag: number, content: Uint8Array): Buffer => der(0x80 | tag, content);

/** A number that is not negative: its bytes, the first of them not zero, or a single one. */
export function integer(...bytes: readonly number[]): Buffer {
  return der(INTEGER, Buffer.of(...((bytes[0] ?? 0) > 0x7f ? [0, ...bytes] : bytes)));
}

/** `1.2.840`: the first two numbers share a byte, the others are in groups of seven bits. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const groups = (value: number): number[] => {
    const bytes = [value & 0x7f];
    for (let left = value >>> 7; left > 0; left >>>= 7) bytes.unshift((left & 0x7f) | 0x80);
    return bytes;
  };
  return der(OBJECT_IDENTIFIER, Buffer.from([first * 40 + second, ...rest.flatMap(groups)]));
}

/** In whole seconds. RFC 5280, section 4.1.2.5: two digits say the year before 2050. */
export function time(date: Date): Buffer {
  const digits = `${date.toISOString().replace(/\.\d+|[-:T]/g, "")}`;
  return date.getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(digits.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(digits));
}

/** The values within a value, each with its tag and length. Of what has been read by somebody stricter before. */
export function parts(value: Uint8Array): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = contentAt(value); at < value.length; ) {
    const rest = value.subarray(at);
    const end = contentAt(rest) + contentLength(rest);
    found.push(rest.subarray(0, end));
    at += end;
  }
  return found;
}

function lengthOf({ length }: Uint8Array): readonly number[] {
  if (length < 0x80) return [length];
  return length < 0x100 ? [0x81, length] : [0x82, length >>> 8, length & 0xff];
}

/** Of a length of more than seven bits, the first byte says how many more there are. */
function contentAt(value: Uint8Array): number {
  const first = value[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

function contentLength(value: Uint8Array): number {
  const first = value[1] ?? 0;
  if (first < 0x80) return first;
  return value.subarray(2, contentAt(value)).reduce((length, byte) => length * 256 + byte, 0);
}
