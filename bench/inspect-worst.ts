/**
 * Looks for the text that costs the inspector most a byte: hill-climbing over a text's recipe. A recipe is a few
 * fragments (the beginnings of every detector's values, escapes, delimiters, digits of every encoding, letters of other
 * scripts), how they are mixed, and what the mixture is encoded in; the dearest recipe is mutated again and again.
 */
import type { Detector } from "../src/inspect/detector.ts";
import type { Inspector } from "../src/inspect/inspector.ts";
import { random } from "../test/support/random.ts";

/** As long as the pieces that other texts are timed in. */
const SAMPLE = 128 * 1024;
/** Recipes tried. Each costs some milliseconds. */
const STEPS = Number(process.env["INSPECT_SEARCH_STEPS"] ?? 150);
const REPEATS = 3;

interface Recipe {
  readonly fragments: readonly string[];
  readonly shuffled: boolean;
  readonly wrapped: readonly ("base64" | "hex" | "base64url")[];
  readonly seed: number;
}

export interface Worst {
  readonly text: Buffer;
  readonly description: string;
}

const FRAGMENTS: readonly string[] = [
  ..."% %41 %25 %2541 %u0041 \\ \\\\ \\u0041 \\u{41} \\x41 \\101 \\n & &#65; &amp; &lowbar; = ; : , - _ . / + ' \"".split(
    " ",
  ),
  ..."A a 0 AAAA aaaa 0000 QUFB e3t7 ZWZn deadbeef 6768 41:42: 0x41, MFRGG mfrgg abandon ability able".split(
    " ",
  ),
  ..."é а ｇ ﬁ \u200b \u0301 漢 😀 \u0000 \u0000\u0000 \u007f \u0001 ".split(" "),
  ...[
    "\n",
    "\r\n",
    "\t",
    " ",
    "  ",
    "4111 ",
    "4111-",
    "DE89 3704 ",
    "https://",
    "http://a:b@",
    "password=",
    "secret",
    "token: ",
  ],
  ...[
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "eyJ",
    "eyJhbGciOi",
    "sk-",
    "sk-ant-",
    "AKIA",
    "ghp_",
    "xoxb-",
    "SG.",
  ],
];

/** Dear mixtures that people found, and searches ten times as long as this one: it begins with the dearest of them. */
const HILLS: readonly Pick<Recipe, "fragments" | "shuffled">[] = [
  // Short words in several packings, each in the neighbourhood of an escape.
  { fragments: ["MFRGG", "IBAAKCAYEA", "%u0041", "  ", "QUFB"], shuffled: false },
  // Tokens whose contents are nearly what they must be, and each another.
  { fragments: ["eyJhbGciOiJ4In0.e3h9.", "Qx3vT8mLpWn4Rk2Y", "b7HsD1fGz9Ka5VtE", " "], shuffled: true },
  // Short words of base64, whole and cut, between blanks.
  { fragments: ["Y29tZSBhbmQgZ28g", "dGhlIHNlY29uZA", "c29tZXdoZXJl", "eHk", " "], shuffled: true },
  // Names to which something may be assigned, in disguise.
  {
    fragments: ["dd_api_key", "session-token", "-", "\u0301", "eyJhbGciOi", "ability"],
    shuffled: true,
  },
];

/** The dearest text found, `SAMPLE` bytes of it, and what it is made of. */
export function searchWorst(inspector: Inspector, detectors: readonly Detector[], seed: number): Worst {
  const next = random(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const keywords = detectors.flatMap(({ trigger }) => (trigger.kind === "keyword" ? trigger.keywords : []));
  const fragment = (): string => {
    const kind = next();
    if (kind < 0.4) return pick(FRAGMENTS) || " ";
    if (kind < 0.7)
      return pick(keywords) + (next() < 0.5 ? alphanumerics(next, Math.floor(next() * 44)) : "");
    if (kind < 0.9) return alphanumerics(next, 1 + Math.floor(next() * 60));
    return String.fromCharCode(Math.floor(next() * 256));
  };
  const mutated = (recipe: Recipe): Recipe => {
    const fragments = [...recipe.fragments];
    for (let changes = 1 + Math.floor(next() * 3); changes > 0; changes--) {
      const at = Math.floor(next() * fragments.length);
      const kind = next();
      if (kind < 0.4) fragments.splice(at, 0, fragment());
      else if (kind < 0.6 && fragments.length > 1) fragments.splice(at, 1);
      else fragments[at] = fragment();
    }
    const wrapped =
      next() < 0.8
        ? recipe.wrapped
        : next() < 0.5
          ? recipe.wrapped.slice(1)
          : [pick(["base64", "hex", "base64url"] as const), ...recipe.wrapped].slice(0, 4);
    return {
      fragments,
      shuffled: next() < 0.9 ? recipe.shuffled : !recipe.shuffled,
      wrapped,
      seed: recipe.seed,
    };
  };
  let best: Recipe = { fragments: [fragment()], shuffled: false, wrapped: [], seed: 1 };
  let cost = costOf(inspector, best);
  const climb = (candidate: Recipe): void => {
    const candidateCost = costOf(inspector, candidate);
    if (candidateCost <= cost) return;
    best = candidate;
    cost = candidateCost;
  };
  for (const hill of HILLS) climb({ ...hill, wrapped: [], seed: 1 });
  for (let step = 0; step < STEPS; step++) {
    // Now and then from nothing: the dearest recipe may be on another hill.
    climb(
      next() < 0.3
        ? mutated({ fragments: [fragment()], shuffled: next() < 0.5, wrapped: [], seed: step })
        : mutated(best),
    );
  }
  const parts = best.fragments.map((part) => JSON.stringify(part.slice(0, 24))).join(" ");
  return {
    text: build(best),
    description: [parts, best.shuffled ? "shuffled" : "repeated", ...best.wrapped].join(", "),
  };
}

function costOf(inspector: Inspector, recipe: Recipe): number {
  const text = build(recipe);
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < REPEATS; i++) {
    const begin = process.hrtime.bigint();
    inspector.scan(text);
    least = Math.min(least, Number(process.hrtime.bigint() - begin));
  }
  return least / text.length;
}

function build({ fragments, shuffled, wrapped, seed }: Recipe): Buffer {
  const next = random(seed);
  let size = SAMPLE;
  for (const packing of wrapped) size = Math.ceil(size * (packing === "hex" ? 0.5 : 0.75));
  const parts = fragments.map((part) => Buffer.from(part));
  const chosen: Buffer[] = [];
  for (let total = 0, i = 0; total < size; i++) {
    const part = parts[shuffled ? Math.floor(next() * parts.length) : i % parts.length] ?? Buffer.alloc(1);
    chosen.push(part);
    total += part.length + (part.length === 0 ? 1 : 0);
  }
  let text = Buffer.concat(chosen).subarray(0, size);
  for (const packing of wrapped) text = Buffer.from(text.toString(packing));
  return text;
}

function alphanumerics(next: () => number, length: number): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  return Array.from({ length }, () => letters[Math.floor(next() * letters.length)]).join("");
}
