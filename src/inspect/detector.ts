/**
 * What one kind of secret looks like, as plain data; src/inspect/detectors/ holds the list, scanner.ts reads it.
 *
 * A pattern never sees a whole text. It is tried only where its trigger met, in a window no longer than its
 * longest possible match, so its cost is bounded whatever the text is.
 */

export type DetectorGroup =
  | "bank"
  | "card"
  | "chat"
  | "cloud"
  | "connection"
  | "database"
  | "forge"
  | "generic"
  | "model-provider"
  | "monitoring"
  | "payment"
  | "private-key"
  | "registry"
  | "token"
  | "wallet";

/** What must stand in the text before a pattern is tried at all. */
export type Trigger =
  /**
   * One of these stands in every match: ASCII, 3 bytes or more, 4 and more where the format allows (they are
   * cheaper). Compared without case exactly when the detector's `ignoreCase` is set. Matches begin with the
   * keyword, unless `before` says how many characters at most may stand in front of it; of an array of keywords
   * one is enough. Boundaries ("not after a letter") belong into the pattern as a look-behind of one character.
   */
  | { readonly kind: "keyword"; readonly keywords: readonly string[]; readonly before?: number }
  /**
   * No keyword exists. The pattern is searched in each run, `min` characters or longer (separators not counted), of:
   * `digits`: 0-9, single spaces or hyphens between them (payment cards);
   * `capitals`: A-Z and 0-9, single spaces between them (IBAN);
   * `alphanumerics`: A-Z, a-z and 0-9, unbroken, min 51 or more, the pattern tried at its beginning only (WIF keys).
   */
  | { readonly kind: "run"; readonly of: "digits" | "capitals" | "alphanumerics"; readonly min: number }
  /**
   * A phrase of words that all stand in this list (lower case, 3 to 8 letters), white space, commas, quotes, or
   * numbers between them. `check` gets the words joined by single spaces; `pattern` is not used (write "").
   * `counts` are the possible lengths of a phrase.
   */
  | { readonly kind: "words"; readonly words: readonly string[]; readonly counts: readonly number[] };

/** One kind of secret. */
export interface Detector {
  /** Stable, kebab-case, stands in logs, in masks and in the operator's answers: "github-fine-grained-token". */
  readonly id: string;
  readonly title: string;
  readonly group: DetectorGroup;
  readonly trigger: Trigger;
  /**
   * RegExp source over latin1 text (a byte is a character). Bounded by construction, as a test enforces: no `*`,
   * `+` or `{n,}`, no back-reference, no look-behind longer than one character, at most MAX_MATCH characters. A
   * named group `secret`, where there is one, is what is reported and masked; otherwise the whole match.
   */
  readonly pattern: string;
  /** The pattern, and the keywords, without case. Only where the provider's format really has none. */
  readonly ignoreCase?: boolean;
  /** Checksum or structure, of the group `secret` or the whole match. Must not throw. */
  readonly check?: (secret: string) => boolean;
  /** Shannon bits a character of the group `secret`, or of the whole match. */
  readonly minEntropy?: number;
  /** URL of the page on which the provider documents the format. */
  readonly source: string;
}

/** Longest match of a detector's pattern: a PEM file of an RSA key of 8192 bits has 6.4 KB, with room for headers. */
export const MAX_MATCH = 8192;
