/** Names of bottles and what they may look like. */
import { randomInt } from "node:crypto";

/** Longest slug: keeps `bot-bottle-<id>-<role>` within the 63 characters of a host name label. */
const MAX_SLUG_LENGTH = 32;
const SUFFIX_LENGTH = 5;
const BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz";

/** `[a-z0-9-]`, no dash at either end, at most 32 characters; empty when nothing of `text` survives. */
export function slugOf(text: string): string {
  return text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, MAX_SLUG_LENGTH)
    .replace(/^-+|-+$/g, "");
}

/** A bottle's one name: the slug of its agent or label, a dash, five random base36 characters. */
export function newBottleId(nameOrLabel: string): string {
  const slug = slugOf(nameOrLabel) || "bottle";
  let suffix = "";
  for (let i = 0; i < SUFFIX_LENGTH; i++) suffix += BASE36[randomInt(BASE36.length)];
  return `${slug}-${suffix}`;
}

const BOTTLE_ID = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?-[a-z0-9]{5}$/;

/** True for what {@link newBottleId} makes. Everything that becomes a path is checked with it first. */
export function isBottleId(text: string): boolean {
  return BOTTLE_ID.test(text);
}

/** The candidate closest to `name` by edit distance, if it is close enough to be a slip of the hand. */
export function didYouMean(name: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(2, Math.ceil(name.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - name.length) >= bestDistance) continue;
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
