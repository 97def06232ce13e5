import { createHash, randomBytes } from "node:crypto";
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
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

const HOST = "ws.example.test";
/** RFC 6455, section 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

let root: CertificateAuthority;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A masked text frame, as clients send it. */
function clientFrame(text: string): Buffer {
  const mask = randomBytes(4);
  const payload = Buffer.from(text).map((byte, i) => byte ^ (mask[i % 4] ?? 0));
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length]), mask, payload]);
}

function unmasked(frame: Buffer): string {
  const length = (frame[1] ?? 0) & 0x7f;
  const mask = frame.subarray(2, 6);
  return Buffer.from(frame.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] ?? 0))).toString();
}

/** Greets, then echoes each frame with the credential it was asked with. */
function echoFrames(server: Server): void {
  server.on("upgrade", (request, socket: Duplex) => {
    socket.on("error", () => {});
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}${GUID}`)
      .digest("base64");
    const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
    const frame = (text: string) => Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);
    // The first frame right behind the head, in one packet.
    socket.write(Buffer.concat([Buffer.from(head), frame("hi")]));
    socket.on("data", (chunk: Buffer) => {
      socket.write(frame(`${unmasked(chunk)} ${request.headers["authorization"] ?? "-"}`));
    });
    socket.on("end", () => socket.end());
  });
}

const inject = [{ header: "Authorization", value: ["Bearer", "ws-token"].join(" ") }];

async function serve(upstream: Upstream, options: Partial<RouteOptions> = {}): Promise<TestEgress> {
  const connectTo = { host: "127.0.0.1", port: upstream.port };
  const egress = await testEgress({
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
  });
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

function handshake(target: string): string {
  const key = randomBytes(16).toString("base64");
  return `GET ${target} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\nAuthorization: fake\r\n\r\n`;
}

/** Talks over an upgraded socket; returns all text seen. */
async function talk(socket: Socket): Promise<string> {
  const head = await readHead(socket);
  expect(head).toMatch(/^HTTP\/1\.1 101 /);
  expect(head).toMatch(/sec-websocket-accept: /i);
  let seen = "";
  socket.on("data", (chunk: Buffer) => {
    seen += chunk.toString("latin1");
  });
  socket.resume();
  await until(() => seen.includes("hi"));
  for (const word of ["one", "two"]) {
    socket.write(clientFrame(word));
    await until(() => seen.includes(`${word} Bearer ws-token`));
  }
  return seen;
}

describe("a WebSocket", () => {
  it("over TLS passes, with the route's credential, and is told as one", async () => {
    const upstream = await secureUpstream();
    echoFrames(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake("/chat"));
    expect(await talk(socket)).not.toContain("fake");
    socket.end();
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
    echoFrames(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await dialProxy(egress.port);
    if (target.startsWith("/")) {
      socket.write(`CONNECT ${HOST}:80 HTTP/1.1\r\n\r\n`);
      await readHead(socket);
    }
    socket.write(handshake(target));
    await talk(socket);
    socket.destroy();
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({ via: "websocket" });
    await until(() => upstream.open() === 0);
  });

  it("may send its first frame before it is answered", async () => {
    const upstream = await secureUpstream();
    echoFrames(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(Buffer.concat([Buffer.from(handshake("/chat")), clientFrame("early")]));
    await readHead(socket);
    let seen = "";
    socket.on("data", (chunk: Buffer) => {
      seen += chunk.toString("latin1");
    });
    socket.resume();
    await until(() => seen.includes("early Bearer ws-token"));
    socket.destroy();
  });

  it("to a path without a rule is refused", async () => {
    const upstream = await secureUpstream();
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake("/admin"));
    expect((await readAll(socket)).text).toMatch(/^HTTP\/1\.1 403 Denied by bottle: path-not-allowed\r\n/);
    expect(upstream.accepted()).toBe(0);
  });

  it("that the upstream does not want gets the upstream's answer", async () => {
    const egress = await serve(await secureUpstream());
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake("/chat"));
    const { text } = await readAll(socket);
    expect(text).toMatch(/^HTTP\/1\.1 426 /);
    expect(text).toContain("no sockets here");
  });

  it("whose upstream is not there gets told", async () => {
    const upstream = await secureUpstream();
    const egress = await serve(upstream);
    await upstream.close();
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake("/chat"));
    expect((await readAll(socket)).text).toContain("upstream-unreachable");
  });

  it("whose upstream dies dies with it", async () => {
    const upstream = await secureUpstream();
    const kill: (() => void)[] = [];
    upstream.server.on("connection", (socket: Socket) => kill.push(() => socket.destroy()));
    echoFrames(upstream.server as Server);
    const egress = await serve(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(handshake("/chat"));
    await talk(socket);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    for (const one of kill) one();
    await closed;
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ via: "websocket" });
  });

  it("that is silent for too long is closed", async () => {
    const upstream = await secureUpstream();
    echoFrames(upstream.server as Server);
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
    socket.write(handshake("/chat"));
    await talk(socket);
    await new Promise((resolve) => socket.once("close", resolve));
  });
});
