/** Counts the turns of everything else in this process, until it is asked for them. */
export function countTurns(): () => number {
  let count = 0;
  const turn = (): void => {
    count += 1;
    next = setImmediate(turn);
  };
  let next = setImmediate(turn);
  return () => {
    clearImmediate(next);
    return count;
  };
}
