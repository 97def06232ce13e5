import { once } from "node:events";
import { createServer as createHttp2Server } from "node:http2";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { describe, expect, it } from "vitest";
import { isOfTheProtocol } from "../../../src/sidecars/egress/accept/front.ts";
import { closesAfterEach } from "../../support/closing.ts";

const closing = closesAfterEach();

async function dial(server: Pick<Server, "listen" | "address" | "close">): Promise<Socket> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => {});
  closing.push(
    () => server.close(),
    () => socket.destroy(),
  );
  await once(socket, "connect");
  return socket;
}

/** A client that is connected, and egress' side of it. */
async function pair(): Promise<readonly [client: Socket, socket: Socket]> {
  const server = createServer();
  const accepted = once(server, "connection");
  const client = await dial(server);
  const [socket] = (await accepted) as [Socket];
  return [client, socket];
}

describe("an error of an HTTP/2 connection", () => {
  it("is the client's when what it sent is none", async () => {
    const server = createHttp2Server();
    const failed = new Promise<Error>((resolve) => {
      server.on("sessionError", resolve);
    });
    const client = await dial(server);
    client.write("GET / HTTP/1.1\r\nHost: api.example.test\r\n\r\n");
    expect(isOfTheProtocol(await failed)).toBe(true);
  });

  it("is nothing that was sent when the client is gone", async () => {
    const [client, socket] = await pair();
    client.resetAndDestroy();
    const [reset] = (await once(socket, "error")) as [Error];
    const late = new Promise<Error | null | undefined>((resolve) => socket.write("late", resolve));
    const errors = [reset, await late];
    expect(errors.map((error) => (error as { code?: string } | undefined)?.code)).toEqual([
      "ECONNRESET",
      "ERR_STREAM_DESTROYED",
    ]);
    for (const error of errors) expect(isOfTheProtocol(error ?? new Error("there is none"))).toBe(false);
  });
});
