/** Runs in a guest's network: listens where it is told to, and hands every connection to the VMM. */
import { createSocket, type Socket as Datagrams, type RemoteInfo } from "node:dgram";
import { createServer, type Server } from "node:net";
import type { DnsAnswer, FromGuest, Wanted } from "./network.ts";

const servers = new Map<string, Server>();
const resolvers = new Map<string, Datagrams>();
const asked = new Map<number, { readonly from: Datagrams; readonly by: RemoteInfo }>();
let lastId = 0;

function tell(message: FromGuest | "up", handle?: import("node:net").Socket): void {
  if (handle === undefined) process.send?.(message);
  else process.send?.(message, handle, { keepOpen: false }, () => {});
}

function listenFor(at: string): void {
  const [host = "", port = ""] = at.split(":");
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
    tell({ at }, socket),
  );
  // The guest has that port itself, or its addresses are not there yet.
  server.on("error", () => {
    servers.delete(at);
    setTimeout(() => wanted.tcp.includes(at) && !servers.has(at) && listenFor(at), 20);
  });
  servers.set(at, server);
  server.listen(Number(port), host);
}

function answerAt(address: string): void {
  const socket = createSocket("udp4");
  socket.on("error", () => {
    resolvers.delete(address);
    setTimeout(() => resolvers.has(address) || answerAt(address), 20);
  });
  socket.on("message", (question, by) => {
    lastId += 1;
    asked.set(lastId, { from: socket, by });
    tell({ question: question.toString("base64"), id: lastId });
  });
  resolvers.set(address, socket);
  socket.bind(53, address);
}

let wanted: Wanted = { tcp: [], dns: [] };
process.on("message", (message: Wanted | DnsAnswer) => {
  if ("answer" in message) {
    const waiting = asked.get(message.id);
    asked.delete(message.id);
    waiting?.from.send(Buffer.from(message.answer, "base64"), waiting.by.port, waiting.by.address);
    return;
  }
  wanted = message;
  for (const [at, server] of servers) {
    if (wanted.tcp.includes(at)) continue;
    server.close();
    servers.delete(at);
  }
  for (const at of wanted.tcp) if (!servers.has(at)) listenFor(at);
  for (const address of wanted.dns) if (!resolvers.has(address)) answerAt(address);
});
process.on("disconnect", () => process.exit(0));
tell("up");
