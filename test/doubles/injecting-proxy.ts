/**
 * The least that stands between an agent and its upstream: a CONNECT proxy that opens TLS, obeys a
 * provider's own routes, and puts one credential in the place of whatever the agent sent. It serves to
 * test a provider's declarations without a bottle; it is no egress.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer, request as requestTls } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { Route } from "../../src/contract/policy.ts";
import type { TestCa } from "../support/test-ca.ts";

export interface InjectingProxyOptions {
  readonly ca: TestCa;
  readonly routes: readonly Route[];
  readonly inject: { readonly header: string; readonly value: string };
  /** Stands for every host of the routes. */
  readonly upstream: { readonly host: string; readonly port: number };
}

export interface InjectingProxy {
  readonly url: string;
  /** What was refused: `CONNECT host:port` or `GET https://host/path`. */
  readonly denied: readonly string[];
  close(): Promise<void>;
}

export async function startInjectingProxy(options: InjectingProxyOptions): Promise<InjectingProxy> {
  const denied: string[] = [];
  const sockets = new Set<Socket>();
  const hosts = options.routes.map((route) => route.host) as [string, ...string[]];
  const identity = await options.ca.issue(hosts);
  const inner = createTlsServer({ cert: identity.certificate, key: identity.key }, forward);
  inner.on("tlsClientError", () => {});

  function forward(request: IncomingMessage, response: ServerResponse): void {
    response.on("error", () => {});
    const host = request.headers.host ?? "";
    const { pathname } = new URL(request.url ?? "", `https://${host}`);
    const route = options.routes.find((one) => one.host === host);
    if (route === undefined || !allows(route, request.method ?? "", pathname)) {
      denied.push(`${request.method} https://${host}${pathname}`);
      request.resume();
      response.writeHead(403, { "x-bottle-denied": "route", "content-type": "application/json" });
      response.end(JSON.stringify({ denied: { code: "route" } }));
      return;
    }
    const headers = { ...request.headers };
    for (const name of route.credentialHeaders) delete headers[name];
    headers[options.inject.header] = options.inject.value;
    const call = requestTls(
      {
        host: options.upstream.host,
        port: options.upstream.port,
        servername: host,
        ca: options.ca.certificate,
        method: request.method,
        path: request.url,
        headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    call.on("error", () => response.destroy());
    request.pipe(call);
  }

  const outer = createServer((_request, response) => response.writeHead(403).end());
  outer.on("connect", (request: IncomingMessage, socket: Socket) => {
    socket.on("error", () => {});
    if (!hosts.some((host) => request.url === `${host}:443`)) {
      denied.push(`CONNECT ${request.url}`);
      socket.end("HTTP/1.1 403 Forbidden\r\nx-bottle-denied: host\r\ncontent-length: 0\r\n\r\n");
      return;
    }
    socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
    inner.emit("connection", socket);
  });
  outer.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    outer.once("error", reject);
    outer.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(outer.address() as AddressInfo).port}`,
    denied,
    close() {
      return new Promise((resolve) => {
        outer.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
  };
}

function allows(route: Route, method: string, path: string): boolean {
  return route.matches.some(
    (match) =>
      (match.methods ?? [method]).includes(method) &&
      (match.paths ?? []).some((one) => {
        if (one.type !== "exact") throw new Error("this double knows exact paths only");
        return one.value === path;
      }),
  );
}
