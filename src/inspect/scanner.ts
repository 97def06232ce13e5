/**
 * Looks into one text, and into everything that is encoded in it.
 *
 * A text is swept once. What the sweep noticed is looked at: keywords are compared and their patterns tried, runs of
 * digits and words are checked, runs of base64, base32 and hex that can be text are unpacked and scanned like a text
 * of their own, and neighbourhoods of escapes and disguised letters are cleaned and scanned again. What lies in such a
 * neighbourhood is unpacked from the cleaned text only. So each byte goes into at most one unpacking and one cleaning
 * a level, each level is smaller than the one before, and there are at most UNPACKINGS of them; besides, the ledger
 * counts what is decoded, and a text that wants too much of it is itself a finding.
 */
import { AssignmentMemo } from "./assignment.ts";
import { NO_REGIONS, Regions } from "./disguise-regions.ts";
import { FRAME_SIZE, Frame } from "./frame.ts";
import type { KeywordIndex } from "./keyword-index.ts";
import { KeywordSearch, type Target } from "./keyword-search.ts";
import { BEGINNING, CLEANING, Ledger, type RawFinding } from "./ledger.ts";
import type { RuleSet } from "./own-rules.ts";
import type { Span } from "./path.ts";
import { type RunProbe, RunSearch } from "./run-search.ts";
import { engineHere, openWorkspace } from "./simd/kernels.ts";
import { sweep } from "./sweep.ts";
import { type Doubling, TextCleaner, type WideCopy } from "./text-cleaner.ts";
import { Unpacker } from "./unpacker.ts";
import type { WordList } from "./word-list.ts";

/** Base64 in base64 in base64 in base64 is nobody's file format; each level costs a hostile text's scan more time. */
export const UNPACKINGS = 4;

export interface ScannerParts {
  readonly index: KeywordIndex<Target>;
  readonly runs: readonly RunProbe[];
  readonly words: readonly WordList[];
  readonly rules: RuleSet | undefined;
}

/** The frames of one depth of unpacking. */
interface Frames {
  readonly raw: Frame;
  readonly cleaned: Frame;
  readonly squeezed: Frame;
}

let shared: readonly Frames[] | undefined;

/** All scanners use the same frames, one after the other. */
function framesOfAll(): readonly Frames[] {
  shared ??= makeFrames();
  return shared;
}

function makeFrames(): readonly Frames[] {
  const depths = UNPACKINGS + 1;
  const workspace = openWorkspace(3 * depths * FRAME_SIZE, engineHere());
  const frame = (i: number): Frame => new Frame(workspace, workspace.free + i * FRAME_SIZE);
  return Array.from({ length: depths }, (_, depth) => ({
    raw: frame(3 * depth),
    cleaned: frame(3 * depth + 1),
    squeezed: frame(3 * depth + 2),
  }));
}

/** What belongs to one depth of unpacking. */
interface Level {
  readonly raw: Frame;
  readonly cleaned: Frame;
  readonly wide: WideCopy | undefined;
  readonly regions: Regions;
  /** None at the deepest level. */
  readonly unpacker: Unpacker | undefined;
}

export class Scanner {
  readonly #parts: ScannerParts;
  readonly #ledger = new Ledger();
  readonly #keywords: KeywordSearch;
  readonly #runs: RunSearch;
  readonly #cleaner = new TextCleaner();
  readonly #levels: readonly Level[];

  constructor(parts: ScannerParts) {
    this.#parts = parts;
    this.#keywords = new KeywordSearch(parts.index, new AssignmentMemo(), this.#ledger);
    this.#runs = new RunSearch(parts.runs, this.#ledger);
    this.#levels = this.#makeLevels();
  }

  /** Findings of `source[from, to)`, offsets counted from `from`; unsorted, and some of them twice. */
  scan(source: Uint8Array, from: number, to: number): RawFinding[] {
    const outermost = this.#levels[0];
    if (outermost === undefined) return [];
    this.#ledger.open(to - from);
    for (const list of this.#parts.words) list.reset();
    outermost.raw.load(source.subarray(from, to));
    this.#scanText(outermost);
    return this.#ledger.close();
  }

  #makeLevels(): Level[] {
    const frames = framesOfAll();
    const levels: Level[] = frames.map(({ raw, cleaned, squeezed }, depth) => {
      const { kernels } = raw;
      const wide =
        kernels === undefined
          ? undefined
          : { kernels, source: raw.address.bytes, out: cleaned.address.bytes };
      const inner = frames[depth + 1]?.raw;
      const scanInner = (): void => {
        const level = levels[depth + 1];
        if (level !== undefined) this.#scanText(level);
      };
      const unpacker =
        inner === undefined ? undefined : new Unpacker(this.#ledger, { squeezed, inner }, scanInner);
      return { raw, cleaned, wide, regions: new Regions(), unpacker };
    });
    return levels;
  }

  /** The raw text of a level, and after it what is in disguise there. */
  #scanText(level: Level): void {
    const { raw, regions, unpacker } = level;
    this.#search(raw);
    regions.find(raw);
    unpacker?.unpackAll(raw, regions);
    let settled = 0;
    for (let i = 0; i < regions.count; i++) {
      const start = regions.begin(i);
      const end = regions.end(i);
      if (end <= settled) continue;
      // A keyword without disguise says beforehand that a value may be longer than what is around the escape.
      const atOnce = regions.holdsKeyword(i, raw);
      if (!atOnce && !this.#clean(level, { start, end }, "none")) continue;
      const wide = regions.widened(i, raw);
      if (atOnce || wide.start < start || wide.end > end) this.#clean(level, wide, "none");
      settled = wide.end;
    }
  }

  /** True when there is the beginning of what may be longer than `frame`. */
  #search(frame: Frame): boolean {
    if (this.#ledger.gaveUp) return false;
    const { index, rules, words } = this.#parts;
    sweep(frame, index.bits);
    this.#keywords.search(frame);
    this.#runs.search(frame);
    let goesOn = frame.isCut;
    for (const list of words) goesOn = list.search(frame, this.#ledger) || goesOn;
    if (rules !== undefined) this.#tryRules(frame, rules);
    return goesOn;
  }

  #clean(level: Level, { start: from, end: to }: Span, doubling: Doubling): boolean {
    const ledger = this.#ledger;
    if (!ledger.afford(BEGINNING.clean + (to - from) * CLEANING)) return false;
    const { raw, cleaned, wide, unpacker } = level;
    const out = cleaned.reserve(to - from);
    cleaned.commit(this.#cleaner.clean(raw.bytes, from, to, out, { doubling, wide }));
    const others = doubling === "none" ? this.#cleaner.otherReadings : [];
    ledger.path.push({ kind: "text", parent: raw, from, to, doubling });
    let goesOn = this.#search(cleaned);
    unpacker?.unpackAll(cleaned, NO_REGIONS);
    ledger.path.pop();
    for (const other of others) goesOn = this.#clean(level, { start: from, end: to }, other) || goesOn;
    return goesOn;
  }

  #tryRules(frame: Frame, rules: RuleSet): void {
    for (const { id, start, end } of rules.find(frame.text))
      this.#ledger.report("rule", id, { start, end }, Buffer.from(frame.bytes.subarray(start, end)));
  }
}
