/**
 * Upstream sockets between two requests. A key stands for where a socket goes *and as whom*: a socket over
 * which one credential was presented never carries a request with another, or with none.
 */
import type { Socket } from "node:net";

interface Idle {
  readonly socket: Socket;
  readonly since: number;
}

export interface Pool {
  /** Registers a new socket: whenever the HTTP client is done with it, it comes here. */
  adopt(key: string, socket: Socket): void;
  /** The one used last, if there is one that is still good. */
  take(key: string): Socket | undefined;
  /** Closes what was idle for longer than `pooledMs`. */
  sweep(now: number): void;
  /** Closes idle sockets now, and busy ones as they become free. */
  retire(): void;
}

export function createPool(limits: { readonly pooledSockets: number; readonly pooledMs: number }): Pool {
  const idle = new Map<string, Idle[]>();
  const keys = new WeakMap<Socket, string>();
  let size = 0;
  let retired = false;

  /** An upstream that ends, or speaks without being asked, is not one to send the next request to. */
  function onIdleEvent(this: Socket): void {
    this.destroy();
  }

  function forget(socket: Socket): void {
    const key = keys.get(socket);
    const list = key === undefined ? undefined : idle.get(key);
    const index = list?.findIndex((entry) => entry.socket === socket) ?? -1;
    if (key === undefined || list === undefined || index < 0) return;
    list.splice(index, 1);
    size -= 1;
    if (list.length === 0) idle.delete(key);
  }

  function onFree(this: Socket): void {
    const key = keys.get(this);
    if (key === undefined || retired || size >= limits.pooledSockets || !isUsable(this)) {
      this.destroy();
      return;
    }
    this.resume();
    this.on("data", onIdleEvent);
    this.on("end", onIdleEvent);
    const entry = { socket: this, since: performance.now() };
    const list = idle.get(key);
    if (list === undefined) idle.set(key, [entry]);
    else list.push(entry);
    size += 1;
  }

  return {
    adopt(key, socket) {
      keys.set(socket, key);
      socket.on("free", onFree);
      socket.once("close", () => forget(socket));
    },
    take(key) {
      for (;;) {
        const socket = idle.get(key)?.at(-1)?.socket;
        if (socket === undefined) return undefined;
        forget(socket);
        socket.off("data", onIdleEvent);
        socket.off("end", onIdleEvent);
        if (isUsable(socket)) return socket;
        socket.destroy();
      }
    },
    sweep(now) {
      for (const list of [...idle.values()]) {
        for (const { socket, since } of [...list]) {
          if (now - since > limits.pooledMs) socket.destroy();
        }
      }
    },
    retire() {
      retired = true;
      for (const list of [...idle.values()]) for (const { socket } of [...list]) socket.destroy();
    },
  };
}

function isUsable(socket: Socket): boolean {
  return !socket.destroyed && socket.writable && !socket.readableEnded;
}
