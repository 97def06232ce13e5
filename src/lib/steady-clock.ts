/**
 * A clock for what ends by itself. It never goes back, so that what was given for an hour is not given for longer by
 * whoever sets the host's clock back; and it is never behind that clock, so that an hour is over also where the machine
 * slept through it. A clock that was set forward by mistake ends things early: they are asked for again.
 */

/** @returns milliseconds since 1970. @param since a moment that is known to be past: of an earlier life. */
export function createSteadyClock(
  since = 0,
  wall: () => number = Date.now,
  elapsed: () => number = () => performance.now(),
): () => number {
  let last = Math.max(since, wall());
  let at = elapsed();
  return () => {
    const tick = elapsed();
    last = Math.max(last + (tick - at), wall());
    at = tick;
    return Math.round(last);
  };
}
