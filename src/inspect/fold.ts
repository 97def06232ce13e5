/**
 * What a character beyond ASCII is to a reader who sees only letters: NFKC's ASCII equivalent, without accents, a
 * look-alike's original, a tag character's letter, or nothing at all (zero-width, combining, bidirectional marks).
 */
import { LOOK_ALIKES } from "./look-alikes.ts";

/** It is no disguise of anything. */
export const OTHER = 0;
export const DROPPED = 0xff;
/** From here on, `foldedText` has the several characters it stands for. */
export const SEVERAL = 0x100;

const UNKNOWN = 0xffff;
const TAGS = 0xe0000;
const basicPlane = new Uint16Array(0x10000).fill(UNKNOWN);
const beyond = new Map<number, number>();
/** A bit for each character beyond the basic plane that is known to be no disguise: they are a million. */
const harmless = new Uint8Array(0x110000 >> 3);
const several: string[] = [];
const originals = new Map<number, string>(
  Object.entries(LOOK_ALIKES).flatMap(([original, alikes]) =>
    [...alikes].map((alike): [number, string] => [alike.codePointAt(0) ?? 0, original]),
  ),
);
/** Letters of other scripts that Unicode calls letters and every screen shows as nothing. */
const FILLERS = new Set([0x115f, 0x1160, 0x3164, 0xffa0, 0x2800]);

/** OTHER, DROPPED, the code of one ASCII character, or SEVERAL and more. Looked up once for each character. */
export function fold(codePoint: number): number {
  if (codePoint < 0x10000) {
    const known = basicPlane[codePoint] ?? OTHER;
    return known === UNKNOWN ? learn(codePoint) : known;
  }
  if (((harmless[codePoint >> 3] ?? 0) & (1 << (codePoint & 7))) !== 0) return OTHER;
  return beyond.get(codePoint) ?? learn(codePoint);
}

function learn(codePoint: number): number {
  const folded = compute(codePoint);
  if (codePoint < 0x10000) basicPlane[codePoint] = folded;
  else if (folded !== OTHER) beyond.set(codePoint, folded);
  else if (codePoint < 0x110000)
    harmless[codePoint >> 3] = (harmless[codePoint >> 3] ?? 0) | (1 << (codePoint & 7));
  return folded;
}

export function foldedText(folded: number): string {
  return several[folded - SEVERAL] ?? "";
}

/** Whether a character is worth a second look: one that stands for nothing, or for what tokens are made of. */
export function isDisguise(codePoint: number): boolean {
  const folded = fold(codePoint);
  return folded >= SEVERAL || OF_TOKENS[folded] === 1;
}

const OF_TOKENS = Uint8Array.from({ length: SEVERAL }, (_, folded) =>
  folded === DROPPED || /[A-Za-z0-9_+/=.-]/.test(String.fromCharCode(folded)) ? 1 : 0,
);

function compute(codePoint: number): number {
  if (codePoint < 0x80 || (codePoint >= 0xd800 && codePoint < 0xe000) || codePoint > 0x10ffff) return OTHER;
  if (codePoint >= TAGS + 0x20 && codePoint < TAGS + 0x7f) return codePoint - TAGS;
  if (FILLERS.has(codePoint)) return DROPPED;
  const character = String.fromCodePoint(codePoint);
  if (/[\p{Cf}\p{M}]/u.test(character)) return DROPPED;
  if (/[\u2028\u2029\u0085]/.test(character)) return 0x0a;
  if (/\p{Zs}/u.test(character)) return 0x20;
  const text = [...character.normalize("NFKD")]
    .filter((part) => !/\p{M}/u.test(part))
    .map((part) => originals.get(part.codePointAt(0) ?? 0) ?? part)
    .join("");
  if (text === "" || !/^[\x20-\x7e]+$/.test(text)) return OTHER;
  if (text.length === 1) return text.charCodeAt(0);
  const at = several.indexOf(text);
  return SEVERAL + (at >= 0 ? at : several.push(text) - 1);
}
