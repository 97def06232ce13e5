/** A detector made ready to be tried: its regular expression, and which bytes a match must have where. */
import type { Detector } from "./detector.ts";
import type { FindingKind } from "./finding.ts";
import type { Frame } from "./frame.ts";
import { EFFORT, type Ledger } from "./ledger.ts";
import { patternShape } from "./pattern-shape.ts";

/** So many places of a match are compared before its pattern is tried: a keyword, and what varies behind it. */
const FIRST_PLACES = 24;

export class Probe {
  readonly kind: FindingKind;
  readonly detector: Detector;
  /** In this pass over a text no match can begin before `until`: it would overlap one that was found. */
  pass = 0;
  until = 0;
  /** What one attempt costs, and one value that proves wrong: those of runs are short, and their checks a sum of digits. */
  readonly effort: { readonly pattern: number; readonly nearMiss: number };
  #ready: Readiness | undefined;

  constructor(detector: Detector, kind: FindingKind) {
    this.detector = detector;
    this.kind = kind;
    const isRun = detector.trigger.kind === "run";
    this.effort = isRun ? { pattern: EFFORT.run, nearMiss: EFFORT.run } : EFFORT;
  }

  /** Made when the detector is first triggered, as most never are: a bottle waits for its inspector to start. */
  get ready(): Readiness {
    this.#ready ??= makeReady(this.detector);
    return this.#ready;
  }
}

/** What can be told before the pattern is tried: most attempts end here. */
export interface Readiness {
  /** Bytes of the shortest and of the longest match. */
  readonly min: number;
  readonly max: number;
  /** So many bytes from a match's beginning on decide about it. */
  readonly reach: number;
  /** A row of 256 for each of the first places: 1 for bytes that can stand there. */
  readonly allowed: Uint8Array;
  /** The places in the order in which they are compared: where fewest bytes can stand comes first. */
  readonly places: Uint8Array;
  /** Bytes that may stand before a match. */
  readonly before: Uint8Array;
  readonly sticky: RegExp;
  /** The pattern begins with one byte or more of a class, so that what it matches goes on matching when its first byte goes. */
  readonly growing: boolean;
  /** The same, and it tells where the group `secret` is; undefined where there is none. */
  readonly withIndices: RegExp | undefined;
}

function makeReady({ pattern, ignoreCase = false, trigger }: Detector): Readiness {
  const reach = trigger.kind === "keyword" ? (trigger.before ?? 0) : 0;
  const shape = patternShape(pattern, ignoreCase, reach + FIRST_PLACES);
  const allowed = new Uint8Array(shape.places.length * 256);
  for (const [place, table] of shape.places.entries()) allowed.set(table, place * 256);
  return {
    min: shape.min,
    max: shape.max,
    reach: shape.reach,
    allowed,
    places: Uint8Array.from(tellingFirst(shape.places)),
    before: shape.before ?? new Uint8Array(256).fill(1),
    sticky: new RegExp(pattern, ignoreCase ? "yi" : "y"),
    growing: /^\[[^\]]{1,40}\]\{1,\d+\}/.test(pattern),
    withIndices: pattern.includes("(?<secret>") ? new RegExp(pattern, ignoreCase ? "dyi" : "dy") : undefined,
  };
}

function tellingFirst(places: readonly Uint8Array[]): number[] {
  return places
    .map((table, place) => ({ place, kinds: kindsIn(table) }))
    .filter(({ kinds }) => kinds < 256)
    .sort((a, b) => a.kinds - b.kinds)
    .map(({ place }) => place);
}

function kindsIn(table: Uint8Array): number {
  return table.reduce((sum, allowed) => sum + allowed, 0);
}

export interface Match {
  readonly start: number;
  readonly end: number;
  /** Of the group `secret`, or of the match. */
  readonly secretStart: number;
  readonly secretEnd: number;
}

