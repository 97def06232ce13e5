/** HTML's character references that stand for what tokens and their surroundings are made of. */
import { HEX_VALUE } from "./byte-classes.ts";

/** Longest name or number, with some zeros before it: `&ZeroWidthSpace;`. */
export const LONGEST_ENTITY = 18;
const SEMICOLON = 0x3b;

const ENTITIES: ReadonlyMap<number, number> = new Map(
  Object.entries({
    amp: "&",
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    lowbar: "_",
    UnderBar: "_",
    hyphen: "-",
    dash: "-",
    sol: "/",
    bsol: "\\",
    plus: "+",
    equals: "=",
    period: ".",
    colon: ":",
    commat: "@",
    num: "#",
    dollar: "$",
    percnt: "%",
    excl: "!",
    quest: "?",
    ast: "*",
    midast: "*",
    comma: ",",
    semi: ";",
    lpar: "(",
    rpar: ")",
    lsqb: "[",
    lbrack: "[",
    rsqb: "]",
    rbrack: "]",
    lcub: "{",
    lbrace: "{",
    rcub: "}",
    rbrace: "}",
    verbar: "|",
    vert: "|",
    grave: "`",
    Hat: "^",
    nbsp: " ",
    Tab: "\t",
    NewLine: "\n",
    shy: "\u00ad",
    zwj: "\u200d",
    zwnj: "\u200c",
    ZeroWidthSpace: "\u200b",
    NoBreak: "\u2060",
    lrm: "\u200e",
    rlm: "\u200f",
  }).map(([name, character]): [number, number] => [nameHash(name), character.codePointAt(0) ?? 0]),
);
/** Of these a web page is full, and none of them stands in a token. */
const ORDINARY_ENTITIES = new Set(["lt", "gt", "quot", "apos", "nbsp", "copy", "amp"].map(nameHash));
const AMP = nameHash("amp");

export function beginsEntity(bytes: Uint8Array, at: number, next: number): boolean {
  if (next === 0x23) return true;
  if ((next | 0x20) < 0x61 || (next | 0x20) > 0x7a) return false;
  for (let end = at + 2; end < at + LONGEST_ENTITY; end++) {
    if (bytes[end] !== SEMICOLON) continue;
    const name = hashOf(bytes, at + 1, end);
    if (name === AMP) return bytes[end + 1] === 0x23 || beginsEntityName(bytes, end + 1);
    return ENTITIES.has(name) && !ORDINARY_ENTITIES.has(name);
  }
  return false;
}

/** After `&amp;`: would a name and a semicolon follow. */
function beginsEntityName(bytes: Uint8Array, at: number): boolean {
  for (let end = at; end < at + LONGEST_ENTITY; end++) {
    const byte = bytes[end] as number;
    if (byte === SEMICOLON) return end > at + 1;
    if ((byte | 0x20) < 0x61 || (byte | 0x20) > 0x7a) return false;
  }
  return false;
}

/** The character of the entity whose name or number is `bytes[from, to)`, or -1. By hand: texts are full of them. */
export function entityValue(bytes: Uint8Array, from: number, to: number): number {
  if (bytes[from] !== 0x23) return ENTITIES.get(hashOf(bytes, from, to)) ?? -1;
  const isHexadecimal = ((bytes[from + 1] as number) | 0x20) === 0x78;
  const base = isHexadecimal ? 16 : 10;
  const first = from + (isHexadecimal ? 2 : 1);
  let value = 0;
  for (let i = first; i < to; i++) {
    const digit = HEX_VALUE[bytes[i] as number] as number;
    if (digit >= base || value > 0x10ffff) return -1;
    value = value * base + digit;
  }
  return to > first && value <= 0x10ffff ? value : -1;
}

/** Names are compared by hash: another word taken for one of them is read as that character, which hides nothing. */
function hashOf(bytes: Uint8Array, from: number, to: number): number {
  let hash = to - from;
  for (let i = from; i < to; i++) hash = Math.imul(hash, 31) + (bytes[i] as number);
  return hash | 0;
}

function nameHash(name: string): number {
  return hashOf(Buffer.from(name), 0, name.length);
}
