/**
 * A sidecar that is started by whoever connects first: until then its listeners are held here, and cost nothing. What
 * comes while it starts waits unread and is handed over with them.
 */
import type { Server, Socket } from "node:net";
import type { InheritedListeners } from "../contract/backend.ts";
import type { Scope } from "../lib/scope.ts";
import { type KeptSidecar, keepSidecar, type SidecarRequest } from "./bundle.ts";

/** More than an agent opens at once; whoever comes beyond that is refused. */
const MOST_WAITING = 16;

/** @param armed what connects before is no use: whoever verifies that the listener answers. */
export async function keepSidecarOnFirstUse(
  request: SidecarRequest,
  armed: Promise<void>,
  scope: Scope,
): Promise<KeptSidecar> {
  const endpoint = await request.endpoint;
  if (endpoint.listen.kind !== "inherited") return keepSidecar(request, scope);
  const { roles, open: openAnew } = endpoint.listen;

  const waiting: Socket[] = [];
  let held: InheritedListeners | undefined = await openAnew();
  let sidecar: Promise<KeptSidecar> | undefined;
  let kept: KeptSidecar | undefined;
  let isOpen = false;
  let stopped = false;
  armed.then(
    () => {
      isOpen = !stopped;
    },
    () => {},
  );

  function start(): Promise<KeptSidecar> {
    const open = async (): Promise<InheritedListeners> => {
      const first = held;
      held = undefined;
      return first ?? openAnew();
    };
    const started = keepSidecar(
      {
        ...request,
        endpoint: Promise.resolve({ ...endpoint, listen: { kind: "inherited", roles, open } }),
        connections: () => waiting.splice(0),
      },
      scope,
    );
    started.then(
      (it) => {
        kept = it;
      },
      (error: unknown) => {
        sidecar = undefined;
        letGo();
        void request
          .onNotice({
            kind: "failed-restart",
            reason: error instanceof Error ? error.message : String(error),
          })
          .catch(() => {});
      },
    );
    return started;
  }

  function hold(socket: Socket): void {
    socket.on("error", () => {});
    if (!isOpen || waiting.length >= MOST_WAITING) {
      socket.destroy();
      return;
    }
    waiting.push(socket);
    sidecar ??= start();
  }

  /** Nobody waits, and nobody is let wait. */
  function letGo(): void {
    for (const socket of waiting.splice(0)) socket.destroy();
    for (const server of held?.values() ?? []) server.close();
    held = undefined;
  }

  for (const server of held.values()) {
    pauseOnConnect(server);
    // Until now somebody closed what came.
    server.removeAllListeners("connection").on("connection", hold);
  }
  scope.defer(`${request.name} listener`, async () => {
    stopped = true;
    isOpen = false;
    letGo();
  });

  return {
    name: request.name,
    pid: () => kept?.pid() ?? 0,
    restarts: () => kept?.restarts() ?? 0,
    refresh: async () => (await sidecar)?.refresh(),
    async stop() {
      stopped = true;
      isOpen = false;
      letGo();
      await (await sidecar?.catch(() => undefined))?.stop();
    },
  };
}

/** What a client says first is for the process that serves it: a socket that was read from cannot be handed over. */
function pauseOnConnect(server: Server): void {
  Object.assign(server, { pauseOnConnect: true });
}
