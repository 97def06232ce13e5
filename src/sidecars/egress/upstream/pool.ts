/**
 * Upstream connections between two requests. A key stands for where one goes *and as whom*: a connection over
 * which one credential was presented never carries a request with another, or with none.
 */
import type { Socket } from "node:net";
import { UpstreamConnection } from "./connection.ts";

interface Idle {
  readonly connection: UpstreamConnection;
  readonly since: number;
}

export interface Pool {
  /** How many wait in it. */
  readonly size: number;
  /** Makes a connection of a new socket. Whenever it has served a request, it comes here. */
  adopt(key: string, socket: Socket): UpstreamConnection;
  /** The one used last, if there is one that is still good. */
  take(key: string): UpstreamConnection | undefined;
  /** Closes what was idle for longer than `pooledMs`. */
  sweep(now: number): void;
  /** Closes idle connections now, and busy ones as they become free. */
  retire(): void;
}

export function createPool(limits: { readonly pooledSockets: number; readonly pooledMs: number }): Pool {
  /** Of each key, in the order in which they became free. */
  const idle = new Map<string, Idle[]>();
  let size = 0;
  let retired = false;

  function forget(key: string, connection: UpstreamConnection): void {
    const list = idle.get(key);
    const index = list?.findIndex((entry) => entry.connection === connection) ?? -1;
    if (list === undefined || index < 0) return;
    list.splice(index, 1);
    size -= 1;
    if (list.length === 0) idle.delete(key);
  }

  function keep(key: string, connection: UpstreamConnection): void {
    if (retired || size >= limits.pooledSockets) {
      connection.destroy();
      return;
    }
    const entry = { connection, since: performance.now() };
    const list = idle.get(key);
    if (list === undefined) idle.set(key, [entry]);
    else list.push(entry);
    size += 1;
  }

  return {
    get size() {
      return size;
    },
    adopt(key, socket) {
      const connection = new UpstreamConnection(socket, (freed) => keep(key, freed));
      connection.onClose(() => forget(key, connection));
      return connection;
    },
    take(key) {
      const list = idle.get(key);
      for (let entry = list?.pop(); entry !== undefined; entry = list?.pop()) {
        size -= 1;
        if (list?.length === 0) idle.delete(key);
        if (entry.connection.usable) return entry.connection;
        entry.connection.destroy();
      }
      return undefined;
    },
    sweep(now) {
      for (const list of [...idle.values()]) {
        for (const { connection, since } of [...list]) {
          if (now - since > limits.pooledMs) connection.destroy();
        }
      }
    },
    retire() {
      retired = true;
      for (const list of [...idle.values()]) for (const { connection } of [...list]) connection.destroy();
    },
  };
}
