import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
} from "../../../demo/upstreams/certificate-authority.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  denialIn,
  dialProxy,
  exchangeRaw,
  git,
  openTunnel,
  policyOf,
  readAll,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, tcpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let upstream: Upstream;
let requests: string[];
let resolved: string[];
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
});

async function serve(options: Parameters<typeof testEgress>[1] = {}): Promise<TestEgress> {
  requests = [];
  resolved = [];
  upstream = await httpsUpstream(await root.issue([HOST, "*.wild.test"]), (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    response.end("reached");
  });
  const connectTo = { host: "127.0.0.1", port: upstream.port };
  const egress = await testEgress(
    {
      routes: [
        route({ host: HOST, connectTo }),
        route({ host: "*.wild.test", connectTo }),
        route({
          host: "ruled.test",
          connectTo,
          matches: [{ methods: ["GET"], paths: [{ type: "prefix", value: "/public" }] }],
        }),
      ],
      upstreamCa: [root.certificate],
    },
    {
      resolve: (host) => {
        resolved.push(host);
        return Promise.resolve(["127.0.0.1"]);
      },
      ...options,
    },
  );
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return egress;
}

/** The denial in a raw answer. */
function denialOfRaw(answer: string) {
  const [head = "", body = ""] = answer.split("\r\n\r\n");
  const code = /^x-bottle-denied: (.*)$/im.exec(head)?.[1];
  const denied = denialIn(body);
  expect(code).toBe(denied.code);
  expect(head.toLowerCase()).toContain("content-type: application/json");
  expect(Number(/^content-length: (.*)$/im.exec(head)?.[1])).toBe(Buffer.byteLength(body));
  return { status: Number(head.split(" ")[1]), phrase: head.split("\r\n")[0], ...denied };
}

