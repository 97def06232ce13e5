import { connect as connectHttp2 } from "node:http2";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import type { Limits } from "../../../src/sidecars/egress/limits.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  dialProxy,
  openTunnel,
  readAll,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { frame, literal, requestBytes } from "../../support/http2-frames.ts";
import { httpsUpstream, tcpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

async function serve(limits: Partial<Limits>): Promise<TestEgress> {
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    if (request.url === "/late") setTimeout(() => response.end("late"), 300);
    else if (request.url !== "/hang") response.end(request.url === "/long" ? Buffer.alloc(2 ** 25) : "ok");
  });
  const egress = await testEgress(
    {
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: upstream.port } })],
      upstreamCa: [root.certificate],
    },
    { limits: { tickMs: 30, ...limits } },
  );
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

const closed = (socket: { once(event: "close", listener: () => void): unknown }): Promise<void> =>
  new Promise((resolve) => socket.once("close", resolve));

describe("a connection is closed", () => {
  it("that writes its request's head without end", async () => {
    const egress = await serve({ headMs: 150 });
    const socket = await dialProxy(egress.port);
    socket.resume();
    const drip = setInterval(() => socket.write("x"), 20);
    socket.write(`GET http://${HOST}/`);
    await closed(socket);
    clearInterval(drip);
  });

  it("that does so inside a tunnel", async () => {
    const egress = await serve({ headMs: 150 });
    const socket = await openTunnel(egress, HOST);
    socket.resume();
    const drip = setInterval(() => socket.write("x"), 20);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-Slow: `);
    await closed(socket);
    clearInterval(drip);
  });

  it.each([
    ["without a word", (egress: TestEgress) => dialProxy(egress.port)],
    ["after its tunnel was opened", (egress: TestEgress) => openTunnel(egress, HOST)],
    ["after its HTTP/2 was opened", (egress: TestEgress) => openTunnel(egress, HOST, { alpn: ["h2"] })],
  ])("that idles %s", async (_what, open) => {
    const egress = await serve({ idleMs: 150 });
    const socket = await open(egress);
    socket.resume();
    await closed(socket);
  });

  it("that has broken HTTP/2 beyond repair, with the exchanges on it", async () => {
    const egress = await serve({ pingMs: 100 });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", "latin1");
    const get = Buffer.from(`\0\0\x16\x01\x05\0\0\0\x01\x82\x87\x41\x10${HOST}\x84`, "latin1");
    get[2] = get.length - 9;
    // A PRIORITY frame of the wrong size, after which nothing is read or written any more.
    const broken = Buffer.concat([Buffer.from([0, 0, 9, 2, 0, 0, 0, 0, 1]), Buffer.alloc(9)]);
    socket.resume();
    const gone = closed(socket);
    socket.write(Buffer.concat([preface, get]));
    await until(() => upstream.accepted() === 1);
    socket.write(broken);
    await gone;
    expect(await egress.waitFor("egress.allowed")).toMatchObject([
      { method: "GET", host: HOST, complete: false },
    ]);
  });

  it("but not while it answers pings, however quiet", async () => {
    const egress = await serve({ pingMs: 50 });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    let pings = 0;
    session.on("ping", () => {
      pings += 1;
    });
    const stream = session.request({ ":path": "/hang" });
    stream.on("error", () => {});
    await until(() => pings >= 3);
    expect(session.destroyed).toBe(false);
  });

  it("whose handshake does not come, or stops half-way", async () => {
    const egress = await serve({ handshakeMs: 150 });
    for (const bytes of ["", "\x16\x03\x01\x02\x00\x01\x00"]) {
      const socket = await dialProxy(egress.port);
      socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
      await readHead(socket);
      socket.resume();
      socket.write(Buffer.from(bytes, "latin1"));
      await closed(socket);
    }
  });

  it("that was told no and does not hang up", async () => {
    const egress = await serve({ lingerMs: 150 });
    const socket = await dialProxy(egress.port);
    // A half-open client: it never ends its own side.
    const half = readAllOpen(socket);
    socket.write("CONNECT evil.test:22 HTTP/1.1\r\n\r\n");
    expect(await half).toContain("port-refused");
  });

  it.each([
    ["says nothing", "evil.test:443", ""],
    ["stops half-way", "evil.test:443", "\x16\x03\x01\x02\x00\x01\x00"],
    ["asks for nothing", "evil.test:80", ""],
  ])("whose tunnel leads nowhere, and who %s in it", async (_what, target, bytes) => {
    const egress = await serve({ handshakeMs: 150, idleMs: 150 });
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    socket.resume();
    socket.write(Buffer.from(bytes, "latin1"));
    await closed(socket);
  });

  it("but not while it waits for an answer", async () => {
    const egress = await serve({ idleMs: 50, headMs: 50 });
    const socket = await openTunnel(egress, HOST);
    socket.write(`GET /hang HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    let gone = false;
    socket.once("close", () => {
      gone = true;
    });
    await until(() => upstream.open() === 1);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(gone).toBe(false);
    socket.destroy();
  });
});

