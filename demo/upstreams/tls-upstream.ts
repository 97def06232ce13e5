/**
 * What every upstream here has in common: real TLS with HTTP/2 and HTTP/1.1 on one port, bodies read
 * to a bound, and a record of each request as it arrived.
 */

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from "node:http";
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import type { ServerIdentity } from "./certificate-authority.ts";

/** The Messages API's own limit on a request. */
const MAX_BODY_BYTES = 32 * 1024 * 1024;

/** A request as it arrived, for assertions. */
export interface RecordedRequest {
  readonly method: string;
  /** With its query, as sent. */
  readonly target: string;
  readonly httpVersion: string;
  /** Lower-case names; HTTP/2's `:authority` is told as `host`. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  readonly body: string;
}

/** The same few calls for HTTP/1.1 and HTTP/2. */
export interface Reply {
  head(status: number, headers: Readonly<Record<string, string>>): void;
  /** Resolves to false when the client has gone. */
  write(chunk: string): Promise<boolean>;
  end(chunk?: string): void;
}

export interface Upstream {
  readonly host: string;
  readonly port: number;
  /** In order of arrival; a request is recorded once its body is complete, before it is answered. */
  readonly requests: readonly RecordedRequest[];
  /** Ends every connection too. */
  close(): Promise<void>;
}

export interface UpstreamOptions {
  readonly tls: ServerIdentity;
  /** Address to listen on; 127.0.0.1 unless told otherwise. */
  readonly host?: string;
  /** Any free port unless told otherwise. */
  readonly port?: number;
}

export type Answer = (request: RecordedRequest, reply: Reply) => Promise<void> | void;

export async function startUpstream(options: UpstreamOptions, answer: Answer): Promise<Upstream> {
  const requests: RecordedRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createSecureServer(
    { cert: options.tls.certificate, key: options.tls.key, allowHTTP1: true },
    (request: Http2ServerRequest | IncomingMessage, response: Http2ServerResponse | ServerResponse) => {
      const reply = replyOn(response);
      request.on("error", () => {});
      readBody(request)
        .then(async (body) => {
          const record = recordOf(request, body);
          requests.push(record);
          await answer(record, reply);
        })
        .catch((error: unknown) => {
          reply.head(error instanceof BodyTooLargeError ? 413 : 500, { "content-type": "text/plain" });
          reply.end(`${String(error)}\n`);
        });
    },
  );
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  // A client that refuses our certificate, or speaks no TLS, is part of what upstreams are for.
  server.on("tlsClientError", () => {});
  server.on("sessionError", () => {});
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port ?? 0, options.host ?? "127.0.0.1", resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    requests,
    close() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
  };
}

/** Answers with one JSON value. */
export function sendJson(
  reply: Reply,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  reply.head(status, { "content-type": "application/json", ...headers });
  reply.end(JSON.stringify(value));
}

class BodyTooLargeError extends Error {}

async function readBody(request: Http2ServerRequest | IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += (chunk as Buffer).length;
    if (size > MAX_BODY_BYTES) throw new BodyTooLargeError(`a body of more than ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function recordOf(request: Http2ServerRequest | IncomingMessage, body: string): RecordedRequest {
  const headers: IncomingHttpHeaders = {};
  for (const [name, value] of Object.entries(request.headers)) {
    if (!name.startsWith(":")) headers[name] = value;
  }
  const authority = request.headers[":authority"];
  if (typeof authority === "string") headers.host = authority;
  return {
    method: request.method ?? "",
    target: request.url ?? "",
    httpVersion: request.httpVersion,
    headers,
    body,
  };
}

function replyOn(response: Http2ServerResponse | ServerResponse): Reply {
  response.on("error", () => {});
  return {
    head(status, headers) {
      if (!response.headersSent) response.writeHead(status, headers);
    },
    write(chunk) {
      return new Promise((resolve) => {
        if (response.destroyed || response.writableEnded) {
          resolve(false);
          return;
        }
        const gone = (): void => resolve(false);
        response.once("close", gone);
        // One signature of the two classes' overloads, or their union could not be called.
        const write: (
          chunk: string,
          encoding: BufferEncoding,
          done: (error?: Error | null) => void,
        ) => boolean = response.write.bind(response);
        write(chunk, "utf8", (error) => {
          response.off("close", gone);
          resolve(error === undefined || error === null);
        });
      });
    },
    end(chunk = "") {
      if (!response.writableEnded) response.end(chunk);
    },
  };
}
