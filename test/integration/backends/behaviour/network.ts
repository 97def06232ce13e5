/** Servers of the agent's, reached from outside through `dial`. */
import { once } from "node:events";
import type { Duplex } from "node:stream";
import { expect, it } from "vitest";
import type { Execution, Guest } from "../../../../src/contract/backend.ts";
import { UserError } from "../../../../src/lib/errors.ts";
import { bytesOf } from "../../../support/bottle-guest.ts";

/** Echoes until its input ends, and then says goodbye. */
const SERVER = `require("net").createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("close", () => console.log("closed"));
  socket.on("data", (chunk) => socket.write(chunk));
  socket.on("end", () => socket.end("bye"));
}).listen(+process.argv[1], "127.0.0.1", () => console.log("up"));`;

async function serve(guest: Guest, port: number): Promise<Execution> {
  const server = await guest.exec(["node", "-e", SERVER, String(port)]);
  await new Promise((resolve) => server.stdout.once("data", resolve));
  return server;
}

async function end(server: Execution): Promise<void> {
  server.kill("SIGKILL");
  server.stdout.resume();
  server.stderr.resume();
  await server.exit;
}

export function testNetwork(guest: () => Guest): void {
  it("dials a server in the guest, both ways and with a half-closed end", async () => {
    const server = await serve(guest(), 8123);
    const connection: Duplex = await guest().dial(8123);
    const bytes = Buffer.alloc(1024 * 1024, "echo ");
    connection.end(bytes);
    const back = await bytesOf(connection);
    expect(back.equals(Buffer.concat([bytes, Buffer.from("bye")]))).toBe(true);
    await end(server);
  });

  it("ends a dialled connection with its server", async () => {
    const server = await serve(guest(), 8124);
    const connection = await guest().dial(8124);
    connection.on("error", () => {});
    const closed = new Promise((resolve) => connection.once("close", resolve));
    connection.resume();
    connection.once("end", () => connection.end());
    await end(server);
    await closed;
  });

  it("lets go of the server when the connection is dropped", async () => {
    const server = await serve(guest(), 8125);
    const connection = await guest().dial(8125);
    connection.on("error", () => {});
    const closed = once(server.stdout, "data");
    connection.destroy();
    expect(String(await closed)).toBe("closed\n");
    await end(server);
  });

  it("says at once that nothing listens", async () => {
    const refusal = await guest()
      .dial(8199)
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(UserError);
    expect(refusal).toHaveProperty("message", expect.stringContaining("8199"));
  });

  it("tells what can be reached from inside, target by target", async () => {
    const server = await serve(guest(), 8126);
    const results = await guest().probe([
      { host: "127.0.0.1", port: 8126, transport: "tcp" },
      { host: "127.0.0.1", port: 8199, transport: "tcp" },
      { host: "127.0.0.1", port: 8199, transport: "udp" },
      { host: "192.0.2.1", port: 80, transport: "tcp" },
      { host: "2001:db8::1", port: 53, transport: "udp" },
    ]);
    expect(results.map(({ host, port, outcome }) => [host, port, outcome === "answered"])).toEqual([
      ["127.0.0.1", 8126, true],
      ["127.0.0.1", 8199, false],
      ["127.0.0.1", 8199, false],
      ["192.0.2.1", 80, false],
      ["2001:db8::1", 53, false],
    ]);
    await end(server);
  });
}
