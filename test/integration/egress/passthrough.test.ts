import { connect as connectTls } from "node:tls";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  dialProxy,
  exchangeRaw,
  openTunnel,
  policyOf,
  type RouteOptions,
  readAll,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, tcpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "pinned.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

async function serve(options: Partial<RouteOptions> = {}): Promise<TestEgress> {
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    response.end(`reached ${request.url} ${request.headers.authorization ?? "-"}`);
  });
  const connectTo = { host: "127.0.0.1", port: upstream.port };
  const egress = await testEgress({
    routes: [route({ host: HOST, tls: "passthrough", connectTo, ...options })],
  });
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

/** A ClientHello with an ECH extension behind what a real one holds. */
function withEch(hello: Buffer): Buffer {
  const extension = Buffer.from([0xfe, 0x0d, 0, 4, 0, 0, 0, 0]);
  let at = 5 + 4 + 2 + 32;
  at += 1 + (hello[at] ?? 0);
  at += 2 + hello.readUInt16BE(at);
  at += 1 + (hello[at] ?? 0);
  const grown = Buffer.concat([hello.subarray(0, at + 2), extension, hello.subarray(at + 2)]);
  grown.writeUInt16BE(grown.readUInt16BE(at) + extension.length, at);
  grown.writeUIntBE(grown.readUIntBE(6, 3) + extension.length, 6, 3);
  grown.writeUInt16BE(grown.readUInt16BE(3) + extension.length, 3);
  return grown;
}

async function realHello(serverName: string): Promise<Buffer> {
  const server = await tcpUpstream(() => {});
  closing.push(() => server.close());
  const bytes = new Promise<Buffer>((resolve) =>
    server.server.once("connection", (socket) => socket.once("data", resolve)),
  );
  const client = connectTls({ port: server.port, host: "127.0.0.1", servername: serverName });
  client.on("error", () => {});
  const hello = await bytes;
  client.destroy();
  return hello;
}

describe("a passthrough route", () => {
  it("leaves the TLS to guest and upstream, and says in the event that nobody looked", async () => {
    const egress = await serve();
    // The upstream's own certificate, which the bottle's CA did not sign.
    const socket = await openTunnel(
      { port: egress.port, ca: { ...egress.ca, certificate: root.certificate } },
      HOST,
    );
    expect(socket.getPeerCertificate().subject.CN).toBe(HOST);
    socket.write(`GET /x HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: own\r\nConnection: close\r\n\r\n`);
    expect((await readAll(socket)).text).toContain("reached /x own");
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({
      method: "CONNECT",
      host: HOST,
      via: "passthrough",
      credential: [],
      complete: true,
    });
    expect(Number(event?.["up"])).toBeGreaterThan(200);
    await until(() => upstream.open() === 0);
  });

  it("refuses another SNI, readable inside, without a byte to the upstream", async () => {
    const egress = await serve();
    const socket = await openTunnel(egress, HOST, { serverName: "other.example.test" });
    socket.write("GET / HTTP/1.1\r\nHost: other.example.test\r\nConnection: close\r\n\r\n");
    expect((await readAll(socket)).text).toContain("sni-mismatch");
    await until(() => upstream.open() === 0);
  });

  it("refuses a hello that hides another inside", async () => {
    const egress = await serve();
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    socket.write(withEch(await realHello(HOST)));
    socket.resume();
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "ech-refused" });
    socket.destroy();
    await until(() => upstream.open() === 0);
  });

  it("ends with an upstream that hung up before the guest's first byte", async () => {
    const rude = await tcpUpstream((socket) => socket.destroy());
    const egress = await testEgress({
      routes: [route({ host: HOST, tls: "passthrough", connectTo: { host: "127.0.0.1", port: rude.port } })],
    });
    closing.push(
      () => rude.close(),
      () => egress.stop(),
    );
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    await until(() => rude.accepted() === 1 && rude.open() === 0);
    const rest = readAll(socket);
    socket.write(await realHello(HOST));
    await rest;
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ via: "passthrough", down: 0 });
  });

  it("refuses what is not TLS", async () => {
    const egress = await serve();
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    const rest = readAll(socket);
    socket.write("SSH-2.0-x\r\n");
    expect((await rest).text).toContain("not-tls");
    await until(() => upstream.open() === 0);
  });

  it("checks addresses, and answers CONNECT itself when they are refused or dead", async () => {
    const egress = await serve();
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, tls: "passthrough", connectTo: { host: "localhost", port: 1 } })],
        upstreamCa: [],
      }),
    );
    const ask = () => exchangeRaw(egress.port, `CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    expect(await ask()).toMatch(/^HTTP\/1\.1 403 Denied by bottle: address-refused\r\n/);
    const port = upstream.port;
    await upstream.close();
    await egress.reload(
      policyOf({
        routes: [route({ host: HOST, tls: "passthrough", connectTo: { host: "127.0.0.1", port } })],
        upstreamCa: [],
      }),
    );
    const dead = await ask();
    expect(dead).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n/);
    expect(dead).toContain("upstream-unreachable");
  });
});
