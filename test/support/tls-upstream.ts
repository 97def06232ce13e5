/** Servers on loopback that egress is led to: well-behaved, or as bad as a test makes them. */
import { createServer as createHttpServer, type RequestListener } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import type { ServerIdentity } from "../../demo/upstreams/certificate-authority.ts";

export interface Upstream {
  readonly port: number;
  readonly server: Server;
  /** Connections accepted so far. */
  accepted(): number;
  /** Those still open. */
  open(): number;
  close(): Promise<void>;
}

export function httpsUpstream(own: ServerIdentity, listener: RequestListener): Promise<Upstream> {
  return started(createHttpsServer({ key: own.key, cert: own.certificate }, listener));
}

export function httpUpstream(listener: RequestListener): Promise<Upstream> {
  return started(createHttpServer(listener));
}

/** TLS, and in it whatever `onConnection` does: for answers that no HTTP server would give. */
export function tlsUpstream(
  own: ServerIdentity,
  onConnection: (socket: TLSSocket) => void,
): Promise<Upstream> {
  const server = createTlsServer({ key: own.key, cert: own.certificate }, (socket) => {
    socket.on("error", () => {});
    onConnection(socket);
  });
  return started(server);
}

export function tcpUpstream(onConnection: (socket: Socket) => void): Promise<Upstream> {
  return started(createTcpServer(onConnection));
}

async function started(server: Server): Promise<Upstream> {
  const sockets = new Set<Socket>();
  let accepted = 0;
  server.on("connection", (socket: Socket) => {
    socket.on("error", () => {});
    accepted += 1;
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    server,
    accepted: () => accepted,
    open: () => sockets.size,
    close() {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
