/**
 * What stands outside in egress's place: a proxy that refuses nobody. Every name leads to the one upstream, and what is
 * said in a tunnel is nobody's business. Whatever a client can trick a proxy into, it can trick this one into.
 */
import { connect, createServer, type Socket } from "node:net";
import { portOf, type Upstream } from "./upstream.ts";

export interface ObligingProxy {
  readonly port: number;
  close(): void;
}

const TLS_HANDSHAKE = 0x16;

export async function startObligingProxy(host: string, upstream: Upstream): Promise<ObligingProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    let head = "";
    const read = (chunk: Buffer): void => {
      head += chunk.toString("latin1");
      if (!head.startsWith("CONNECT ")) {
        socket.off("data", read);
        lead(socket, Buffer.from(head, "latin1"));
        return;
      }
      if (!head.includes("\r\n\r\n")) return;
      socket.off("data", read);
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      const rest = Buffer.from(head.slice(head.indexOf("\r\n\r\n") + 4), "latin1");
      if (rest.length > 0) lead(socket, rest);
      else socket.once("data", (first: Buffer) => lead(socket, first));
    };
    socket.on("data", read);
  });
  /** To the upstream's one door or the other, by the first byte. */
  const lead = (socket: Socket, first: Buffer): void => {
    socket.pause();
    const port = first[0] === TLS_HANDSHAKE ? upstream.tlsPort : upstream.plainPort;
    const far = connect({ host, port });
    far.on("error", () => socket.destroy());
    far.write(first);
    socket.pipe(far).pipe(socket);
  };
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, resolve);
  });
  return {
    port: portOf(server),
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
