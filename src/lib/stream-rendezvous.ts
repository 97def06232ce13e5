/**
 * Streams that come each on a connection of its own, and whoever waits for them, in whatever order: both know
 * the word by which they find each other.
 */
import type { Duplex } from "node:stream";

export interface StreamRendezvous<S extends Duplex> {
  /** Hands over a stream that came. Nobody has to want it: it is forgotten when it closes. */
  give(key: string, socket: S): void;
  /** @throws Error when it does not come in time. */
  take(key: string): Promise<S>;
}

export function createStreamRendezvous<S extends Duplex>(timeoutMs: number): StreamRendezvous<S> {
  const arrived = new Map<string, S>();
  const waiting = new Map<string, (socket: S) => void>();
  return {
    give(key, socket) {
      const taker = waiting.get(key);
      if (taker !== undefined) {
        waiting.delete(key);
        taker(socket);
        return;
      }
      arrived.set(key, socket);
      socket.once("close", () => {
        if (arrived.get(key) === socket) arrived.delete(key);
      });
    },
    take(key) {
      const there = arrived.get(key);
      if (there !== undefined) {
        arrived.delete(key);
        return Promise.resolve(there);
      }
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(key);
          reject(new Error(`stream ${key} did not come`));
        }, timeoutMs);
        waiting.set(key, (socket) => {
          clearTimeout(timer);
          resolve(socket);
        });
      });
    },
  };
}
