/**
 * Supervise as a value: what the process (main.ts), tests and benches start. The agent asks here; the keeper records
 * and decides nothing without the operator. What it protects: the operator, from floods and from words that act.
 */
import type { Server, Socket } from "node:net";
import { type SuperviseConfig, supervisePolicySchema } from "../../contract/approvals.ts";
import type { FromSidecar } from "../../contract/sidecar.ts";
import { listen, listeningOn } from "../../lib/listening.ts";
import { packageVersion } from "../../lib/package-root.ts";
import { createTicker } from "../../lib/ticker.ts";
import { createBoard } from "./board.ts";
import { createAdmission } from "./http/admission.ts";
import { createFront } from "./http/front.ts";
import { createKeeperLine } from "./keeper-line.ts";
import { LIMITS } from "./limits.ts";
import { createProtocol } from "./mcp.ts";
import { createTools } from "./tools.ts";

export interface SuperviseOptions {
  readonly emit: (message: FromSidecar) => void;
  /** The handle for `listen.kind: "inherited"`; already listening. */
  readonly listener?: Server;
}

export interface Supervise {
  /** Addresses really bound. */
  readonly listening: readonly string[];
  /** Serves a connection that somebody else accepted. */
  accept(socket: Socket): void;
  /** @throws Error when it is no policy; the old one stays. */
  reload(policy: unknown): void;
  /** The keeper's answer to an ask. False when nobody asked, or it is none. */
  answer(ask: string, answer: unknown): boolean;
  /** Accepts nothing more, lets what is in progress finish for a bounded time, then ends it. */
  drain(): Promise<void>;
  stop(): void;
}

const DRAIN_POLL_MS = 20;

/** @throws UserError when the configuration cannot be served. */
export async function startSupervise(config: SuperviseConfig, options: SuperviseOptions): Promise<Supervise> {
  const { emit } = options;
  const board = createBoard(config.policy);
  const keeper = createKeeperLine(emit);
  const refusals = countRefusals(emit);
  const protocol = createProtocol({
    version: packageVersion(),
    register: createTools({ board, keeper }),
    // Nearly always the guest's own mistake; its words do not belong into a log.
    onError: () => refusals.count("protocol-error"),
  });
  const front = createFront({
    admit: createAdmission({ bearer: config.bearer, hosts: config.hosts }),
    serve: protocol.serve,
    onRefused: refusals.count,
    onError: (text) => emit({ type: "log", level: "error", text }),
  });
  const connections = new Set<Socket>();
  const accept = (socket: Socket): void => {
    socket.on("error", () => {});
    if (connections.size >= LIMITS.connections) {
      socket.destroy();
      return;
    }
    connections.add(socket);
    socket.once("close", () => connections.delete(socket));
    front.server.emit("connection", socket);
  };
  const server = await listen(config.listen, options.listener, accept);

  const stop = (): void => {
    refusals.stop();
    server.close();
    front.server.close();
    board.release();
    protocol.close();
    for (const socket of connections) socket.destroy();
  };
  return {
    listening: [listeningOn(server, config.listen)],
    accept,
    reload: (policy) => board.replace(supervisePolicySchema.parse(policy)),
    answer: keeper.answer,
    async drain() {
      front.stop();
      server.close();
      board.release();
      const deadline = performance.now() + LIMITS.drainMs;
      while (front.busy() > 0 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
      }
      stop();
    },
    stop,
  };
}

/** Refused requests, told by code and number: the guest could make any number of them. */
function countRefusals(emit: (message: FromSidecar) => void) {
  const counts = new Map<string, number>();
  const tell = (): void => {
    for (const [code, count] of counts)
      emit({ type: "event", event: "supervise.refused", data: { code, count } });
    counts.clear();
  };
  const clock = createTicker(LIMITS.reportMs, () => {
    tell();
    return false;
  });
  return {
    count(code: string): void {
      counts.set(code, (counts.get(code) ?? 0) + 1);
      clock.wake();
    },
    stop(): void {
      clock.stop();
      tell();
    },
  };
}
