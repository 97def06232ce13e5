import type { Detector } from "../../src/inspect/detector.ts";

/** What one detector found, without any engine: its trigger, its pattern and its checks, on plain text. */
export interface PlainFinding {
  readonly detector: string;
  readonly secret: string;
  readonly start: number;
}

const RUNS = {
  digits: /\d(?:[ -]?\d){0,200}/g,
  capitals: /[A-Z0-9](?: ?[A-Z0-9]){0,200}/g,
  alphanumerics: /[A-Za-z0-9]{24,}/g,
} as const;

/** Applies `detectors` to `text` the slow and simple way: the reading of the contract that the engine is held to. */
export function plainScan(detectors: readonly Detector[], text: string): PlainFinding[] {
  const lower = text.toLowerCase();
  return detectors.flatMap((detector) => [...candidates(detector, text, lower)]);
}

function* candidates(detector: Detector, text: string, lower: string): Generator<PlainFinding> {
  const { trigger } = detector;
  if (trigger.kind === "words") {
    yield* phrases(detector, trigger, lower);
    return;
  }
  if (trigger.kind === "keyword") {
    const folded = detector.ignoreCase === true;
    const hay = folded ? lower : text;
    if (!trigger.keywords.some((keyword) => hay.includes(folded ? keyword.toLowerCase() : keyword))) return;
  }
  const expression = compiled(detector);
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
    const secret = match.groups?.["secret"] ?? match[0];
    if (accepted(detector, secret) && (trigger.kind !== "run" || inRun(trigger, secret))) {
      yield { detector: detector.id, secret, start: match.index + match[0].lastIndexOf(secret) };
    } else {
      expression.lastIndex = match.index + 1;
    }
  }
}

function inRun(trigger: { of: keyof typeof RUNS; min: number }, secret: string): boolean {
  const runs = secret.match(RUNS[trigger.of]) ?? [];
  return runs.some((run) => run.replace(/[ -]/g, "").length >= trigger.min);
}

function* phrases(
  detector: Detector,
  trigger: { words: readonly string[]; counts: readonly number[] },
  lower: string,
): Generator<PlainFinding> {
  const known = new Set(trigger.words);
  const words = [...lower.matchAll(/[a-z]+/g)].map((match) => ({ word: match[0], at: match.index }));
  for (let from = 0; from < words.length; from++) {
    if (!known.has(words[from]!.word) || !known.has(words[from + 5]?.word ?? "")) continue;
    for (const count of [...trigger.counts].sort((a, b) => b - a)) {
      const some = words.slice(from, from + count);
      if (some.length < count || !some.every(({ word }) => known.has(word))) continue;
      const phrase = some.map(({ word }) => word).join(" ");
      const gaps = lower.slice(some[0]!.at, some.at(-1)!.at).replace(/[a-z]+/g, "");
      if (/[^\s,"'\d.)]/.test(gaps) || !accepted(detector, phrase)) continue;
      yield { detector: detector.id, secret: phrase, start: some[0]!.at };
      from += count - 1;
      break;
    }
  }
}

function accepted(detector: Detector, secret: string): boolean {
  return entropy(secret) >= (detector.minEntropy ?? 0) && (detector.check?.(secret) ?? true);
}

function entropy(text: string): number {
  const counts = new Map<string, number>();
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1);
  return [...counts.values()].reduce((sum, n) => sum - (n / text.length) * Math.log2(n / text.length), 0);
}

const cache = new Map<Detector, RegExp>();

function compiled(detector: Detector): RegExp {
  const known = cache.get(detector);
  if (known !== undefined) return known;
  const expression = new RegExp(detector.pattern, detector.ignoreCase === true ? "gi" : "g");
  cache.set(detector, expression);
  return expression;
}
