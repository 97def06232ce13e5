/**
 * The bottle's sidecars, kept running, wherever they are. While one is down its listener is gone, so the guest
 * is refused at once: it has less, never more. One that keeps dying is given up, loudly.
 */
import type { Socket } from "node:net";
import type {
  Endpoint,
  InheritedListener,
  ListenerRole,
  SidecarName,
  SidecarStreams,
} from "../contract/backend.ts";
import { messageOf } from "../lib/errors.ts";
import type { Scope } from "../lib/scope.ts";
import {
  type SidecarMessage,
  type SidecarPlace,
  type SidecarProcess,
  startSidecar,
} from "./sidecar-process.ts";

/** Pauses before each start again; after the last one it stays down. */
const BACKOFF_MS = [100, 500, 2_000, 8_000, 30_000] as const;
/** One that served this long starts with a clean record. */
const STABLE_MS = 60_000;

export type SidecarNotice =
  | { readonly kind: "message"; readonly message: SidecarMessage }
  | { readonly kind: "died"; readonly reason: string; readonly restartInMs: number | undefined }
  | { readonly kind: "restarted" }
  | { readonly kind: "failed-restart"; readonly reason: string };

export interface KeptSidecar {
  readonly name: SidecarName;
  /** Of the running process; 0 while it is down. */
  pid(): number;
  restarts(): number;
  /**
   * Tells it what is in force now. One that is down has that as soon as it starts; one that will not have it is
   * ended, and starts again with it (fail closed).
   * @throws Error with its own words
   */
  refresh(): Promise<void>;
  /** Ends it for good; from then on the guest is refused. */
  stop(): Promise<void>;
}

/** Where it is to run; of a contained one, only its endpoint knows how to start it. */
export type PlannedPlace = Exclude<SidecarPlace, { kind: "contained" }> | { readonly kind: "contained" };

export interface SidecarRequest {
  readonly name: SidecarName;
  readonly id: string;
  readonly place: PlannedPlace;
  /** Where it will listen. */
  readonly endpoint: Promise<Endpoint>;
  /** Asked for anew at each start, so that a restart has the policy that is in force. */
  readonly config: (endpoint: Endpoint) => Promise<unknown>;
  /** The part of it that can be replaced, as it is now. */
  readonly policy: () => unknown;
  /** Those that were accepted in its stead: handed over once it serves, and after each start again. */
  readonly connections?: () => readonly Socket[];
  /** Resolves once the notice is on the log: a sidecar that waits for that is told. Rejects when it cannot be. */
  readonly onNotice: (notice: SidecarNotice) => Promise<void>;
  /** What it is answered when it asks; without it, it may not ask. */
  readonly onAsk?: (data: Readonly<Record<string, unknown>>) => Promise<unknown>;
}

/**
 * Starts a sidecar and keeps it running until the scope closes. The program starts at once, and waits for what it
 * is to be told.
 */
export async function keepSidecar(request: SidecarRequest, scope: Scope): Promise<KeptSidecar> {
  const { name, endpoint, onNotice } = request;
  let running: SidecarProcess | undefined;
  let restarts = 0;
  let failures = 0;
  let stopping = false;
  let pause: NodeJS.Timeout | undefined;
  let restarting: Promise<void> | undefined;

  const tell = (notice: SidecarNotice): void => void onNotice(notice).catch(() => {});

  const start = async (): Promise<void> => {
    const startedAt = performance.now();
    // Answers go to the process that asked, and not to the one that came after it.
    let asking: SidecarProcess | undefined;
    const sidecar = await startSidecar({
      name,
      id: request.id,
      place: placed(request),
      config: endpoint.then(request.config),
      listeners: endpoint.then(({ listen }) =>
        listen.kind === "inherited" ? listen.open() : new Map<ListenerRole, InheritedListener>(),
      ),
      onMessage: (message) => {
        const { onAsk } = request;
        const receipt = message.type === "event" ? message.receipt : undefined;
        const handled =
          message.type === "ask" && onAsk !== undefined
            ? onAsk(message.data).then((answer) => asking?.answer(message.ask, answer))
            : onNotice({ kind: "message", message }).then(() =>
                receipt === undefined ? undefined : asking?.recorded(receipt),
              );
        // What failed is told by whoever failed; without a word, the sidecar does not do what it asked about.
        handled.catch(() => {});
      },
    });
    asking = sidecar;
    if (stopping) return sidecar.stop();
    for (const socket of request.connections?.() ?? []) sidecar.take(socket);
    running = sidecar;
    sidecar.ended
      .then((reason) => {
        running = undefined;
        if (stopping) return;
        if (performance.now() - startedAt > STABLE_MS) failures = 0;
        scheduleRestart(reason);
      })
      .catch(() => {});
  };

  const scheduleRestart = (reason: string): void => {
    const delay = BACKOFF_MS[failures++];
    tell({ kind: "died", reason, restartInMs: delay });
    if (delay === undefined) return;
    pause = setTimeout(() => {
      restarting = start().then(
        () => {
          if (stopping) return;
          restarts++;
          tell({ kind: "restarted" });
        },
        (error: unknown) => {
          if (stopping) return;
          tell({ kind: "failed-restart", reason: messageOf(error) });
          scheduleRestart(messageOf(error));
        },
      );
    }, delay);
  };

  const stop = async (): Promise<void> => {
    stopping = true;
    clearTimeout(pause);
    await Promise.all([restarting, running?.stop()]);
  };
  // The container must not go first: each that it takes along would count as one that died.
  if (request.place.kind === "contained") await endpoint;
  scope.defer(name, stop);
  await start();
  return {
    name,
    pid: () => running?.pid ?? 0,
    restarts: () => restarts,
    async refresh() {
      // What a start that is under way was told may be older.
      await restarting?.catch(() => {});
      const told = running;
      try {
        await told?.reload(request.policy());
      } catch (error) {
        await told?.kill();
        throw error;
      }
    },
    stop,
  };
}

function placed({ name, place, endpoint }: SidecarRequest): SidecarPlace {
  if (place.kind !== "contained") return place;
  const start = async (): Promise<SidecarStreams> => {
    const { listen } = await endpoint;
    if (listen.kind === "contained") return listen.start();
    throw new Error(`the link has no container for ${name}`);
  };
  return { kind: "contained", start };
}
