/** Ports of a guest's loopback that lead to Unix sockets: a sidecar that is down refuses at once. */
import { connect, createServer } from "node:net";

/** @param words `PORT=PATH` each. Resolves once all of them listen. */
export async function relayPorts(words: readonly string[]): Promise<void> {
  for (const word of words) {
    const [port = "", path = ""] = word.split("=");
    await relay(Number(port), path);
  }
}

function relay(port: number, path: string): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const service = connect({ path, allowHalfOpen: true });
    for (const [one, other] of [[client, service] as const, [service, client] as const]) {
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
}