describe("a host without a route", () => {
  const rule = "no route for evil.test";
  const reason = "no route of this bottle leads to evil.test";

  it("is refused in its tunnel, each request with reason and how to ask for it, and neither resolved nor dialled", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, "evil.test");
    tls.write("GET /first HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    tls.write(
      "POST /second?token=s HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 2\r\nConnection: close\r\n\r\nab",
    );
    const [first = "", second = ""] = (await readAll(tls)).text.split(/(?=HTTP\/1\.1 )/);
    expect(denialOfRaw(first)).toMatchObject({ status: 403, target: "GET https://evil.test/first" });
    expect(denialOfRaw(second)).toEqual({
      status: 403,
      phrase: "HTTP/1.1 403 Denied by bottle: host-not-allowed",
      code: "host-not-allowed",
      reason,
      target: "POST https://evil.test/second",
      rule,
      ask: { tool: "request_access", arguments: { host: "evil.test", method: "POST", path: "/second" } },
    });
    expect(resolved).toEqual([]);
    expect(await egress.waitFor("egress.denied", 3)).toEqual([
      { code: "host-not-allowed", target: "CONNECT https://evil.test", rule },
      { code: "host-not-allowed", target: "GET https://evil.test/first", rule },
      { code: "host-not-allowed", target: "POST https://evil.test/second", rule },
    ]);
  });

  it("is on the log by its CONNECT already, whoever asks nothing in the tunnel", async () => {
    const egress = await serve();
    const socket = await dialProxy(egress.port);
    socket.write("CONNECT evil.test:443 HTTP/1.1\r\n\r\n");
    expect(await egress.waitFor("egress.denied")).toMatchObject([{ target: "CONNECT https://evil.test" }]);
    socket.destroy();
  });

  it.each(["127.0.0.1", "169.254.169.254", "[::1]", "wild.test", "a".repeat(63).concat(".test")])(
    "is refused like that whatever it is: %s",
    async (host) => {
      const egress = await serve();
      const isName = host.endsWith(".test");
      const tls = await openTunnel(egress, host, isName ? {} : { serverName: null });
      tls.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      expect(denialOfRaw((await readAll(tls)).text).code).toBe("host-not-allowed");
      expect(resolved).toEqual([]);
      expect(requests).toEqual([]);
    },
  );

  it("is refused in a tunnel to port 80 too", async () => {
    const egress = await serve();
    const { stdout } = await curl(egress, "--proxytunnel", "-X", "DELETE", "http://evil.test/a/b");
    expect(denialIn(stdout)).toMatchObject({
      code: "host-not-allowed",
      ask: { arguments: { host: "evil.test", method: "DELETE", path: "/a/b" } },
    });
    expect(resolved).toEqual([]);
    expect((await egress.waitFor("egress.denied", 2)).map(({ target }) => target)).toEqual([
      "CONNECT http://evil.test",
      "DELETE http://evil.test/a/b",
    ]);
  });

  it("is refused on every stream of HTTP/2, and to whoever wants a WebSocket", async () => {
    const egress = await serve();
    const socket = await openTunnel(egress, "evil.test", { alpn: ["h2"] });
    const session = connectHttp2("https://evil.test", { createConnection: () => socket });
    closing.push(() => session.destroy());
    for (let i = 0; i < 2; i++) {
      const stream = session.request({ ":path": "/" });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      expect(head).toMatchObject({ ":status": 403, "x-bottle-denied": "host-not-allowed" });
      stream.resume();
    }
    const tls = await openTunnel(egress, "evil.test");
    tls.write("GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("host-not-allowed");
    expect(resolved).toEqual([]);
  });

  it("lends its tunnel to no other host, by SNI or by Host", async () => {
    const egress = await serve();
    const fronted = await openTunnel(egress, "evil.test", { serverName: HOST });
    fronted.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    expect(denialOfRaw((await readAll(fronted)).text).code).toBe("sni-mismatch");
    const tls = await openTunnel(egress, "evil.test");
    tls.write(
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\nGET https://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`,
    );
    const answers = (await readAll(tls)).text.split(/(?=HTTP\/1\.1 )/).map(denialOfRaw);
    expect(answers.map(({ code }) => code)).toEqual(["host-mismatch", "host-mismatch"]);
    expect(requests).toEqual([]);
  });

  it("may be asked for in a tunnel of before, once a reload allows it", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, "late.test");
    await egress.reload({
      ...policyOf({}),
      routes: [route({ host: "late.test", connectTo: { host: "127.0.0.1", port: upstream.port } })],
      upstreamCa: [root.certificate],
    });
    tls.write("GET /now HTTP/1.1\r\nHost: late.test\r\nConnection: close\r\n\r\n");
    // Dialled now; the upstream's certificate is another host's.
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("upstream-tls");
  });

  it("is refused in absolute form with what was asked for", async () => {
    const egress = await serve();
    const { stdout } = await curl(egress, "-X", "DELETE", "http://evil.test/a/b?token=s");
    expect(denialIn(stdout)).toMatchObject({
      code: "host-not-allowed",
      target: "DELETE http://evil.test/a/b",
      ask: { tool: "request_access", arguments: { host: "evil.test", method: "DELETE", path: "/a/b" } },
    });
    expect(resolved).toEqual([]);
  });

  it.each(["--http1.1", "--http2"])(
    "shows curl why (%s), in its output and by its exit with -f",
    async (version) => {
      const egress = await serve();
      const { stdout, exitCode } = await curl(egress, version, "https://evil.test/a?token=s");
      expect(exitCode).toBe(0);
      expect(denialIn(stdout)).toMatchObject({
        reason,
        ask: { arguments: { host: "evil.test", method: "GET", path: "/a" } },
      });
      expect((await curl(egress, version, "-f", "https://evil.test/")).exitCode).toBe(22);
    },
  );

  it.each([
    ["https", "evil.test"],
    ["http", "evil.test"],
    ["https", "ruled.test"],
  ])("shows git why, over %s to %s, in the only form that git prints", async (scheme, host) => {
    const egress = await serve();
    const { stderr, exitCode } = await git(egress, "ls-remote", `${scheme}://${host}/project`);
    expect(exitCode).toBe(128);
    const words = stderr.split("\n").filter((line) => line.startsWith("remote: "));
    const code = host === "evil.test" ? "host-not-allowed" : "path-not-allowed";
    expect(words).toEqual([
      expect.stringContaining(`remote: denied: ${code}: no r`),
      `remote: target: GET ${scheme}://${host}/project/info/refs`,
      expect.stringMatching(/^remote: rule: (no route for|route) /),
      `remote: ask: request_access ${JSON.stringify({ host, method: "GET", path: "/project/info/refs" })}`,
    ]);
    expect(resolved).toEqual([]);
  });
});

