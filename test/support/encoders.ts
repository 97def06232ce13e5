/** What people and programs do to a value on its way out. Each takes any bytes for which `takes` is true. */
import { isUtf8 } from "node:buffer";
import { LOOK_ALIKES } from "../../src/inspect/look-alikes.ts";

export interface Encoder {
  readonly name: string;
  /** `packing`: counts as one of the inspector's UNPACKINGS. */
  readonly kind: "text" | "packing";
  readonly takes: (value: Buffer) => boolean;
  readonly encode: (value: Buffer) => Buffer;
}

const ZERO_WIDTH = "\u200b";
const BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

export const ENCODERS: readonly Encoder[] = [
  text("percent, every byte", (value) => each(value, (byte) => `%${hex(byte)}`)),
  text("percent, every third byte", (value) =>
    each(value, (byte, i) =>
      i % 3 === 1 || byte >= 0x80 ? `%${hex(byte).toUpperCase()}` : String.fromCharCode(byte),
    ),
  ),
  text("percent, three times", (value) => each(value, (byte) => `%2525${hex(byte)}`)),
  ofText("JSON \\u", (value) => units(value, (unit) => `\\u${unit.toString(16).padStart(4, "0")}`)),
  ofText("JSON \\u, every fourth", (value) =>
    units(value, (unit, i) =>
      i % 4 === 2 || unit >= 0x80 || unit === 0x5c
        ? `\\u${unit.toString(16).padStart(4, "0").toUpperCase()}`
        : String.fromCharCode(unit),
    ),
  ),
  ofText("JSON \\u in JSON", (value) => units(value, (unit) => `\\\\u${unit.toString(16).padStart(4, "0")}`)),
  ofText("\\u{…}", (value) => points(value, (point) => `\\u{${point.toString(16)}}`)),
  text("\\x", (value) => each(value, (byte) => `\\x${hex(byte)}`)),
  text("octal", (value) => each(value, (byte) => `\\${byte.toString(8).padStart(3, "0")}`)),
  ofText("HTML decimal", (value) => points(value, (point) => `&#${point};`)),
  ofText("HTML hex, with zeros", (value) =>
    points(value, (point) => `&#x0000${point.toString(16).toUpperCase()};`),
  ),
  ofText("HTML in HTML", (value) => points(value, (point) => `&amp;#${point};`)),
  ofAscii("UTF-16LE", (value) => Buffer.from(value.toString("latin1"), "utf16le")),
  ofAscii("UTF-16BE", (value) => Buffer.from(value.toString("latin1"), "utf16le").swap16()),
  ofText("full width", (value) =>
    points(value, (point) => String.fromCodePoint(point > 0x20 && point < 0x7f ? point + 0xfee0 : point)),
  ),
  ofText("mathematical letters", (value) =>
    points(value, (point) => {
      if (point >= 0x61 && point <= 0x7a) return String.fromCodePoint(0x1d5ba + point - 0x61);
      if (point >= 0x41 && point <= 0x5a) return String.fromCodePoint(0x1d5a0 + point - 0x41);
      return String.fromCodePoint(point);
    }),
  ),
  ofText("look-alikes", (value) =>
    points(value, (point) => {
      const character = String.fromCodePoint(point);
      return /[a-zA-Z]/.test(character)
        ? ([...(LOOK_ALIKES[character] ?? character)][0] ?? character)
        : character;
    }),
  ),
  ofText("zero width between", (value) => points(value, (point) => String.fromCodePoint(point) + ZERO_WIDTH)),
  ofText("combining marks", (value) =>
    points(value, (point) => `${String.fromCodePoint(point)}\u0335\u0301`),
  ),
  {
    name: "tag characters",
    kind: "text",
    takes: (value) => value.every((byte) => byte >= 0x20 && byte < 0x7f),
    encode: (value) => Buffer.from([...value].map((byte) => String.fromCodePoint(0xe0000 + byte)).join("")),
  },
  packing("base64", (value) => value.toString("base64")),
  packing("base64url", (value) => value.toString("base64url")),
  packing("base64 behind junk", (value) => `q${value.toString("base64")}`),
  packing("base64 behind more junk", (value) => `AbC${value.toString("base64url")}`),
  packing("base64 in a longer text", (value) =>
    Buffer.concat([Buffer.from("before it\n"), value, Buffer.from(" and behind")]).toString("base64"),
  ),
  packing("base64 in lines", (value) => (value.toString("base64").match(/.{1,76}/g) ?? []).join("\r\n")),
  packing("base64 in lines of JSON", (value) =>
    (value.toString("base64").match(/.{1,20}/g) ?? []).join("\\n"),
  ),
  packing("base64 spaced", (value) => (value.toString("base64").match(/.{1,4}/g) ?? []).join(" ")),
  packing("base32", (value) => base32(value)),
  packing("base32, lower case", (value) => base32(value).toLowerCase()),
  packing("base32 behind junk", (value) => `ABC${base32(value)}`),
  packing("hex", (value) => value.toString("hex")),
  packing("HEX", (value) => value.toString("hex").toUpperCase()),
  packing("hex behind junk", (value) => `f${value.toString("hex")}`),
  packing("hex with colons", (value) => [...value].map(hex).join(":")),
  packing("hex in C", (value) => [...value].map((byte) => `0x${hex(byte)}`).join(", ")),
  packing("hex spaced in lines", (value) =>
    [...value].map((byte, i) => hex(byte) + (i % 16 === 15 ? "\n" : " ")).join(""),
  ),
];

export function base32(value: Uint8Array): string {
  const bits = [...value].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? [])
    .map((five) => BASE32[Number.parseInt(five.padEnd(5, "0"), 2)])
    .join("");
}

function text(name: string, encode: (value: Buffer) => string): Encoder {
  return { name, kind: "text", takes: () => true, encode: (value) => Buffer.from(encode(value), "latin1") };
}

function ofText(name: string, encode: (value: string) => string): Encoder {
  return {
    name,
    kind: "text",
    takes: (value) => isUtf8(value),
    encode: (value) => Buffer.from(encode(value.toString())),
  };
}

function ofAscii(name: string, encode: (value: Buffer) => Buffer): Encoder {
  return { name, kind: "text", takes: (value) => value.every((byte) => byte > 0 && byte < 0x80), encode };
}

function packing(name: string, encode: (value: Buffer) => string): Encoder {
  return { name, kind: "packing", takes: () => true, encode: (value) => Buffer.from(encode(value)) };
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

function each(value: Buffer, one: (byte: number, i: number) => string): string {
  return [...value].map(one).join("");
}

function units(value: string, one: (unit: number, i: number) => string): string {
  return Array.from({ length: value.length }, (_, i) => one(value.charCodeAt(i), i)).join("");
}

function points(value: string, one: (point: number) => string): string {
  return [...value].map((character) => one(character.codePointAt(0) ?? 0)).join("");
}
