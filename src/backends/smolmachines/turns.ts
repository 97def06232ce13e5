/**
 * Execs of a machine's that begin one after the other: early releases of smolvm kill one that begins together with another
 * one (A.8). Once it has begun, as many run as there are.
 */

/** Runs `begin` once all that came before has begun, or failed to. */
export type InTurn = <T>(begin: () => Promise<T>) => Promise<T>;

export function createTurns(): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (begin) => {
    const next = last.then(begin);
    last = next.catch(() => {});
    return next;
  };
}
