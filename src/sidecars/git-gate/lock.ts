/** One at a time, in the order of asking. */
export interface Lock {
  /** Resolves with what gives it back, once everybody before has. */
  take(): Promise<() => void>;
}

export function createLock(): Lock {
  let last: Promise<void> = Promise.resolve();
  return {
    async take() {
      const before = last;
      let release: () => void = () => {};
      last = new Promise((resolve) => {
        release = resolve;
      });
      await before;
      return release;
    },
  };
}
