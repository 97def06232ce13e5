const SETS = {
  alnum: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
  letters: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
  lower: "abcdefghijklmnopqrstuvwxyz0123456789",
  upper: "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
  base32: "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567",
  base64: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
  url: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
  hex: "0123456789abcdef",
  HEX: "0123456789ABCDEF",
  digits: "0123456789",
} as const;

/** A source of characters that is the same on each run: a failing example can be looked at again. */
let state = 0x2545f491;

function next(limit: number): number {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % limit;
}

/**
 * `length` characters of a set, drawn as a provider draws them. One that would not pass for a typical draw
 * (a set with digits, and fewer than three of them) is drawn again: examples show the rule, not its rare exceptions.
 */
export function draw(set: keyof typeof SETS, length: number): string {
  for (;;) {
    const text = Array.from({ length }, () => SETS[set][next(SETS[set].length)]).join("");
    const digits = text.match(/\d/g)?.length ?? 0;
    if (set === "letters" || set === "digits" || length < 12 || digits >= 3) return text;
  }
}

/** A UUID, version 4. */
export function uuid(): string {
  return `${draw("hex", 8)}-${draw("hex", 4)}-4${draw("hex", 3)}-a${draw("hex", 3)}-${draw("hex", 12)}`;
}

/** Drops the last character. */
export function shorter(secret: string): string {
  return secret.slice(0, -1);
}

/** The prefix of a secret with a run of one letter for the rest, as documentation prints it. */
export function blanked(prefix: string, length: number, filler = "x"): string {
  return prefix + filler.repeat(length);
}
