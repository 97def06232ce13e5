/** Stands still while there is nothing to do: a host with many idle bottles is not to be woken by each of them every second. */
export interface Ticker {
  /** There may be something from now on. */
  wake(): void;
  stop(): void;
}

/** In milliseconds; `tick` says whether anything was there. It is called once more after it had nothing. */
export function createTicker(everyMs: number, tick: () => boolean): Ticker {
  let timer: NodeJS.Timeout | undefined;
  let quiet = 0;
  const stop = (): void => {
    clearInterval(timer);
    timer = undefined;
  };
  return {
    wake() {
      quiet = 0;
      timer ??= setInterval(() => {
        quiet = tick() ? 0 : quiet + 1;
        if (quiet > 1) stop();
      }, everyMs);
    },
    stop,
  };
}
