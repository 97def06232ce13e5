import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import type { Socket } from "node:net";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
  type ServerIdentity,
} from "../../../demo/upstreams/certificate-authority.ts";
import { mintAuthority } from "../../../src/bundle/certificate-authority.ts";
import type { EgressOptions } from "../../../src/sidecars/egress/egress.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  denialIn,
  dialProxy,
  openTunnel,
  policyOf,
  readAll,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, tcpUpstream, tlsUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";
const VERSIONS = ["--http1.1", "--http2"] as const;

let root: CertificateAuthority;
let own: ServerIdentity;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
  own = await root.issue([HOST]);
});

async function proxyTo(upstream: Upstream, options: Partial<EgressOptions> = {}): Promise<TestEgress> {
  const egress = await testEgress(
    {
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: upstream.port } })],
      upstreamCa: [root.certificate],
    },
    options,
  );
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

/** An upstream that reads a request's head, then does `what` with the socket. */
function rude(what: (socket: Socket) => void): Promise<Upstream> {
  return tlsUpstream(own, (socket) => {
    let text = "";
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n")) return;
      socket.off("data", onData);
      socket.resume();
      what(socket);
    };
    socket.on("data", onData);
  });
}

async function status(egress: TestEgress, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await curl(egress, "-w", "\n%{http_code}", ...args, `https://${HOST}/x`);
  const at = stdout.lastIndexOf("\n");
  if (at < 1) return stderr;
  return `${stdout.slice(at + 1)} ${denialIn(stdout.slice(0, at)).code}`;
}

describe("an upstream whose certificate", () => {
  const day = 86_400_000;
  const dates = (from: number, to: number) => ({
    notBefore: new Date(Date.now() + from * day),
    notAfter: new Date(Date.now() + to * day),
  });

  it.each<[string, () => Promise<ServerIdentity>]>([
    ["is for another host", () => root.issue(["other.test"])],
    ["is for a longer name", () => root.issue([`x.${HOST}`])],
    ["is for a wildcard that does not cover it", () => root.issue(["*.test"])],
    ["has expired", () => root.issue([HOST], dates(-3, -1))],
    ["is not valid yet", () => root.issue([HOST], dates(1, 3))],
    [
      "is from a root that nobody trusts",
      async () => (await makeCertificateAuthority("stranger")).issue([HOST]),
    ],
    [
      "is self-signed",
      async () => {
        const self = await mintAuthority("self");
        return { certificate: self.certificate, key: self.privateKey };
      },
    ],
  ])("%s is not talked to", async (_what, issue) => {
    let requests = 0;
    const egress = await proxyTo(
      await httpsUpstream(await issue(), (_request, response) => {
        requests += 1;
        response.end();
      }),
    );
    expect(await status(egress)).toBe("502 upstream-tls");
    expect(requests).toBe(0);
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "upstream-tls" });
  });

  it("is from the bottle's own CA is not talked to either: that CA signs for anybody", async () => {
    const egress = await proxyTo(
      await httpsUpstream({ certificate: own.certificate, key: own.key }, () => {}),
    );
    const impostor = await httpsUpstream(
      { certificate: egress.ca.certificate, key: egress.ca.privateKey },
      () => {},
    );
    closing.push(() => impostor.close());
    await egress.reload({
      ...policyOf({}),
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: impostor.port } })],
      upstreamCa: [root.certificate],
    });
    expect(await status(egress)).toBe("502 upstream-tls");
  });

  it("is good but from a root that only the operator named needs upstreamCa", async () => {
    const upstream = await httpsUpstream(own, (_request, response) => response.end("ok"));
    const egress = await proxyTo(upstream);
    expect((await curl(egress, `https://${HOST}/`)).stdout).toBe("ok");
    await egress.reload({
      ...policyOf({}),
      routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: upstream.port } })],
    });
    expect(await status(egress)).toBe("502 upstream-tls");
  });
});

