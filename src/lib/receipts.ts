/**
 * Waiting for the other side to say that it has done something: each thing is sent with a number, and comes back
 * as that number. What is not heard of in time has not been done.
 */
export interface Receipts {
  /** Sends with a new number; resolves once that number came back, rejects after `patienceMs`. */
  ask(send: (receipt: number) => void, patienceMs: number): Promise<void>;
  /** The other side's word. A number that nobody waits for is passed over. */
  given(receipt: unknown): void;
}

export function createReceipts(): Receipts {
  const waiting = new Map<unknown, () => void>();
  let last = 0;
  return {
    ask(send, patienceMs) {
      const receipt = ++last;
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(receipt);
          reject(new Error(`not heard of within ${patienceMs} ms`));
        }, patienceMs);
        waiting.set(receipt, () => {
          clearTimeout(timer);
          resolve();
        });
        send(receipt);
      });
    },
    given(receipt) {
      waiting.get(receipt)?.();
      waiting.delete(receipt);
    },
  };
}
