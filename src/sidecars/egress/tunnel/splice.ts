/** Two sockets made into one stream, with backpressure both ways. What flows is counted and not looked at. */
import type { Duplex } from "node:stream";

export interface Splice {
  /** Breaks both off. */
  destroy(): void;
}

export interface SpliceEvents {
  up(bytes: number): void;
  down(bytes: number): void;
  /** Both are closed; `clean` when each end was announced. */
  closed(clean: boolean): void;
}

export function splice(client: Duplex, upstream: Duplex, events: SpliceEvents): Splice {
  let open = 2;
  let clean = true;
  const destroy = (): void => {
    client.destroy();
    upstream.destroy();
  };
  if (client.destroyed || upstream.destroyed) {
    // One of them went away before it could be listened to.
    destroy();
    queueMicrotask(() => events.closed(false));
    return { destroy };
  }
  for (const side of [client, upstream]) {
    const other = side === client ? upstream : client;
    side.on("error", () => {
      clean = false;
    });
    side.once("close", () => {
      if (!side.readableEnded) clean = false;
      // What was read before a regular end may still be on its way out.
      if (side.readableEnded && !other.writableEnded) other.end();
      else if (!side.readableEnded) other.destroy();
      open -= 1;
      if (open === 0) events.closed(clean);
    });
  }
  flow(client, upstream, events.up);
  flow(upstream, client, events.down);
  return { destroy };
}

function flow(from: Duplex, to: Duplex, count: (bytes: number) => void): void {
  from.on("data", (chunk: Buffer) => {
    count(chunk.length);
    if (!to.write(chunk)) from.pause();
  });
  // Or has ended by then.
  if (from.readableEnded) to.end();
  from.on("end", () => to.end());
  to.on("drain", () => from.resume());
}