describe.each(VERSIONS)("an upstream (guest on %s)", (version) => {
  it("that speaks no TLS", async () => {
    const egress = await proxyTo(await tcpUpstream((socket) => void socket.end("HTTP/1.1 200 OK\r\n\r\n")));
    expect(await status(egress, version)).toBe("502 upstream-tls");
  });

  it("that is not there", async () => {
    const gone = await tcpUpstream(() => {});
    const egress = await proxyTo(gone);
    await gone.close();
    expect(await status(egress, version)).toBe("502 upstream-unreachable");
  });

  it("that ends the connection before an answer", async () => {
    const egress = await proxyTo(await rude((socket) => void socket.end()));
    expect(await status(egress, version, "-d", "body")).toBe("502 upstream-failed");
  });

  it("that resets the connection before an answer", async () => {
    const egress = await proxyTo(await rude((socket) => void socket.destroy()));
    expect(await status(egress, version)).toBe("502 upstream-failed");
  });

  it.each([
    ["no HTTP", "220 smtp.example.test ESMTP\r\n"],
    ["a broken status line", "HTTP/1.1 abc\r\n\r\n"],
    ["a bare LF in its head", "HTTP/1.1 200 OK\nX: y\n\n"],
    ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"],
    [
      "a length and chunks",
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ["another transfer coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"],
    ["an endless head", `HTTP/1.1 200 OK\r\n${`X: ${"y".repeat(1_000)}\r\n`.repeat(100)}\r\n`],
    ["headers without number", `HTTP/1.1 200 OK\r\n${"X: y\r\n".repeat(10_000)}\r\n`],
    [
      "a switch of protocols",
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
    ],
  ])("that answers with %s", async (_what, bytes) => {
    const egress = await proxyTo(await rude((socket) => void socket.write(bytes)));
    expect(await status(egress, version)).toBe("502 upstream-protocol");
  });

  it.each([
    ["a short stated length, held until it is whole", "Content-Length: 1000\r\n\r\nonly this", false],
    ["a long stated length", "Content-Length: 70000\r\n\r\nonly this", true],
    [
      "what is no text",
      "Content-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\nonly this",
      true,
    ],
    ["chunks", "Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n", true],
  ])(
    "that breaks off in the middle of %s: the guest never sees a whole answer",
    async (_what, rest, begins) => {
      for (const how of ["end", "destroy"] as const) {
        const egress = await proxyTo(
          await rude((socket) => {
            socket.write(`HTTP/1.1 200 OK\r\n${rest}`);
            setTimeout(() => socket[how](), 20);
          }),
        );
        const { exitCode, stdout } = await curl(egress, version, "-i", `https://${HOST}/x`);
        expect(stdout.includes("only this")).toBe(begins);
        // Nothing at all, rather than a head that promises more.
        expect(/^HTTP\S+ 200(?! Connection)/m.test(stdout)).toBe(begins);
        expect(exitCode).not.toBe(0);
        expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({
          status: begins ? 200 : 0,
          down: begins ? 9 : 0,
          complete: false,
        });
      }
    },
  );

  it("that never answers is given up after the time for it", async () => {
    const egress = await proxyTo(await rude(() => {}), { limits: { exchangeIdleMs: 300, tickMs: 50 } });
    expect(await status(egress, version)).toBe("504 upstream-timeout");
  });

  it("that stalls in the middle of its answer is cut off, or told of if nothing of it was shown", async () => {
    const stalling = async (head: string) =>
      proxyTo(await rude((socket) => void socket.write(`HTTP/1.1 200 OK\r\n${head}\r\nonly this`)), {
        limits: { exchangeIdleMs: 300, tickMs: 50 },
      });
    const long = await stalling("Content-Length: 70000\r\n");
    const cut = await curl(long, version, `https://${HOST}/x`);
    expect(cut.stdout).toBe("only this");
    expect(cut.exitCode).not.toBe(0);
    expect(await status(await stalling("Content-Length: 1000\r\n"), version)).toBe("504 upstream-timeout");
  });

  it("that accepts and then says nothing, not even TLS", async () => {
    const egress = await proxyTo(await tcpUpstream(() => {}), { limits: { upstreamHandshakeMs: 200 } });
    expect(await status(egress, version)).toBe("504 upstream-timeout");
  });

  it("that says 100 Continue again and again is heard once, and only by who asked", async () => {
    const egress = await proxyTo(
      await rude((socket) => {
        socket.write("HTTP/1.1 100 Continue\r\n\r\n".repeat(50));
        socket.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
      }),
    );
    const upload = ["-i", "--suppress-connect-headers", "-d", "body"];
    for (const [expect_, count] of [
      ["Expect:", 0],
      ["Expect: 100-continue", 1],
    ] as const) {
      const { stdout } = await curl(egress, version, ...upload, "-H", expect_, `https://${HOST}/x`);
      expect(stdout.endsWith("ok")).toBe(true);
      expect(stdout.match(/^HTTP\S+ 1\d\d/gm) ?? []).toHaveLength(count);
    }
  });

  it("that answers before the body is there, and wants no more of it", async () => {
    const egress = await proxyTo(
      await rude((socket) => {
        socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!");
        socket.end();
      }),
    );
    const big = ["--data-binary", "@/usr/bin/node", "-H", "Expect:"];
    const { stdout } = await curl(egress, version, ...big, "-w", " %{http_code}", `https://${HOST}/x`);
    expect(stdout).toBe("no! 413");
  });
});

describe("a guest", () => {
  it.each(["http/1.1", "h2"])("that leaves takes the upstream connection with it (%s)", async (alpn) => {
    let upstreamClosed = false;
    const egress = await proxyTo(
      await rude((socket) => {
        socket.once("close", () => {
          upstreamClosed = true;
        });
        socket.write(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
      }),
    );
    const socket = await openTunnel(egress, HOST, { alpn: [alpn] });
    if (alpn === "h2") {
      const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
      closing.push(() => session.destroy());
      const stream = session.request({ ":path": "/" });
      stream.on("error", () => {});
      await once(stream, "response");
      stream.close(8);
    } else {
      socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
      await readHead(socket);
      socket.destroy();
    }
    await until(() => upstreamClosed);
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ complete: false });
  });

  it("that leaves while its upstream is being dialled leaves nothing open", async () => {
    const upstream = await httpsUpstream(own, (_request, response) => response.end("late"));
    let release: () => void = () => {};
    const egress = await testEgress(
      {
        routes: [
          route({
            host: HOST,
            allowAddresses: ["127.0.0.1"],
            connectTo: { host: "slow.test", port: upstream.port },
          }),
        ],
        upstreamCa: [root.certificate],
      },
      { resolve: () => new Promise((resolve) => (release = () => resolve(["127.0.0.1"]))) },
    );
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const socket = await openTunnel(egress, HOST);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.destroy();
    await egress.waitFor("egress.allowed");
    release();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(upstream.accepted()).toBe(0);
  });

  it("that stops in the middle of its body leaves nothing behind, and no upstream hears of it", async () => {
    const upstream = await httpsUpstream(own, () => {});
    const egress = await proxyTo(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1000\r\n\r\npart`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    socket.destroy();
    // It ended its TLS regularly, so what it sent is a body of another length than it said.
    expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "framing-refused" });
    const abrupt = await dialProxy(egress.port);
    abrupt.write(`POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1000\r\n\r\npart`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    abrupt.resetAndDestroy();
    expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ status: 0, up: 4, complete: false });
    expect(upstream.accepted()).toBe(0);
  });

  it("that stalls in the middle of its body is told so in time, and no upstream hears of it", async () => {
    const upstream = await httpsUpstream(own, () => {});
    const egress = await proxyTo(upstream, { limits: { exchangeIdleMs: 200, tickMs: 50 } });
    const socket = await openTunnel(egress, HOST);
    socket.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1000\r\n\r\npart`);
    expect(await readHead(socket)).toMatch(/^HTTP\/1\.1 504 [\s\S]*x-bottle-denied: upstream-timeout\r\n/);
    socket.destroy();
    expect(upstream.accepted()).toBe(0);
  });

  it("that stops in the middle of a long body takes the upstream's request with it", async () => {
    let got = 0;
    let whole = false;
    let upstreamClosed = false;
    const upstream = await httpsUpstream(own, (request) => {
      request.on("data", (chunk: Buffer) => {
        got += chunk.length;
      });
      request.on("error", () => {});
      request.on("close", () => {
        upstreamClosed = true;
        whole = request.complete;
      });
    });
    const egress = await proxyTo(upstream);
    const socket = await openTunnel(egress, HOST);
    socket.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 9000000\r\n\r\n`);
    socket.write(Buffer.alloc(2 * 1024 * 1024, "part of it\n"));
    await until(() => got > 1024 * 1024);
    socket.destroy();
    await until(() => upstreamClosed);
    expect(whole).toBe(false);
  });

  it("gets a reset, or at least no regular end, when an answer breaks off", async () => {
    const egress = await proxyTo(
      await rude((socket) => {
        socket.write("HTTP/1.1 200 OK\r\n\r\nuntil the end");
        setTimeout(() => socket.destroy(), 30);
      }),
    );
    // HTTP/1.0: the end of the connection is the end of the body.
    const socket = await openTunnel(egress, HOST);
    const answer = readAll(socket);
    socket.write(`GET / HTTP/1.0\r\nHost: ${HOST}\r\n\r\n`);
    expect((await answer).text).toContain("until the end");
  });
});