function readAllOpen(socket: import("node:net").Socket): Promise<string> {
  let text = "";
  socket.allowHalfOpen = true;
  socket.on("data", (chunk: Buffer) => {
    text += chunk.toString();
  });
  const keepOpen = setInterval(() => socket.write("x"), 20);
  return closed(socket).then(() => {
    clearInterval(keepOpen);
    return text;
  });
}

describe("more than enough", () => {
  it("connections give way: first the one that has waited for longest without a request", async () => {
    const egress = await serve({ connections: 3 });
    const used = await openTunnel(egress, HOST);
    used.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await readHead(used);
    const silent = await dialProxy(egress.port);
    const gone = closed(silent.resume());
    const slow = await dialProxy(egress.port);
    slow.write("GET http:");
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("ok");
    await gone;
    expect([used.destroyed, slow.destroyed]).toEqual([false, false]);
    used.destroy();
    slow.destroy();
  });

  it("connections are closed at once while all others are in use", async () => {
    const egress = await serve({ connections: 2 });
    const busy = await Promise.all([1, 2].map(() => openTunnel(egress, HOST)));
    for (const socket of busy) socket.write(`GET /hang HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await until(() => upstream.accepted() === 2);
    const third = await dialProxy(egress.port);
    third.resume();
    await closed(third);
    for (const socket of busy) socket.destroy();
    await egress.waitFor("egress.allowed", 2);
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("ok");
  });

  it.each([
    ["sends its body slowly", "POST / HTTP/1.1", "Content-Length: 1000\r\n", "overloaded"],
    ["does not take its answer", "GET /long HTTP/1.1", "", ""],
  ])("requests give way: who %s", async (_what, line, header, said) => {
    const egress = await serve({ exchanges: 1 });
    const socket = await openTunnel(egress, HOST);
    socket.write(`${line}\r\nHost: ${HOST}\r\n${header}\r\n`);
    await until(() => upstream.accepted() === 1 || header !== "");
    const asked = async (): Promise<string> => (await curl(egress, `https://${HOST}/`)).stdout;
    await expect.poll(asked, { timeout: 20_000 }).toBe("ok");
    expect((await readAll(socket)).text).toContain(said);
  });

  it("requests at once are told so", async () => {
    const egress = await serve({ exchanges: 2 });
    const hanging = await Promise.all(
      [1, 2].map(async () => {
        const socket = await openTunnel(egress, HOST);
        socket.write(`GET /hang HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
        return socket;
      }),
    );
    await until(() => upstream.accepted() === 2);
    const { stdout } = await curl(egress, "-w", "%{http_code}", `https://${HOST}/`);
    expect(stdout).toContain("overloaded");
    expect(stdout.endsWith("503")).toBe(true);
    for (const socket of hanging) socket.destroy();
    await egress.waitFor("egress.allowed", 2);
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("ok");
  });

  it("streams on one HTTP/2 connection wait or are refused, and nothing breaks", async () => {
    const egress = await serve({ streamsPerConnection: 5 });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    expect(session.remoteSettings.maxConcurrentStreams).toBe(5);
    const texts = await Promise.all(
      Array.from({ length: 30 }, async () => {
        let text = "";
        for await (const chunk of session.request({ ":path": "/" })) text += String(chunk);
        return text;
      }),
    );
    expect(new Set(texts)).toEqual(new Set(["ok"]));
  });

  it("resets in a row end an HTTP/2 connection, not egress", async () => {
    const egress = await serve({});
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    session.on("error", () => {});
    for (let i = 0; i < 3_000 && !session.destroyed; i++) {
      const stream = session.request({ ":path": "/hang" });
      stream.on("error", () => {});
      stream.close(8);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    session.destroy();
    await until(() => upstream.open() <= 1, 30_000);
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("ok");
  });

  it("requests that are taken back in the same breath end their connection, and nobody hears of them", async () => {
    const egress = await serve({});
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    socket.resume();
    const fields = [
      [":method", "GET"],
      [":scheme", "https"],
      [":authority", HOST],
      [":path", "/hang"],
    ] as const;
    const head = Buffer.concat(fields.map(literal));
    const requests = Array.from({ length: 40 }, (_, i) =>
      Buffer.concat([frame(1, 0x5, 3 + 2 * i, head), frame(3, 0, 3 + 2 * i, Buffer.from([0, 0, 0, 8]))]),
    );
    socket.write(Buffer.concat([requestBytes(fields).subarray(0, 24 + 9), ...requests]));
    await closed(socket);
    expect(upstream.accepted()).toBe(0);
  });

  it("words about nothing but HTTP/2 itself end it", async () => {
    const egress = await serve({ controlBytes: 4096 });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    socket.resume();
    socket.write(requestBytes([]).subarray(0, 24 + 9));
    const ping = setInterval(() => socket.write(frame(6, 0, 0, Buffer.alloc(8))), 1);
    await closed(socket);
    clearInterval(ping);
  });
});

describe("while egress is being stopped", () => {
  it("what is in progress is finished, and a request behind it is not begun", async () => {
    const egress = await serve({});
    const socket = await openTunnel(egress, HOST);
    const answer = readAll(socket);
    socket.write(`GET /late HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await until(() => upstream.accepted() === 1);
    const drained = egress.drain();
    socket.write(`GET /behind HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    expect(await egress.waitFor("egress.denied")).toMatchObject([{ code: "stopping" }]);
    expect((await answer).text).toContain("late");
    await drained;
  });
});

describe("an upstream that is no longer wanted", () => {
  it("is let go in the middle of its handshake", async () => {
    const silent = await tcpUpstream((socket) => socket.resume());
    const egress = await testEgress({
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: silent.port } })],
    });
    closing.push(
      () => silent.close(),
      () => egress.stop(),
    );
    const socket = await openTunnel(egress, HOST);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await until(() => silent.open() === 1);
    socket.destroy();
    await until(() => silent.open() === 0);
  });
});

describe("many connections one after the other", () => {
  it.each([
    ["allowed", HOST],
    ["not allowed", "evil.test"],
  ])("leave nothing behind, to a host that is %s", async (_what, host) => {
    const egress = await serve({});
    const round = async (): Promise<void> => {
      for (let i = 0; i < 60; i++) {
        const socket = await openTunnel(egress, host, { alpn: [i % 2 === 0 ? "h2" : "http/1.1"] });
        if (i % 2 === 1) {
          const answer = readAll(socket);
          socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
          await answer;
        } else socket.destroy();
      }
    };
    await round();
    const before = process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length;
    await round();
    await until(
      () => process.getActiveResourcesInfo().filter((name) => name.startsWith("TCP")).length <= before,
    );
  });
});
