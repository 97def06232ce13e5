import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { Limits } from "../../../src/sidecars/egress/limits.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  dialProxy,
  openTunnel,
  type RouteOptions,
  readAll,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, httpUpstream, type Upstream } from "../../support/tls-upstream.ts";
import { acceptWebSockets, frame, handshake, openWebSocket, Peer } from "../../support/websocket.ts";

const KB = 1024;
const HOST = "ws.example.test";

let root: CertificateAuthority;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

/** Greets, then echoes each message with the credential it was asked with. */
function echoMessages(server: Server): { readonly peers: readonly Peer[]; readonly credentials: unknown[] } {
  const peers: Peer[] = [];
  const credentials: unknown[] = [];
  acceptWebSockets(
    server,
    (peer, request) => {
      peers.push(peer);
      credentials.push(request.headers.authorization);
      let answered = 0;
      peer.socket.on("data", () => {
        for (const text of peer.texts.slice(answered))
          peer.send(`${text} for ${request.headers.authorization ?? "-"}`);
        answered = peer.texts.length;
      });
    },
    { first: "hi" },
  );
  return { peers, credentials };
}

const inject = [{ header: "Authorization", value: ["Bearer", "ws-token"].join(" ") }];

async function serve(
  upstream: Upstream,
  options: Partial<RouteOptions> = {},
  limits: Partial<Limits> = {},
): Promise<TestEgress> {
  const connectTo = { host: "127.0.0.1", port: upstream.port };
  const config = {
    routes: [
      route({
        host: HOST,
        connectTo,
        inject,
        matches: [{ paths: [{ type: "exact", value: "/chat" }] }],
        ...options,
      }),
    ],
    upstreamCa: [root.certificate],
  };
  const egress = await testEgress(config, { limits });
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

async function secureUpstream(): Promise<Upstream> {
  const upstream = await httpsUpstream(await root.issue([HOST]), (_request, response) => {
    response.writeHead(426, { "Content-Type": "text/plain" });
    response.end("no sockets here");
  });
  return upstream;
}

const hello = { host: HOST, headers: "Authorization: fake\r\n" };

/** Talks over an upgraded socket, and says what came back. */
async function talk(socket: Duplex, target = "/chat"): Promise<Peer> {
  const { peer } = await openWebSocket(socket, { ...hello, target });
  expect(await peer.receive(1)).toEqual(["hi"]);
  for (const [i, word] of ["one", "two"].entries()) {
    peer.send(word);
    // The credential is masked in what the upstream repeats of it.
    expect((await peer.receive(i + 2)).at(-1)).toBe(`${word} for Bearer XXXXXXXX`);
  }
  expect(peer.faults).toEqual([]);
  return peer;
}

describe("a WebSocket", () => {
  it("over TLS passes, with the route's credential, and is told as one", async () => {
    const upstream = await secureUpstream();
    const { peers, credentials } = echoMessages(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    await talk(socket);
    socket.end();
    expect(credentials).toEqual(["Bearer ws-token"]);
    expect(peers.map(({ texts, faults }) => ({ texts, faults }))).toEqual([
      { texts: ["one", "two"], faults: [] },
    ]);
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({
      via: "websocket",
      status: 101,
      path: "/chat",
      credential: ["authorization"],
      complete: true,
    });
    expect(event?.["up"]).toBe(2 * (2 + 4 + 3));
    await until(() => upstream.open() === 0);
  });

  it.each([
    ["in absolute form", `http://${HOST}/chat`],
    ["through CONNECT to port 80", "/chat"],
  ])("in plaintext passes %s", async (_how, target) => {
    const upstream = await httpUpstream(() => {});
    echoMessages(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await dialProxy(egress.port);
    if (target.startsWith("/")) {
      socket.write(`CONNECT ${HOST}:80 HTTP/1.1\r\n\r\n`);
      await readHead(socket);
    }
    await talk(socket, target);
    socket.destroy();
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({ via: "websocket" });
    await until(() => upstream.open() === 0);
  });

  it("may send its first frame before it is answered", async () => {
    const upstream = await secureUpstream();
    echoMessages(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    const early = frame("early", { masked: true });
    socket.write(Buffer.concat([Buffer.from(handshake({ ...hello, target: "/chat" })), early]));
    await readHead(socket);
    const peer = new Peer(socket, true);
    expect(await peer.receive(2)).toEqual(["hi", "early for Bearer XXXXXXXX"]);
    socket.destroy();
  });

  it("to a path without a rule is refused", async () => {
    const upstream = await secureUpstream();
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake({ ...hello, target: "/admin" }));
    expect((await readAll(socket)).text).toMatch(/^HTTP\/1\.1 403 Denied by bottle: path-not-allowed\r\n/);
    expect(upstream.accepted()).toBe(0);
  });

  it("that the upstream does not want gets the upstream's answer", async () => {
    const egress = await serve(await secureUpstream());
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake({ ...hello, target: "/chat" }));
    const { text } = await readAll(socket);
    expect(text).toMatch(/^HTTP\/1\.1 426 /);
    expect(text).toContain("no sockets here");
  });

  it("whose upstream is not there gets told", async () => {
    const upstream = await secureUpstream();
    const egress = await serve(upstream);
    await upstream.close();
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake({ ...hello, target: "/chat" }));
    expect((await readAll(socket)).text).toContain("upstream-unreachable");
  });

  it("whose upstream dies dies with it", async () => {
    const upstream = await secureUpstream();
    const kill: (() => void)[] = [];
    upstream.server.on("connection", (socket: Socket) => kill.push(() => socket.destroy()));
    echoMessages(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    await talk(socket);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    for (const one of kill) one();
    await closed;
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ via: "websocket" });
  });

  it("that holds more than there is for all of them is closed with the reason; others go on, and get what it had", async () => {
    const upstream = await secureUpstream();
    echoMessages(upstream.server as Server);
    const egress = await serve(upstream, {}, { allMessageBytes: 256 * KB, ownMessageBytes: 16 * KB });
    const honest = await talk(await openTunnel(egress, HOST));
    for (let i = 0; i < 3; i++) {
      // Not too much yet: it is given back when the socket goes.
      const half = await talk(await openTunnel(egress, HOST));
      half.send(Buffer.alloc(150 * KB), { fin: false });
      half.socket.end();
      await egress.waitFor("egress.allowed", i + 1);
    }
    const greedy = await talk(await openTunnel(egress, HOST));
    greedy.send(Buffer.alloc(300 * KB), { fin: false });
    await until(() => greedy.closing !== undefined);
    expect(greedy.closing).toEqual({ code: 1008, reason: "denied by bottle: overloaded" });
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "overloaded" });
    honest.send("three");
    expect((await honest.receive(4)).at(-1)).toBe("three for Bearer XXXXXXXX");
    await egress.waitFor("egress.allowed", 4);
    honest.send("x".repeat(200 * KB));
    expect((await honest.receive(5)).at(-1)).toHaveLength(200 * KB + " for Bearer XXXXXXXX".length);
  });

  it("whose guest takes nothing of what comes is closed before that is too much", async () => {
    const upstream = await secureUpstream();
    const { peers } = echoMessages(upstream.server as Server);
    const limits = { allMessageBytes: 256 * KB, ownMessageBytes: 16 * KB, lingerMs: 100 };
    const egress = await serve(upstream, {}, limits);
    const guest = await talk(await openTunnel(egress, HOST));
    guest.socket.pause();
    // More than the kernel keeps for both of its ends.
    for (let i = 0; i < 20; i++) peers[0]?.send(Buffer.alloc(1024 * KB));
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "overloaded" });
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ via: "websocket", complete: false });
    guest.socket.destroy();
  });

  it("that is silent for too long is closed", async () => {
    const upstream = await secureUpstream();
    echoMessages(upstream.server as Server);
    const connectTo = { host: "127.0.0.1", port: upstream.port };
    const egress = await testEgress(
      { routes: [route({ host: HOST, connectTo, inject })], upstreamCa: [root.certificate] },
      { limits: { tunnelIdleMs: 200, tickMs: 50 } },
    );
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const socket = await openTunnel(egress, HOST);
    await talk(socket);
    await new Promise((resolve) => socket.once("close", resolve));
  });
});
