/** A detector made ready to be tried: its regular expressions, what a match must begin with, and how long it can be. */
import type { Detector } from "./detector.ts";
import type { FindingKind } from "./finding.ts";
import { type PatternShape, patternShape } from "./pattern-shape.ts";

export interface Probe {
  readonly kind: FindingKind;
  readonly detector: Detector;
  /** Read when the detector is first triggered, as most never are: a bottle waits for its inspector to start. */
  readonly shape: PatternShape;
  /** Bytes that may stand between a match's beginning and its keyword. */
  readonly before: number;
  /** Places at which fewest bytes can stand: where many beginnings are tried for a keyword, these settle it. */
  readonly telling: readonly number[];
  /** Sticky. Compiled when it is first tried: most texts never try most detectors. */
  readonly sticky: () => RegExp;
  /** In this pass over a text no match can begin before `until`: it would overlap one that was found. */
  pass: number;
  until: number;
}

export function makeProbe(detector: Detector, kind: FindingKind): Probe {
  const ignoreCase = detector.ignoreCase === true;
  const before = detector.trigger.kind === "keyword" ? (detector.trigger.before ?? 0) : 0;
  let sticky: RegExp | undefined;
  let shape: PatternShape | undefined;
  let telling: readonly number[] | undefined;
  return {
    kind,
    detector,
    before,
    get shape() {
      shape ??= patternShape(
        detector.pattern,
        ignoreCase,
        before === 0 ? FIRST_PLACES : before + FIRST_PLACES,
      );
      return shape;
    },
    get telling() {
      telling ??= before === 0 ? [] : tellingPlaces(this.shape);
      return telling;
    },
    sticky: () => {
      sticky ??= new RegExp(detector.pattern, ignoreCase ? "dyi" : "dy");
      return sticky;
    },
    pass: 0,
    until: 0,
  };
}

/** So many places of a match are compared before its pattern is tried: a keyword, and what varies behind it. */
const FIRST_PLACES = 24;
const MOST_TELLING = 4;

function tellingPlaces({ places }: PatternShape): number[] {
  const count = (table: Uint8Array): number => table.reduce((sum, allowed) => sum + allowed, 0);
  return [...places.keys()]
    .map((place) => ({ place, kinds: count(places[place] ?? new Uint8Array()) }))
    .sort((a, b) => a.kinds - b.kinds)
    .slice(0, MOST_TELLING)
    .map(({ place }) => place);
}

export interface Match {
  readonly start: number;
  readonly end: number;
  /** Of the group `secret`, or of the match. */
  readonly secretStart: number;
  readonly secretEnd: number;
}

/**
 * How far behind a match's beginning a keyword can stand: where the pattern spells it, and if it does so nowhere (what
 * stands before varies in length), anywhere up to `before`.
 */
export function keywordOffsets({ before, shape, detector }: Probe, keyword: Uint8Array): readonly number[] {
  const anywhere = Array.from({ length: before + 1 }, (_, i) => before - i);
  if (before === 0) return anywhere;
  const most = detector.ignoreCase === true ? 2 : 1;
  const spelt = anywhere.filter((offset) =>
    keyword.every((byte, i) => {
      const table = shape.places[offset + i];
      return table?.[byte] === 1 && table.reduce((sum, allowed) => sum + allowed, 0) <= most;
    }),
  );
  return spelt.length > 0 ? spelt : anywhere;
}

/** Whether the bytes around `at` allow a match to begin there: most attempts end here. */
export function mayBegin(probe: Probe, bytes: Uint8Array, at: number, length: number): boolean {
  const { places, before, min } = probe.shape;
  if (at < 0 || at + min > length) return false;
  const { telling } = probe;
  for (let i = 0; i < telling.length; i++) {
    const place = telling[i] as number;
    if ((places[place] as Uint8Array)[bytes[at + place] as number] === 0) return false;
  }
  for (let i = 0; i < places.length; i++) {
    const table = places[i] as Uint8Array;
    if (table[bytes[at + i] as number] === 0) return false;
  }
  return before === undefined || at === 0 || before[bytes[at - 1] as number] === 1;
}

/**
 * The match that begins at `at` of `text`, if there is one and what it holds is credible. Values that are not are
 * noted in `rejected`, and are not looked at again: placeholders come in crowds.
 */
export function matchAt(probe: Probe, text: string, at: number, rejected: Set<string>): Match | undefined {
  const expression = probe.sticky();
  expression.lastIndex = at;
  const found = expression.exec(text);
  if (found === null) return undefined;
  const [secretStart, secretEnd] = found.indices?.groups?.["secret"] ?? [at, at + found[0].length];
  const secret = text.slice(secretStart, secretEnd);
  const { id, minEntropy, check } = probe.detector;
  if (minEntropy !== undefined || check !== undefined) {
    const name = `${id} ${secret}`;
    if (rejected.has(name)) return undefined;
    const isDull = minEntropy !== undefined && entropy(secret) < minEntropy;
    if (isDull || check?.(secret) === false) {
      rejected.add(name);
      return undefined;
    }
  }
  return { start: at, end: at + found[0].length, secretStart, secretEnd };
}

/** Shannon's, in bits a character. */
export function entropy(text: string): number {
  const counts = new Map<number, number>();
  for (let i = 0; i < text.length; i++)
    counts.set(text.charCodeAt(i), (counts.get(text.charCodeAt(i)) ?? 0) + 1);
  let bits = 0;
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length);
  return bits;
}