describe("CONNECT", () => {
  it.each([
    [`${HOST}:22`, "port-refused"],
    [`${HOST}:8443`, "port-refused"],
    [HOST, "port-refused"],
    ["evil.test:22", "port-refused"],
    ["127.0.0.1:8080", "port-refused"],
    ["127.1:443", "host-invalid"],
    ["0x7f000001:443", "host-invalid"],
    ["2130706433:443", "host-invalid"],
    ["[::1%25lo]:443", "host-invalid"],
    [`user@${HOST}:443`, "host-invalid"],
    [`${HOST}:443/path`, "host-invalid"],
    [`https://${HOST}`, "host-invalid"],
    [`.${HOST}:443`, "host-invalid"],
  ])("to %s is refused as %s", async (target, code) => {
    const egress = await serve();
    const answer = await exchangeRaw(egress.port, `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n\r\n`);
    // Some of these do not get past node's parser, which is stricter still.
    expect([code, "request-malformed"]).toContain(denialOfRaw(answer).code);
    expect(requests).toEqual([]);
    expect(resolved).toEqual([]);
  });

  it.each([`${HOST.toUpperCase()}:443`, `${HOST}.:443`, "A.B.wild.test:443"])(
    "to %s is the same host",
    async (target) => {
      const egress = await serve();
      const socket = await dialProxy(egress.port);
      socket.write(`CONNECT ${target} HTTP/1.1\r\n\r\n`);
      expect(await readHead(socket)).toBe("HTTP/1.1 200 Connection Established\r\n\r\n");
      socket.destroy();
    },
  );

  it.each([
    ["plain HTTP", `GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`],
    ["garbage", "\0\0\0\0garbage"],
    ["SSH", "SSH-2.0-OpenSSH_9.0\r\n"],
    ["TLS that turns into garbage", "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00"],
  ])("followed by %s is refused and closed", async (_what, bytes) => {
    const egress = await serve();
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    const rest = readAll(socket);
    socket.write(Buffer.from(bytes, "latin1"));
    expect(denialOfRaw((await rest).text)).toMatchObject({
      code: "not-tls",
      target: `CONNECT https://${HOST}`,
    });
    expect(requests).toEqual([]);
  });

  it("followed by a hello without end is refused", async () => {
    const egress = await serve();
    const socket = await dialProxy(egress.port);
    socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
    await readHead(socket);
    const rest = readAll(socket);
    // A message of 16 MiB, announced in records that are each proper.
    const record = Buffer.alloc(5 + 16_384);
    record.set([22, 3, 1, 0x40, 0]);
    record.set([1, 0xff, 0xff, 0xff], 5);
    for (let i = 0; i < 4; i++) socket.write(record);
    expect((await rest).text).toContain("not-tls");
  });

  it("in a tunnel is refused", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    tls.write("CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test\r\n\r\n");
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("method-refused");
  });
});

