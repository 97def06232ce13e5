/**
 * The one port at which egress finds pipelock, whichever runs: connections lead to the one of now, and those that lead to
 * an earlier one stay there. What passes here is not looked at.
 */
import { connect, createServer, type Socket } from "node:net";
import { codeOf, UserError } from "../../lib/errors.ts";

const LOOPBACK = "127.0.0.1";
/** Several times what egress opens at once; whoever else of this host dials here must not take all descriptors. */
const MOST_CONNECTIONS = 4_096;

export interface Front {
  /** From now on, connections lead to this port of the loopback. */
  lead(port: number): void;
  /** When none leads to `port` any more; those that do after so long are cut. */
  left(port: number, withinMs: number): Promise<void>;
  close(): void;
}

/** @throws UserError where somebody has the port. */
export async function openFront(port: number): Promise<Front> {
  let current: number | undefined;
  const leading = new Map<number, Set<Socket>>();
  const gone = new Map<number, () => void>();

  const server = createServer({ allowHalfOpen: true }, (inner) => {
    inner.on("error", () => {});
    if (current === undefined) return void inner.destroy();
    const to = current;
    const outer = connect({ port: to, host: LOOPBACK, allowHalfOpen: true });
    outer.on("error", () => {});
    const others = leading.get(to) ?? new Set();
    leading.set(to, others.add(inner));
    inner.once("close", () => {
      outer.destroy();
      others.delete(inner);
      if (others.size > 0) return;
      leading.delete(to);
      gone.get(to)?.();
    });
    outer.once("close", () => inner.destroy());
    inner.pipe(outer).pipe(inner);
  });
  server.maxConnections = MOST_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      reject(new UserError(`cannot listen on port ${port} of ${LOOPBACK}: ${codeOf(cause)}`, { cause }));
    });
    server.listen(port, LOOPBACK, resolve);
  });
  server.on("error", () => {});

  const cut = (port: number): void => {
    for (const socket of leading.get(port) ?? []) socket.destroy();
  };
  return {
    lead(port) {
      current = port;
    },
    async left(port, withinMs) {
      if (!leading.has(port)) return;
      const timer = setTimeout(() => cut(port), withinMs);
      timer.unref();
      await new Promise<void>((resolve) => gone.set(port, resolve));
      gone.delete(port);
      clearTimeout(timer);
    },
    close() {
      server.close();
      for (const port of leading.keys()) cut(port);
    },
  };
}
