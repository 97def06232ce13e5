/** The other ends of the egress bench, each in a process of its own: an upstream, a bare tunnel, a client. */
import { createServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { type AddressInfo, connect as connectTcp, type Server } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** What a role is told as it starts. */
export type RoleSetup =
  | { readonly role: "upstream"; readonly certificate: string; readonly key: string }
  | { readonly role: "tunnel"; readonly to: number }
  | { readonly role: "client"; readonly host: string };

/** To the client: run `connections` at once for `ms`, each sending one request after the other. */
export interface Run {
  readonly proxy: number;
  readonly ca: string;
  readonly connections: number;
  readonly ms: number;
}

export interface RunResult {
  readonly requestsPerSecond: number;
  /** Microseconds of each request. */
  readonly latencies: readonly number[];
}

const BODY = Buffer.alloc(1024, "x");

process.once("message", (setup: RoleSetup) => {
  switch (setup.role) {
    case "upstream":
      return announce(
        createHttpsServer({ cert: setup.certificate, key: setup.key }, (_request, response) => {
          response.writeHead(200, { "content-type": "text/plain", "content-length": BODY.length });
          response.end(BODY);
        }),
      );
    case "tunnel":
      return announce(
        createServer().on("connect", (_request, client) => {
          const upstream = connectTcp({ port: setup.to, host: "127.0.0.1", noDelay: true }, () => {
            client.write("HTTP/1.1 200 OK\r\n\r\n");
            client.pipe(upstream).pipe(client);
          });
          upstream.on("error", () => client.destroy());
          client.on("error", () => upstream.destroy());
        }),
      );
    case "client":
      process.on("message", (run: Run) => {
        measure(setup.host, run).then(
          (result) => process.send?.(result),
          (error: unknown) => process.send?.({ error: String(error) }),
        );
      });
      process.send?.({ ready: true });
  }
});

function announce(server: Server): void {
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
}

async function measure(host: string, run: Run): Promise<RunResult> {
  const sockets = await Promise.all(Array.from({ length: run.connections }, () => open(host, run)));
  const latencies: number[] = [];
  const started = performance.now();
  const deadline = started + run.ms;
  await Promise.all(sockets.map((socket) => ask(socket, host, deadline, latencies)));
  const seconds = (performance.now() - started) / 1000;
  for (const socket of sockets) socket.destroy();
  return { requestsPerSecond: latencies.length / seconds, latencies };
}

function open(host: string, { proxy, ca }: Run): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const raw = connectTcp({ port: proxy, host: "127.0.0.1", noDelay: true });
    raw.once("error", reject);
    raw.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`);
    raw.once("data", (head: Buffer) => {
      if (!head.toString("latin1").startsWith("HTTP/1.1 200"))
        return reject(new Error(head.toString("latin1")));
      const socket = connectTls({ socket: raw, servername: host, ca });
      socket.once("error", reject);
      socket.once("secureConnect", () => resolve(socket));
    });
  });
}

/** A client that costs next to nothing: it knows how an answer ends. */
function ask(socket: TLSSocket, host: string, deadline: number, latencies: number[]): Promise<void> {
  const request = Buffer.from(`GET /bench HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`);
  return new Promise((resolve, reject) => {
    let sentAt = performance.now();
    let missing = 0;
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      if (missing === 0) {
        const end = chunk.indexOf("\r\n\r\n");
        if (end < 0 || !chunk.subarray(0, 12).equals(Buffer.from("HTTP/1.1 200"))) {
          return reject(new Error(`an answer that was not expected: ${chunk.toString("latin1")}`));
        }
        missing = end + 4 + BODY.length;
      }
      missing -= chunk.length;
      if (missing > 0) return;
      const now = performance.now();
      latencies.push((now - sentAt) * 1000);
      if (now >= deadline) return resolve();
      sentAt = now;
      socket.write(request);
    });
    socket.write(request);
  });
}