describe("SNI", () => {
  it.each([["other.wild.test"], ["evil.test"]])(
    "for another host (%s) is refused, readable inside",
    async (serverName) => {
      const egress = await serve();
      const tls = await openTunnel(egress, HOST, { serverName });
      tls.write(`GET / HTTP/1.1\r\nHost: ${serverName}\r\nConnection: close\r\n\r\n`);
      expect(denialOfRaw((await readAll(tls)).text)).toMatchObject({ status: 403, code: "sni-mismatch" });
      expect(requests).toEqual([]);
      expect((await egress.waitFor("egress.denied"))[0]).toMatchObject({ code: "sni-mismatch" });
    },
  );

  it("that is missing is refused", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST, { serverName: null });
    tls.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("sni-mismatch");
  });

  it("for another host is refused over HTTP/2 too, every stream of it", async () => {
    const egress = await serve();
    const socket = await openTunnel(egress, HOST, { serverName: "evil.test", alpn: ["h2"] });
    const session = connectHttp2("https://evil.test", { createConnection: () => socket });
    closing.push(() => session.destroy());
    for (let i = 0; i < 2; i++) {
      const stream = session.request({ ":path": "/" });
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      expect(head).toMatchObject({ ":status": 403, "x-bottle-denied": "sni-mismatch" });
      stream.resume();
    }
  });
});

describe("a Host header", () => {
  const ask = (egress: TestEgress, head: string): Promise<string> =>
    openTunnel(egress, HOST).then((tls) => {
      tls.write(`${head}Connection: close\r\n\r\n`);
      return readAll(tls).then(({ text }) => text);
    });

  it.each([
    ["another host", "GET / HTTP/1.1\r\nHost: evil.test\r\n"],
    ["another allowed host", "GET / HTTP/1.1\r\nHost: x.wild.test\r\n"],
    ["no host", "GET / HTTP/1.1\r\n"],
    ["an empty host", "GET / HTTP/1.1\r\nHost:\r\n"],
    ["two hosts", `GET / HTTP/1.1\r\nHost: ${HOST}\r\nHost: evil.test\r\n`],
    ["a host with another port", `GET / HTTP/1.1\r\nHost: ${HOST}:80\r\n`],
    ["a host with user information", `GET / HTTP/1.1\r\nHost: a@${HOST}\r\n`],
    ["a list", `GET / HTTP/1.1\r\nHost: ${HOST}, evil.test\r\n`],
    ["another host in the request line", `GET https://evil.test/ HTTP/1.1\r\nHost: ${HOST}\r\n`],
    ["another host than the request line's", `GET https://${HOST}/ HTTP/1.1\r\nHost: evil.test\r\n`],
  ])("naming %s is refused", async (_what, head) => {
    const egress = await serve();
    expect(denialOfRaw(await ask(egress, head)).code).toBe("host-mismatch");
    expect(requests).toEqual([]);
  });

  it.each([
    `GET /x HTTP/1.1\r\nHost: ${HOST.toUpperCase()}.:443\r\n`,
    `GET https://${HOST}/x HTTP/1.1\r\nHost: ${HOST}\r\n`,
  ])("naming the same host in another way is not (%j)", async (head) => {
    const egress = await serve();
    expect(await ask(egress, head)).toContain("reached");
    expect(requests).toEqual(["GET /x"]);
  });

  it("must agree with an absolute form outside a tunnel", async () => {
    const egress = await serve();
    const answer = await exchangeRaw(
      egress.port,
      `GET http://${HOST}/ HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n`,
    );
    expect(denialOfRaw(answer).code).toBe("host-mismatch");
  });
});

