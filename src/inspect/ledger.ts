/**
 * What the scan of one text has found, and what it may still cost. Whatever is left out because a limit is reached is
 * not passed over in silence: the whole text is then one finding, and no more is done.
 */
import type { FindingKind } from "./finding.ts";
import { decodings, locate, type Span, type Step } from "./path.ts";

/** Bytes that may be decoded for each byte of a text. Of 26,000 files of a Debian machine, tables of hex want most: under 6. */
const WORK_FACTOR = 8;
/** So small texts may be decoded often. */
const FREE_WORK = 16_384;
/**
 * Different values that look right and prove wrong, of all detectors. Each costs a microsecond or two: a text made of their
 * beginnings would cost a hundred times what others do. Honest texts have a few; this is a thousand times that.
 */
const FREE_REJECTIONS = 512;
const BYTES_A_REJECTION = 256;
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
  #rejected = new Set<string>();
  #mostRejected = 0;
  #lastRejected = { detector: "", value: "" };

  /** To be called before each text. */
  open(length: number): void {
    this.path.length = 0;
    this.gaveUp = false;
    this.#findings = [];
    this.#length = length;
    this.#work = length * WORK_FACTOR + FREE_WORK;
    if (this.#rejected.size > 0) {
      this.#rejected = new Set();
      this.#lastRejected = { detector: "", value: "" };
    }
    this.#mostRejected = FREE_REJECTIONS + Math.floor(length / BYTES_A_REJECTION);
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

  /** Values that proved wrong are not looked at again: placeholders come in crowds. */
  wasRejected(detector: string, value: string): boolean {
    const last = this.#lastRejected;
    if (value === last.value && detector === last.detector) return true;
    return this.#rejected.has(`${detector} ${value}`);
  }

  reject(detector: string, value: string): void {
    this.#lastRejected = { detector, value };
    this.#rejected.add(`${detector} ${value}`);
    if (this.#rejected.size > this.#mostRejected) this.#giveUp("too-many-near-misses");
  }

  #giveUp(detector: string): void {
    if (this.gaveUp) return;
    this.gaveUp = true;
    const value = Buffer.from(detector);
    this.#findings.push({ kind: "pattern", detector, start: 0, end: this.#length, through: [], value });
  }
}
