/**
 * Supervise's HTTP server: strict, bounded, and for one bottle. Whatever passes is handed to the protocol's own
 * implementation; whatever does not is refused in the protocol's form, and counted.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { messageOf } from "../../../lib/errors.ts";
import { createBucket } from "../bucket.ts";
import { LIMITS } from "../limits.ts";
import { REFUSAL_STATUS, type Refusal } from "./admission.ts";

export interface FrontOptions {
  readonly admit: (request: IncomingMessage) => Refusal | undefined;
  readonly serve: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
  readonly onRefused: (code: string) => void;
  readonly onError: (text: string) => void;
}

export interface Front {
  readonly server: Server;
  /** Requests in progress. */
  readonly busy: () => number;
  /** Refuses what comes from now on. */
  stop(): void;
}

export function createFront(options: FrontOptions): Front {
  const flood = createBucket(LIMITS.burst, LIMITS.perSecond);
  let busy = 0;
  let stopping = false;

  function refusalOf(request: IncomingMessage): Refusal | undefined {
    const seconds = flood.take();
    if (seconds > 0) {
      const headers = { "retry-after": String(seconds) };
      return { code: "request-rate", reason: `too many requests: wait ${seconds} s`, headers };
    }
    const refusal = options.admit(request);
    if (refusal !== undefined) return refusal;
    if (stopping) return { code: "stopping", reason: "the bottle is ending" };
    if (busy >= LIMITS.exchanges) {
      return { code: "overloaded", reason: `${LIMITS.exchanges} requests are in progress` };
    }
    return undefined;
  }

  const server = createServer(
    {
      maxHeaderSize: LIMITS.headBytes,
      headersTimeout: LIMITS.requestMs,
      requestTimeout: LIMITS.requestMs,
      keepAliveTimeout: 30_000,
      connectionsCheckingInterval: 5_000,
      noDelay: true,
    },
    (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      const refusal = refusalOf(request);
      if (refusal !== undefined) {
        options.onRefused(refusal.code);
        answer(request, response, refusal);
        return;
      }
      busy += 1;
      options
        .serve(request, response)
        .catch((error: unknown) => {
          options.onError(`a request failed: ${messageOf(error)}`);
          response.destroy();
        })
        .finally(() => {
          busy -= 1;
        });
    },
  );
  server.maxConnections = LIMITS.connections;
  server.on("connection", (socket) => socket.on("error", () => {}));
  // Tunnels and upgrades are not spoken here; without a listener node answers the latter as plain requests.
  server.on("connect", (_, socket) => socket.destroy());
  server.on("upgrade", (_, socket) => socket.destroy());
  server.on("clientError", (_, socket) => socket.destroy());
  return {
    server,
    busy: () => busy,
    stop() {
      stopping = true;
    },
  };
}

/** In the protocol's form of an error that belongs to no call. A body that still comes is not waited for. */
function answer(request: IncomingMessage, response: ServerResponse, refusal: Refusal): void {
  const { code, reason, headers } = refusal;
  const body = JSON.stringify({ jsonrpc: "2.0", error: { code: -32_000, message: reason }, id: null });
  response.writeHead(REFUSAL_STATUS[code], {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-bottle-denied": code,
    connection: "close",
    ...headers,
  });
  response.end(body);
  request.resume();
}