describe("outside a tunnel", () => {
  const SITE = `http://${HOST}`;
  const named = { host: HOST, method: "GET", path: "/a/b" };

  it.each([
    ["a bare path", "GET /a/b?q=s", "not-a-proxy-request", "GET /a/b", { method: "GET", path: "/a/b" }],
    ["a star", "OPTIONS *", "not-a-proxy-request", "OPTIONS *", { method: "OPTIONS", path: "*" }],
    [
      "https in plaintext",
      `GET https://${HOST}/a/b?q=s`,
      "https-in-plaintext",
      `GET https://${HOST}/a/b`,
      named,
    ],
    ["ftp", `GET ftp://${HOST}/a/b`, "scheme-refused", `GET ftp://${HOST}/a/b`, named],
    ["file", "GET file:///a/b", "scheme-refused", "GET file:///a/b", { ...named, host: "" }],
    ["another port", `GET ${SITE}:8080/a/b?q=s`, "port-refused", `GET ${SITE}:8080/a/b`, named],
    ["the TLS port", `GET ${SITE}:443/a/b`, "port-refused", `GET ${SITE}:443/a/b`, named],
    ["user information", `GET http://me:s3@${HOST}/a/b`, "host-invalid", `GET ${SITE}/a/b`, named],
    [
      "a short address",
      "GET http://127.1/a/b",
      "host-invalid",
      "GET http://127.1/a/b",
      { ...named, host: "127.1" },
    ],
    ["dots", `GET ${SITE}/a/../b?q=s`, "path-refused", `GET ${SITE}/a/../b`, { ...named, path: "/a/../b" }],
    ["TRACE", `TRACE ${SITE}/a/b`, "method-refused", `TRACE ${SITE}/a/b`, { ...named, method: "TRACE" }],
  ])("%s is refused, by the name of what was asked for", async (_what, line, code, target, asked) => {
    const egress = await serve();
    const answer = await exchangeRaw(
      egress.port,
      `${line} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`,
    );
    expect(denialOfRaw(answer)).toMatchObject({ status: 403, code, target, ask: { arguments: asked } });
    expect(await egress.waitFor("egress.denied")).toMatchObject([{ code, target }]);
    expect(answer).not.toMatch(/s3|q=s/);
    expect(requests).toEqual([]);
  });

  it.each([
    [`${HOST}:22`, `CONNECT ${HOST}:22`, HOST],
    [HOST, `CONNECT ${HOST}`, HOST],
    [`me:s3@${HOST}:443`, `CONNECT ${HOST}:443`, HOST],
    ["127.1:443", "CONNECT 127.1:443", "127.1:443"],
    ["[::1]:22", "CONNECT ::1:22", "::1"],
  ])("so is CONNECT to %s", async (url, target, host) => {
    const egress = await serve();
    const answer = denialOfRaw(await exchangeRaw(egress.port, `CONNECT ${url} HTTP/1.1\r\n\r\n`));
    // Of what node's parser does not take, nothing can be told.
    if (answer.code !== "request-malformed")
      expect(answer).toMatchObject({ target, ask: { arguments: { host } } });
    expect(JSON.stringify(answer)).not.toContain("s3");
  });
});

describe("inside a tunnel", () => {
  it.each([
    ["GET https://evil.test/a?q=s", HOST, "GET https://evil.test/a", "evil.test"],
    ["GET http://me:s3@evil.test/a", HOST, "GET http://evil.test/a", "evil.test"],
    ["TRACE /a?q=s", HOST, `TRACE https://${HOST}/a`, HOST],
    ["GET /a?q=s", "evil.test", `GET https://${HOST}/a`, HOST],
  ])("%s (Host: %s) is refused by the name of what it asks for", async (line, authority, target, host) => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    tls.write(`${line} HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`);
    const { text } = await readAll(tls);
    expect(denialOfRaw(text)).toMatchObject({ target, ask: { arguments: { host, path: "/a" } } });
    expect(text).not.toMatch(/s3|q=s/);
  });
});