/**
 * How far behind a match's beginning a keyword can stand, the nearest last: where the pattern spells it, and if it does
 * so nowhere (what stands before varies in length), wherever the pattern allows it up to `before`.
 */
export function keywordOffsets(probe: Probe, keyword: Uint8Array): readonly number[] {
  const { trigger, ignoreCase } = probe.detector;
  const before = trigger.kind === "keyword" ? (trigger.before ?? 0) : 0;
  if (before === 0) return [0];
  const { allowed } = probe.ready;
  const most = ignoreCase === true ? 2 : 1;
  const rowAt = (place: number): Uint8Array => allowed.subarray(place * 256, place * 256 + 256);
  const possible = Array.from({ length: before + 1 }, (_, i) => before - i).filter((offset) =>
    keyword.every((byte, i) => rowAt(offset + i)[byte] !== 0),
  );
  const spelt = possible.filter((offset) =>
    keyword.every((byte, i) => {
      const row = rowAt(offset + i);
      return row[byte] === 1 && kindsIn(row) <= most;
    }),
  );
  return spelt.length > 0 ? spelt : possible;
}

/** Whether the bytes around `at` allow a match to begin there. */
export function mayBegin(ready: Readiness, bytes: Uint8Array, at: number, length: number): boolean {
  const { places, allowed, before, min } = ready;
  if (at < 0 || at + min > length) return false;
  // Within a run of digits this settles all places but the first.
  if (at > 0 && before[bytes[at - 1] as number] === 0) return false;
  for (let i = 0; i < places.length; i++) {
    const place = places[i] as number;
    if (allowed[(place << 8) | (bytes[at + place] as number)] === 0) return false;
  }
  return true;
}

/** The match that begins at `at` of the text, if there is one and what it holds is credible. */
export function matchAt(probe: Probe, frame: Frame, at: number, ledger: Ledger): Match | undefined {
  if (!ledger.spend(probe.effort.pattern)) return undefined;
  const { sticky, withIndices, reach } = probe.ready;
  const { text, from } = frame.around(at, reach);
  sticky.lastIndex = at - from;
  const found = sticky.exec(text);
  if (found === null) return undefined;
  const end = at + found[0].length;
  const secret = found.groups?.["secret"] ?? found[0];
  if (!isCredible(probe, secret, ledger)) return undefined;
  if (withIndices === undefined) return { start: at, end, secretStart: at, secretEnd: end };
  withIndices.lastIndex = at - from;
  const group = withIndices.exec(text)?.indices?.groups?.["secret"] ?? [at - from, end - from];
  return { start: at, end, secretStart: group[0] + from, secretEnd: group[1] + from };
}

function isCredible({ detector, effort }: Probe, secret: string, ledger: Ledger): boolean {
  const { id, minEntropy, check } = detector;
  if (minEntropy === undefined && check === undefined) return true;
  if (ledger.wasRejected(id, secret)) return false;
  const isDull = minEntropy !== undefined && entropy(secret) < minEntropy;
  if (!isDull && check?.(secret) !== false) return true;
  ledger.reject(id, secret);
  ledger.spend(effort.nearMiss);
  return false;
}

export function reportMatch(ledger: Ledger, frame: Frame, probe: Probe, match: Match): void {
  const { secretStart: start, secretEnd: end } = match;
  const value = Buffer.from(frame.bytes.subarray(start, end));
  ledger.report(probe.kind, probe.detector.id, { start, end }, value);
}

/** How often each byte stands in a value. All zero between calls. */
const counts = new Uint32Array(256);

/** Shannon's, in bits a byte (of latin1 text). */
function entropy(text: string): number {
  for (let i = 0; i < text.length; i++)
    counts[text.charCodeAt(i) & 0xff] = (counts[text.charCodeAt(i) & 0xff] as number) + 1;
  let bits = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i) & 0xff;
    const count = counts[code] as number;
    if (count === 0) continue;
    bits -= (count / text.length) * Math.log2(count / text.length);
    counts[code] = 0;
  }
  return bits;
}
