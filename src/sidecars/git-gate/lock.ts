/** So many at a time, in the order of asking. */
export interface Lock {
  /** Resolves with what gives it back, once there is room. Giving back twice is giving back once. */
  take(): Promise<() => void>;
}

/** @param holders at a time. */
export function createLock(holders = 1): Lock {
  let free = holders;
  const waiting: (() => void)[] = [];
  return {
    async take() {
      if (free > 0) free -= 1;
      else await new Promise<void>((resolve) => waiting.push(resolve));
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const next = waiting.shift();
        if (next === undefined) free += 1;
        else next();
      };
    },
  };
}