describe("what is no proper HTTP", () => {
  it.each([
    ["nonsense", "nonsense\r\n\r\n", "request-malformed"],
    ["HTTP/2 without TLS", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "request-malformed"],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00", "request-malformed"],
    ["SOCKS", "\x05\x01\x00", "request-malformed"],
    [
      "a NUL in a header",
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nX: a\0b\r\n\r\n`,
      "request-malformed",
    ],
    ["a space before a colon", `GET http://${HOST}/ HTTP/1.1\r\nHost : ${HOST}\r\n\r\n`, "request-malformed"],
    ["a bare CR", `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\rX: y\r\n\r\n`, "request-malformed"],
    [
      "two lengths",
      `POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab`,
      "request-malformed",
    ],
    [
      "a length and chunks",
      `POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      "request-malformed",
    ],
    [
      "another transfer coding",
      `POST http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nTransfer-Encoding: gzip, chunked\r\nConnection: close\r\n\r\n0\r\n\r\n`,
      "framing-refused",
    ],
    ["a head without end", `GET http://${HOST}/ HTTP/1.1\r\nX: ${"x".repeat(40_000)}`, "head-too-large"],
    [
      "too many headers",
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n${"a:b\r\n".repeat(300)}Connection: close\r\n\r\n`,
      "head-too-large",
    ],
  ])("%s is refused", async (_what, bytes, code) => {
    const egress = await serve();
    const answer = denialOfRaw(await exchangeRaw(egress.port, Buffer.from(bytes, "latin1")));
    expect(answer.code).toBe(code);
    expect(answer.status).toBe({ "head-too-large": 431, "request-malformed": 400 }[code] ?? 403);
    expect(requests).toEqual([]);
    expect(await egress.waitFor("egress.denied")).toHaveLength(1);
  });

  it("in a tunnel is refused alike", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    tls.write(
      `POST / HTTP/1.1\r\nHost: ${HOST}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    );
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("request-malformed");
    expect(requests).toEqual([]);
  });

  it("never lets a folded header or a smuggled request through", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    const inner = "GET /smuggled HTTP/1.1\r\nHost: evil.test\r\n\r\n";
    tls.write(
      `POST /outer HTTP/1.1\r\nHost: ${HOST}\r\nX-A: b\r\n Content-Length: 0\r\nContent-Length: ${inner.length}\r\nConnection: close\r\n\r\n${inner}`,
    );
    await readAll(tls);
    expect(requests.filter((request) => request.includes("smuggled"))).toEqual([]);
  });

  it("over HTTP/2: a body longer than its length never becomes a second request", async () => {
    const egress = await serve();
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    session.on("error", () => {});
    closing.push(() => session.destroy());
    const stream = session.request({ ":method": "POST", ":path": "/outer", "content-length": "5" });
    stream.on("error", () => {});
    stream.resume();
    stream.end("12345GET /smuggled HTTP/1.1\r\nHost: api.example.test\r\n\r\n");
    await new Promise((resolve) => stream.once("close", resolve));
    const next = await curl(egress, `https://${HOST}/after`);
    expect(next.stdout).toBe("reached");
    expect(requests.filter((request) => request.includes("smuggled"))).toEqual([]);
  });
});

describe("an upgrade", () => {
  it.each(["h2c", "TLS/1.0", "websocket, h2c", "foo"])("to %s is refused", async (protocol) => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    tls.write(
      `GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AA\r\n\r\n`,
    );
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("upgrade-refused");
    expect(requests).toEqual([]);
  });

  it("to a WebSocket with another method than GET is refused", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, HOST);
    tls.write(`POST / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`);
    expect(denialOfRaw((await readAll(tls)).text).code).toBe("upgrade-refused");
  });
});

