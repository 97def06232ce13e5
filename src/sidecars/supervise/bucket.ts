/** A number of things at once, and a rate for ever. */
export interface Bucket {
  /** Takes one; 0, or the whole seconds until there is one. */
  take(): number;
}

/** @param now in milliseconds, never going back. */
export function createBucket(
  burst: number,
  perSecond: number,
  now: () => number = () => performance.now(),
): Bucket {
  let level = burst;
  let since = now();
  return {
    take() {
      const at = now();
      level = Math.min(burst, level + ((at - since) / 1_000) * perSecond);
      since = at;
      if (level < 1) return Math.ceil((1 - level) / perSecond);
      level -= 1;
      return 0;
    },
  };
}
