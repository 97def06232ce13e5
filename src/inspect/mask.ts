/**
 * Takes values out of a text without changing its length or its framing: content lengths, JSON, forms, multipart
 * and base64 stay well-formed, because letters and digits are put where the value was, and only digits (or hex
 * digits, or capitals) where it had nothing else. The same value gets the same mask every time, so that a model
 * that is sent its conversation again each turn reads the same text, and its provider's cache holds.
 */
import type { Finding } from "./finding.ts";

/** Shorter masks hold the fingerprint alone: a word would leave no room to tell one value from another. */
const ROOM_FOR_WORDS = 14;
/** This much of the fingerprint is kept before the name of what it was gets any room. */
const MARK = 8;
const WORD = "MASKED";

/** A copy of `text` with each finding's span replaced. Where spans overlap, the first one names the place. */
export function mask(text: Uint8Array, findings: readonly Finding[]): Buffer {
  const masked = Buffer.from(text);
  let done = 0;
  for (const finding of [...findings].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const start = Math.max(done, finding.start);
    if (start >= finding.end) continue;
    replace(masked.subarray(start, finding.end), finding);
    done = finding.end;
  }
  return masked;
}

type Alphabet = "digits" | "hex" | "HEX" | "capitals" | "any";

function replace(span: Uint8Array, finding: Finding): void {
  const alphabet = alphabetOf(span);
  const keepsSeparators = alphabet === "digits" || alphabet === "hex" || alphabet === "HEX";
  const replacement = replacementText(finding, span.length, alphabet);
  for (let i = 0; i < span.length; i++)
    if (!(keepsSeparators && isSeparator(span[i] ?? 0))) span[i] = replacement.charCodeAt(i);
}

function replacementText(finding: Finding, length: number, alphabet: Alphabet): string {
  const mark = finding.fingerprint;
  switch (alphabet) {
    case "digits":
      // Not zero first: a number in JSON must not begin with it.
      return `9${[...mark].map((digit) => Number.parseInt(digit, 16) % 10).join("")}`
        .repeat(length)
        .slice(0, length);
    case "hex":
      return mark.repeat(length).slice(0, length);
    case "HEX":
      return mark.toUpperCase().repeat(length).slice(0, length);
    case "capitals":
      return words(finding, length)
        .toUpperCase()
        .replace(/[0189]/g, (digit) => String.fromCharCode(0x51 + Number(digit)));
    case "any":
      return words(finding, length);
  }
}

function words({ detector, fingerprint }: Finding, length: number): string {
  if (length < ROOM_FOR_WORDS) return fingerprint.repeat(2).slice(0, length);
  const name = detector.replace(/[^A-Za-z0-9]/g, "").slice(0, length - WORD.length - MARK);
  return `${WORD}${name}${fingerprint.repeat(length)}`.slice(0, length);
}

function alphabetOf(span: Uint8Array): Alphabet {
  let lower = false;
  let upper = false;
  let beyondHex = false;
  let outsideCapitals = false;
  for (const byte of span) {
    if (byte >= 0x30 && byte <= 0x39) {
      if (byte < 0x32 || byte > 0x37) outsideCapitals = true;
      continue;
    }
    if (isSeparator(byte)) {
      outsideCapitals = true;
      continue;
    }
    if (byte >= 0x61 && byte <= 0x7a) lower = true;
    else if (byte >= 0x41 && byte <= 0x5a) upper = true;
    else return "any";
    if ((byte | 0x20) > 0x66) beyondHex = true;
  }
  if (!lower && !upper) return "digits";
  if (!beyondHex && !(lower && upper)) return lower ? "hex" : "HEX";
  return lower || outsideCapitals ? "any" : "capitals";
}

function isSeparator(byte: number): boolean {
  return byte === 0x20 || byte === 0x2d || byte === 0x3a;
}