describe("regression:", () => {
  it.each([
    ["CONNECT", `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`],
    [
      "an upgrade",
      `GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ],
  ])(
    "%s behind a request that is not answered yet ends the connection, and not egress",
    async (_what, next) => {
      const silent = await tcpUpstream(() => {});
      const egress = await testEgress({
        routes: [route({ host: HOST, connectTo: { host: "127.0.0.1", port: silent.port } })],
      });
      closing.push(
        () => silent.close(),
        () => egress.stop(),
      );
      const socket = await dialProxy(egress.port);
      const answer = readAll(socket);
      socket.write(`GET http://${HOST}/ HTTP/1.1\r\nHost: ${HOST}\r\n\r\n${next}`);
      expect((await answer).text).toBe("");
      expect((await egress.waitFor("egress.allowed"))[0]).toMatchObject({ status: 0, complete: false });
    },
  );

  it("an HTTP/2 client that hangs up is noticed at once", async () => {
    const egress = await serve();
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    await once(session, "remoteSettings");
    const closed = new Promise((resolve) => socket.once("close", resolve));
    // No GOAWAY: just the end of the connection, as when the process is killed.
    socket.end();
    await closed;
  });
});

describe("rules", () => {
  it.each([
    ["/public/../admin", "path-refused"],
    ["/public/%2e%2e/admin", "path-refused"],
    ["/public/..;/admin", "path-refused"],
    ["/public/..%2fadmin", "path-ambiguous"],
    ["/public//admin", "path-ambiguous"],
    ["/public/%5c..%5cadmin", "path-ambiguous"],
    ["/public/%252e%252e/admin", "path-ambiguous"],
    ["/public;/../admin", "path-refused"],
    ["/PUBLIC/x", "path-not-allowed"],
    ["/publicity", "path-not-allowed"],
    ["/admin", "path-not-allowed"],
  ])("are not got around by %s", async (path, code) => {
    const egress = await serve();
    const { stdout } = await curl(egress, "--path-as-is", `https://ruled.test${path}`);
    expect(denialIn(stdout).code).toBe(code);
    expect(requests).toEqual([]);
  });

  it("say which one stood in the way, and what to ask for", async () => {
    const egress = await serve();
    const { stdout } = await curl(egress, "-d", "x", "https://ruled.test/public/x?secret=1");
    expect(denialIn(stdout)).toEqual({
      code: "method-not-allowed",
      reason: "the path is covered, but not with this method",
      target: "POST https://ruled.test/public/x",
      rule: "route ruled.test: GET on /public/*",
      ask: { tool: "request_access", arguments: { host: "ruled.test", method: "POST", path: "/public/x" } },
    });
  });

  it("leave the connection usable after a refusal, and take the refused body off it", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, "ruled.test");
    let text = "";
    tls.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    const body = "x".repeat(200_000);
    tls.write(`POST /public/a HTTP/1.1\r\nHost: ruled.test\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    await until(() => text.includes("method-not-allowed"));
    tls.write("GET /nowhere HTTP/1.1\r\nHost: ruled.test\r\nConnection: close\r\n\r\n");
    await until(() => text.includes("path-not-allowed"));
    tls.destroy();
  });

  it("cut off a client that keeps sending a refused body", async () => {
    const egress = await serve();
    const tls = await openTunnel(egress, "ruled.test");
    const answer = readAll(tls);
    tls.write("POST /public/a HTTP/1.1\r\nHost: ruled.test\r\nContent-Length: 1000000000000\r\n\r\n");
    const block = Buffer.alloc(64 * 1024);
    const total = 1_000_000_000_000;
    let poured = 0;
    const pour = (): void => {
      while (!tls.destroyed && poured < total) {
        poured += block.length;
        if (!tls.write(block)) return;
      }
    };
    tls.on("drain", pour);
    pour();
    expect((await answer).text).toContain("method-not-allowed");
    expect(poured).toBeLessThan(total);
  });
});

describe("the bearer", () => {
  const bearer = ["bearer", "of", "test"].join("-");
  const basic = Buffer.from(`bottle:${bearer}`).toString("base64");

  it("is asked for by 407 on CONNECT and on absolute form, before anything else is said", async () => {
    const egress = await serve({ config: { bearer } });
    for (const line of [
      `CONNECT ${HOST}:443`,
      `GET http://${HOST}/`,
      "CONNECT evil.test:443",
      "GET http://evil.test/",
    ]) {
      const answer = await exchangeRaw(
        egress.port,
        `${line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toContain('Proxy-Authenticate: Basic realm="bottle"');
      expect(denialOfRaw(answer)).toMatchObject({ status: 407, code: "bearer-required" });
    }
    expect(JSON.stringify(egress.messages)).not.toContain(bearer);
  });

  it("opens CONNECT and absolute form, and does not travel on", async () => {
    const egress = await serve({ config: { bearer } });
    const tls = await openTunnel(egress, HOST, { headers: `Proxy-Authorization: Bearer ${bearer}\r\n` });
    tls.destroy();
    const proxy = `http://bottle:${bearer}@127.0.0.1:${egress.port}`;
    const answer = await curl(egress, "--proxy", proxy, `https://${HOST}/`);
    expect(answer.stdout).toBe("reached");
    const wrong = await exchangeRaw(
      egress.port,
      `GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: Basic ${basic}\r\nConnection: close\r\n\r\n`,
    );
    expect(denialOfRaw(wrong).code).toBe("host-not-allowed");
  });
});
