/** A wire that stops in the middle: it carries so many bytes from client to server, and then none until it is told. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface StallingRelay {
  readonly port: number;
  stalled(): boolean;
  goOn(): void;
  close(): void;
}

export async function stallingRelay(to: number, after: number): Promise<StallingRelay> {
  const sockets = new Set<Socket>();
  let holding = true;
  let held: Socket | undefined;
  const server = createServer((client) => {
    const gate = connect(to, "127.0.0.1");
    let count = 0;
    for (const [socket, other] of [
      [client, gate],
      [gate, client],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => other.destroy());
    }
    gate.pipe(client);
    client.on("data", (chunk) => {
      count += chunk.length;
      gate.write(chunk);
      if (!holding || count < after) return;
      held = client;
      client.pause();
    });
    client.once("end", () => gate.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    stalled: () => held !== undefined,
    goOn() {
      holding = false;
      held?.resume();
    },
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
