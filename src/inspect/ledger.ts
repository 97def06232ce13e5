/**
 * What the scan of one text has found, and what it may still cost. Whatever is left out because a limit is reached is
 * not passed over in silence: the whole text is then one finding, and no more is done.
 */
import type { FindingKind } from "./finding.ts";
import { decodings, locate, type Span, type Step } from "./path.ts";

/**
 * Bytes that may be decoded for each byte of a text. Of 71,000 files of a Debian machine none wants 5; of its object files in
 * base64, hex and base64 of base64 some want 7, and tables that were made to want much, in base64 twice, 9.
 */
const WORK_FACTOR = 10;
/** So small texts may be decoded often. */
const FREE_WORK = 16_384;
/** What to begin costs, in bytes: a text made of nothing but the shortest packed words would have most of its time go there. */
export const BEGINNING = { look: 4, text: 48, clean: 32 } as const;
/** A byte that is cleaned costs as much as so many that are unpacked. */
export const CLEANING = 2;
/**
 * What looking for values may cost, in tenths of a microsecond, about: a text of nothing but their beginnings, each of which
 * has its pattern read on for some hundred characters, would cost twenty times what others do. Of 71,000 files, changelogs full of
 * links want most, a tenth; a list of cursors in base64 wants a seventh.
 */
const EFFORT_A_BYTE = 1 / 2;
const FREE_EFFORT = 4096;
/** A keyword that stands there; a pattern that is tried behind one, or in a run of digits; a value that looks right and proves wrong. */
export const EFFORT = { keyword: 1, pattern: 5, run: 1, nearMiss: 24 } as const;
/** More findings in one text say no more: the whole of it is one then. */
const MOST_FINDINGS = 200;

export interface RawFinding {
  readonly kind: FindingKind;
  readonly detector: string;
  readonly start: number;
  readonly end: number;
  readonly through: ReturnType<typeof decodings>;
  /** The decoded value: never leaves the inspector. */
  readonly value: Buffer;
}

export class Ledger {
  /** How what is being looked at came out of the text. */
  readonly path: Step[] = [];
  /** No more is looked at. */
  gaveUp = false;
  #findings: RawFinding[] = [];
  #length = 0;
  #work = 0;
  #effort = 0;
  #rejected = new Set<string>();
  #lastRejected = { detector: "", value: "" };

  /** To be called before each text. */
  open(length: number): void {
    this.path.length = 0;
    this.gaveUp = false;
    this.#findings = [];
    this.#length = length;
    this.#work = length * WORK_FACTOR + FREE_WORK;
    this.#effort = FREE_EFFORT + length * EFFORT_A_BYTE;
    if (this.#rejected.size > 0) {
      this.#rejected = new Set();
      this.#lastRejected = { detector: "", value: "" };
    }
  }

  /** What was found since `open`. */
  close(): RawFinding[] {
    return this.#findings;
  }

  /** `span` of the text at the end of the path. */
  report(kind: FindingKind, detector: string, span: Span, value: Buffer): void {
    if (this.gaveUp) return;
    const { start, end } = locate(this.path, span);
    if (this.#findings.length < MOST_FINDINGS)
      this.#findings.push({ kind, detector, start, end, through: decodings(this.path), value });
    else this.#giveUp("too-many-secrets");
  }

  /** False when the text has used up the work it may cause. */
  afford(bytes: number): boolean {
    if (this.gaveUp) return false;
    this.#work -= bytes;
    if (this.#work < 0) this.#giveUp("too-much-encoding");
    return this.#work >= 0;
  }

  /** False when the text has used up the effort that looking for values may be. */
  spend(effort: number): boolean {
    this.#effort -= effort;
    if (this.#effort < 0) this.#giveUp("too-many-near-misses");
    return !this.gaveUp;
  }

  /** Values that proved wrong are not looked at again: placeholders come in crowds. */
  wasRejected(detector: string, value: string): boolean {
    const last = this.#lastRejected;
    if (value === last.value && detector === last.detector) return true;
    return this.#rejected.has(`${detector} ${value}`);
  }

  reject(detector: string, value: string): void {
    this.#lastRejected = { detector, value };
    this.#rejected.add(`${detector} ${value}`);
  }

  #giveUp(detector: string): void {
    if (this.gaveUp) return;
    this.gaveUp = true;
    const value = Buffer.from(detector);
    this.#findings.push({ kind: "pattern", detector, start: 0, end: this.#length, through: [], value });
  }
}
