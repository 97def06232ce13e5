/**
 * How values that are known byte for byte are looked for. The value itself is searched whole and in pieces; besides
 * it, its base64, base32 and hex at every alignment, for the cases that finding encoded *text* cannot see: values
 * with bytes beyond ASCII, and values so short that no run of their encoding is long enough to be noticed.
 */
import { UserError } from "../lib/errors.ts";
import { TextCleaner } from "./text-cleaner.ts";

/** A value that must not leave: held by a sidecar, bound to hosts by the operator, or planted as a decoy. */
export interface KnownSecret {
  /** Stands in findings instead of the value. */
  readonly name: string;
  readonly kind: "known" | "canary";
  /** At least MIN_KNOWN bytes, or compileInspector throws a UserError that names it. */
  readonly value: string | Uint8Array;
}

/** Shorter values stand in innocent text by chance: every upload would be blocked. */
export const MIN_KNOWN = 8;
/** This many neighbouring bytes of a longer value are enough; fewer stand in innocent text by chance. */
export const PIECE = 16;
/** Values from this length on, all ASCII text, are found in base64, base32 and hex by looking into every such text. */
const NOTICED_ENCODED = 24;

export interface KnownForm {
  readonly secret: KnownSecret;
  /** The decoded value: what the fingerprint is of. */
  readonly value: Buffer;
  readonly bytes: Buffer;
  /** So many bytes of `bytes` must stand together; all of them if it is as long. */
  readonly piece: number;
  /** Pieces are looked for in `bytes[from..]` only: what stands before is the same in many values. */
  readonly from: number;
}

/** All forms in which `secret` is looked for. */
export function knownForms(secret: KnownSecret): KnownForm[] {
  const value = Buffer.from(secret.value);
  if (value.length < MIN_KNOWN)
    throw new UserError(
      `The secret ${secret.name} has ${value.length} bytes; values of less than ${MIN_KNOWN} cannot be told from ordinary text.`,
      { hint: `Use a value of at least ${MIN_KNOWN} bytes for ${secret.name}.` },
    );
  const forms: KnownForm[] = [];
  const add = (bytes: Buffer, piece: number, from = 0): void => {
    if (bytes.length >= MIN_KNOWN && !forms.some((form) => form.bytes.equals(bytes)))
      forms.push({ secret, value, bytes, piece: Math.min(piece, bytes.length), from });
  };
  add(value, hasTellingPiece(value) ? PIECE : value.length, commonBeginning(value.toString("latin1")));
  for (const text of escapedForms(value)) add(text, Number.POSITIVE_INFINITY);
  if (value.length < NOTICED_ENCODED || !isAsciiText(value))
    for (const { bytes, perByte } of encodedForms(value))
      add(bytes, isTellingPiece(value) ? Math.floor(PIECE * perByte) - 2 : bytes.length);
  return forms;
}

/** How much of a value it shares with others of its kind: a JWT's header, a key file's first lines. */
function commonBeginning(value: string): number {
  const jwt = /^eyJ[\w-]+\.[\w-]+\./.exec(value);
  if (jwt !== null) return jwt[0].length;
  const pem = /^-----BEGIN (OPENSSH )?[A-Z ]+-----\r?\n/.exec(value);
  if (pem === null) return 0;
  return pem[0].length + (pem[1] === undefined ? 64 : 140);
}

/** What formats do to quotes, line ends and marks, whole only; escapes with numbers are undone by the cleaner. */
function escapedForms(value: Buffer): Buffer[] {
  const text = value.toString();
  const html = text.replace(/[&<>"']/g, (mark) => HTML[mark] ?? mark);
  const json = JSON.stringify(text).slice(1, -1);
  const cleaned = Buffer.alloc(value.length);
  const length = new TextCleaner().clean(value, 0, value.length, cleaned);
  const forms = [html, html.replaceAll("&#39;", "&apos;"), json, JSON.stringify(json).slice(1, -1)];
  return [...forms.map((form) => Buffer.from(form)), cleaned.subarray(0, length)];
}

const HTML: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** The digits that are certain whatever stands around the value, for each place in which it can begin. */
function encodedForms(value: Buffer): { bytes: Buffer; perByte: number }[] {
  const hex = value.toString("hex");
  const forms = [hex, hex.toUpperCase()].map((text) => ({ bytes: Buffer.from(text), perByte: 2 }));
  const bits = [...value].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  for (const { alphabets, width, group } of RADIXES)
    for (let place = 0; place < group; place++) {
      const skipped = (width - ((place * 8) % width)) % width;
      const digits: number[] = [];
      for (let at = skipped; at + width <= bits.length; at += width)
        digits.push(Number.parseInt(bits.slice(at, at + width), 2));
      for (const alphabet of alphabets)
        forms.push({
          bytes: Buffer.from(digits.map((digit) => alphabet[digit] ?? "").join("")),
          perByte: 8 / width,
        });
    }
  return forms;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const BASE64 = `${LETTERS}${LETTERS.toLowerCase()}0123456789`;
const RADIXES = [
  { alphabets: [`${BASE64}+/`, `${BASE64}-_`], width: 6, group: 3 },
  { alphabets: [`${LETTERS}234567`, `${LETTERS.toLowerCase()}234567`], width: 5, group: 5 },
] as const;

function isAsciiText(value: Buffer): boolean {
  return /^[\t\n\r -~]*$/.test(value.toString("latin1"));
}

/** Of a value in plain words only the whole is looked for: each of its pieces would be met, and passed over, in prose. */
function hasTellingPiece(value: Buffer): boolean {
  for (let at = 0; at + PIECE <= value.length; at++)
    if (isTellingPiece(value.subarray(at, at + PIECE))) return true;
  return false;
}

/**
 * Whether a piece of a value says that the value is there: mixed and varied as only secrets are. A piece of
 * `https://api.example.com` or of a run of zeros stands in ordinary text too.
 */
export function isTellingPiece(piece: Uint8Array): boolean {
  let mixed = 0;
  const seen = new Set<number>();
  for (const byte of piece) {
    seen.add(byte);
    if ((byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x5a) || byte >= 0x80) mixed++;
  }
  return mixed >= 3 && seen.size >= 8;
}
