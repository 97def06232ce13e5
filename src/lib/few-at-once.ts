/** The same work for many things, on a few of them at once. */

/**
 * What `work` gives, in the order of `items`. The first failure stops the others by their signal, and is thrown once none
 * of them is at work any more: what they wrote to can be removed then.
 * @throws what failed first; the signal's reason.
 */
export async function fewAtOnce<Item, Result>(
  items: readonly Item[],
  { atOnce, signal }: { readonly atOnce: number; readonly signal?: AbortSignal | undefined },
  work: (item: Item, signal: AbortSignal, index: number) => Promise<Result>,
): Promise<readonly Result[]> {
  const stop = new AbortController();
  const both = AbortSignal.any([stop.signal, ...(signal ? [signal] : [])]);
  const results: Result[] = [];
  // One for all: each takes the next.
  const waiting = items.entries();
  const worker = async (): Promise<void> => {
    try {
      for (const [index, item] of waiting) {
        both.throwIfAborted();
        results[index] = await work(item, both, index);
      }
    } catch (error) {
      stop.abort(error);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  signal?.throwIfAborted();
  stop.signal.throwIfAborted();
  return results;
}
