/**
 * An HTTP/1.1 server for a hostile client: head, time, connections and requests in progress are bounded, and nothing
 * but plain requests is spoken.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { messageOf } from "./errors.ts";

export interface StrictHttpOptions {
  readonly headBytes: number;
  readonly headMs: number;
  /** A whole request, its body too. */
  readonly requestMs: number;
  readonly keepAliveMs: number;
  readonly connections: number;
  /** Answers, or rejects: then the connection is closed. `busy`: requests in progress, this one among them. */
  readonly handle: (request: IncomingMessage, response: ServerResponse, busy: number) => Promise<void>;
  readonly onError: (text: string) => void;
}

export interface StrictHttp {
  readonly server: Server;
  /** Requests in progress. */
  readonly busy: () => number;
}

export function createStrictHttp(options: StrictHttpOptions): StrictHttp {
  let busy = 0;
  const server = createServer(
    {
      maxHeaderSize: options.headBytes,
      headersTimeout: options.headMs,
      requestTimeout: options.requestMs,
      keepAliveTimeout: options.keepAliveMs,
      connectionsCheckingInterval: 5_000,
      noDelay: true,
    },
    (request, response) => {
      request.on("error", () => {});
      response.on("error", () => {});
      busy += 1;
      options
        .handle(request, response, busy)
        .catch((error: unknown) => {
          options.onError(`a request failed: ${messageOf(error)}`);
          response.destroy();
        })
        .finally(() => {
          busy -= 1;
        });
    },
  );
  server.maxConnections = options.connections;
  server.on("connection", (socket) => socket.on("error", () => {}));
  // Tunnels and upgrades are not spoken here; without a listener node answers the latter as plain requests.
  server.on("connect", (_, socket) => socket.destroy());
  server.on("upgrade", (_, socket) => socket.destroy());
  server.on("clientError", (_, socket) => socket.destroy());
  return { server, busy: () => busy };
}
