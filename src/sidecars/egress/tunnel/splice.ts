/** Two sockets made into one stream, with backpressure both ways; what flows is counted. */
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

/** What becomes of a chunk on its way: what may go on by then, of it and of what was held back before. */
export interface Through {
  up(chunk: Buffer): readonly Buffer[];
  down(chunk: Buffer): readonly Buffer[];
  /** So much of it lies there, not taken by who it is for. */
  upWaits(bytes: number): void;
  downWaits(bytes: number): void;
  /** Both are closed. */
  closed(): void;
}

const UNTOUCHED: Through = {
  up: (chunk) => [chunk],
  down: (chunk) => [chunk],
  upWaits() {},
  downWaits() {},
  closed() {},
};

export function splice(
  client: Duplex,
  upstream: Duplex,
  events: SpliceEvents,
  through: Through = UNTOUCHED,
): Splice {
  let open = 2;
  let clean = true;
  const destroy = (): void => {
    client.destroy();
    upstream.destroy();
  };
  if (client.destroyed || upstream.destroyed) {
    // One of them went away before it could be listened to.
    destroy();
    through.closed();
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
      if (open > 0) return;
      through.closed();
      events.closed(clean);
    });
  }
  flow(client, upstream, events.up, through.up, through.upWaits);
  flow(upstream, client, events.down, through.down, through.downWaits);
  return { destroy };
}

function flow(
  from: Duplex,
  to: Duplex,
  count: (bytes: number) => void,
  through: Through["up"],
  waits: Through["upWaits"],
): void {
  from.on("data", (chunk: Buffer) => {
    count(chunk.length);
    for (const bytes of through(chunk)) {
      if (!to.writable) return;
      if (!to.write(bytes)) from.pause();
    }
    waits(to.writableLength);
  });
  // Or has ended by then.
  if (from.readableEnded) to.end();
  from.on("end", () => to.end());
  to.on("drain", () => {
    waits(to.writableLength);
    from.resume();
  });
}
