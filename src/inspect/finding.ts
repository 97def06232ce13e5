/** What the inspector says about a text. A finding never holds the value it stands for. */

export type FindingKind = "pattern" | "known" | "canary" | "rule" | "phrase";

/** One step that had to be undone to see the value. */
export type Decoding = "text" | "base64" | "base32" | "hex";

export interface Finding {
  readonly kind: FindingKind;
  /** Id of the detector, rule or phrase, or name of the known secret. */
  readonly detector: string;
  /** The bytes of the raw text, end excluded, that must go so that nothing of the value is left. */
  readonly start: number;
  readonly end: number;
  /** Outermost first; empty when the value stood there plainly. `text` stands for all escapes and disguises. */
  readonly through: readonly Decoding[];
  /** Of the decoded value, under a key of this inspector: the same value has the same mark. 16 hex digits. */
  readonly fingerprint: string;
}
