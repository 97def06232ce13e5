/** A company's proxy: CONNECT and absolute form, a credential if it wants one, and names of its own. */
import { createServer, type IncomingMessage, request as requestHttp, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { ServerIdentity } from "../../demo/upstreams/certificate-authority.ts";

export interface ConnectProxy {
  readonly port: number;
  /** `CONNECT host:port` or `GET http://host/path`, with the credential that came along. */
  readonly asked: readonly { readonly line: string; readonly authorization: string | undefined }[];
  close(): Promise<void>;
}

export interface ConnectProxyOptions {
  /** Ports on this machine by `host:port`: the only names it knows. */
  readonly names: Readonly<Record<string, number>>;
  /** `user:password` that it wants. */
  readonly credential?: string;
  /** Speaks TLS itself. */
  readonly identity?: ServerIdentity;
}

export async function startConnectProxy(options: ConnectProxyOptions): Promise<ConnectProxy> {
  const { names, credential, identity } = options;
  const asked: { line: string; authorization: string | undefined }[] = [];
  const sockets = new Set<Socket>();
  const wanted = credential && `Basic ${Buffer.from(credential).toString("base64")}`;

  function refusal(request: IncomingMessage): number | undefined {
    const authorization = request.headers["proxy-authorization"];
    asked.push({ line: `${request.method} ${request.url}`, authorization });
    return wanted !== undefined && authorization !== wanted ? 407 : undefined;
  }

  const server: Server = identity
    ? createTlsServer({ key: identity.key, cert: identity.certificate })
    : createServer();
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
  });
  server.on("tlsClientError", () => {});
  server.on("connect", (request: IncomingMessage, client: Socket, early: Buffer) => {
    client.on("error", () => {});
    const port = names[request.url ?? ""];
    const status = refusal(request) ?? (port === undefined ? 502 : undefined);
    if (status !== undefined || port === undefined) {
      client.end(`HTTP/1.1 ${status} No\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const upstream = connect(port, "127.0.0.1", () => {
      client.write("HTTP/1.1 200 OK\r\nX-Proxy: double\r\n\r\n");
      upstream.write(early);
      client.pipe(upstream).pipe(client);
    });
    upstream.on("error", () => client.destroy());
    client.once("close", () => upstream.destroy());
  });
  server.on("request", (request, response) => {
    const status = refusal(request);
    const url = URL.canParse(request.url ?? "") ? new URL(request.url ?? "") : undefined;
    const port = url && names[`${url.hostname}:${url.port || 80}`];
    if (status !== undefined || url === undefined || port === undefined) {
      response.writeHead(status ?? 502).end("the proxy's own words");
      return;
    }
    const { method, headers } = request;
    const path = `${url.pathname}${url.search}`;
    request.pipe(
      requestHttp({ host: "127.0.0.1", port, method, path, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
