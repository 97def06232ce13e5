import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
  type ServerIdentity,
} from "../../../demo/upstreams/certificate-authority.ts";
import { closesAfterEach } from "../../support/closing.ts";
import {
  curl,
  dialProxy,
  openTunnel,
  type RouteOptions,
  readHead,
  route,
  type TestEgress,
  testEgress,
  until,
} from "../../support/egress.ts";
import { httpsUpstream, httpUpstream, type Upstream } from "../../support/tls-upstream.ts";

const HOST = "api.example.test";

let root: CertificateAuthority;
let own: ServerIdentity;
const closing = closesAfterEach();

beforeAll(async () => {
  root = await makeCertificateAuthority("test root");
  own = await root.issue([HOST, "other.example.test"]);
});

interface Served {
  readonly egress: TestEgress;
  readonly upstream: Upstream;
  /** Flat: name, value, of each request that the upstream got. */
  readonly heads: readonly (readonly string[])[];
}

/** Egress with one route to an upstream that answers with `listener`. */
async function serve(listener: RequestListener, options: Partial<RouteOptions> = {}): Promise<Served> {
  const heads: (readonly string[])[] = [];
  const upstream = await httpsUpstream(own, (request, response) => {
    heads.push(request.rawHeaders);
    listener(request, response);
  });
  const connectTo = { host: "127.0.0.1", port: upstream.port };
  const egress = await testEgress({
    routes: [route({ host: HOST, connectTo, ...options })],
    upstreamCa: [root.certificate],
  });
  closing.push(
    () => upstream.close(),
    () => egress.stop(),
  );
  return { egress, upstream, heads };
}

const valuesOf = (head: readonly string[] | undefined, name: string): readonly string[] =>
  head?.filter((_, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name) ?? [];

/** Answers with what it got. */
const echo: RequestListener = (request, response) => {
  const hash = createHash("sha256");
  let size = 0;
  request.on("data", (chunk: Buffer) => {
    size += chunk.length;
    hash.update(chunk);
  });
  request.on("end", () => {
    const { method, url, rawHeaders, httpVersion } = request;
    response.end(JSON.stringify({ method, url, rawHeaders, httpVersion, size, sha256: hash.digest("hex") }));
  });
};

interface Echoed {
  method: string;
  url: string;
  rawHeaders: string[];
  size: number;
  sha256: string;
}

function echoed(text: string): Echoed & { header(name: string): readonly string[] } {
  const value = JSON.parse(text) as Echoed;
  return { ...value, header: (name) => valuesOf(value.rawHeaders, name) };
}

const VERSIONS = ["--http1.1", "--http2"] as const;

describe.each(VERSIONS)("curl %s through CONNECT", (version) => {
  it("reaches the upstream under a certificate of the bottle's CA", async () => {
    const { egress, upstream } = await serve(echo);
    const answer = await curl(egress, version, "-w", "%{http_version}", `https://${HOST}/a/b?c=d&e=%zz`);
    expect(answer).toMatchObject({ exitCode: 0, stderr: "" });
    expect(answer.stdout.endsWith(version === "--http2" ? "2" : "1.1")).toBe(true);
    const got = echoed(answer.stdout.replace(/(2|1\.1)$/, ""));
    expect(got).toMatchObject({ method: "GET", url: "/a/b?c=d&e=%zz", size: 0 });
    expect(got.header("host")).toEqual([HOST]);
    expect(upstream.accepted()).toBe(1);
    expect(await egress.waitFor("egress.allowed")).toEqual([
      {
        method: "GET",
        host: HOST,
        path: "/a/b",
        via: "http",
        status: 200,
        up: 0,
        down: Buffer.byteLength(answer.stdout.replace(/(2|1\.1)$/, "")),
        ms: expect.any(Number) as number,
        credential: [],
        complete: true,
      },
    ]);
  });

  it("sends a body whole, of a stated length and without one", async () => {
    const { egress } = await serve(echo);
    const dir = await mkdtemp(join(tmpdir(), "egress-body-"));
    closing.push(() => rm(dir, { recursive: true }));
    const body = Buffer.alloc(3_000_017, "body");
    await writeFile(join(dir, "body"), body);
    const sha256 = createHash("sha256").update(body).digest("hex");
    for (const how of [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect:"]]) {
      const upload = ["--data-binary", `@${join(dir, "body")}`, ...how];
      const { stdout, stderr } = await curl(egress, version, ...upload, `https://${HOST}/up`);
      expect(stderr).toBe("");
      expect(echoed(stdout)).toMatchObject({ method: "POST", size: body.length, sha256 });
    }
  });

  it("gets heads without a body as they are", async () => {
    const { egress } = await serve((request, response) => {
      const status = Number(request.url?.slice(1));
      response.writeHead(status, status === 304 || request.method === "HEAD" ? { "Content-Length": 5 } : {});
      response.end();
    });
    for (const [path, ...args] of [["204"], ["304"], ["200", "--head"]] as const) {
      const { stdout, exitCode } = await curl(
        egress,
        version,
        "-i",
        "--suppress-connect-headers",
        ...args,
        `https://${HOST}/${path}`,
      );
      expect(exitCode).toBe(0);
      expect(stdout).toMatch(new RegExp(`^HTTP/(2|1.1) ${path}`));
    }
    expect(await egress.waitFor("egress.allowed", 3)).toHaveLength(3);
  });

  it("strips credential headers in any spelling and injects the route's, on that route alone", async () => {
    const token = ["sk", "real", "token"].join("-");
    const { egress, heads } = await serve(echo, {
      credentialHeaders: ["authorization", "x-api-key"],
      inject: [
        { header: "Authorization", value: `Bearer ${token}` },
        { header: "x-api-key", value: token },
      ],
      matches: [{ paths: [{ type: "prefix", value: "/v1" }] }],
    });
    const fakes = [
      "authorization: fake",
      "X-Api-Key: fake",
      "x_api_key: fake",
      "x.api.key: fake",
      "Proxy-Authorization: fake",
    ];
    const args = fakes.flatMap((fake) => ["-H", fake]);
    const answer = await curl(egress, version, ...args, `https://${HOST}/v1/x`);
    expect(valuesOf(heads[0], "authorization")).toEqual([`Bearer ${token}`]);
    expect(valuesOf(heads[0], "x-api-key")).toEqual([token]);
    expect(JSON.stringify(heads)).not.toContain("fake");
    // What the upstream repeats of it comes back without it, in the same length.
    const masked = "X".repeat(token.length);
    expect(echoed(answer.stdout).header("authorization")).toEqual([`Bearer ${masked}`]);
    expect(echoed(answer.stdout).header("x-api-key")).toEqual([masked]);
    const denied = await curl(egress, version, ...args, `https://${HOST}/v2/x`);
    expect(denied.stdout).toContain("path-not-allowed");
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({ credential: ["authorization", "x-api-key"] });
    expect(JSON.stringify([egress.messages, answer, denied])).not.toContain(token);
    expect(heads).toHaveLength(1);
  });

  it("passes the answer's head on, but for what is about the upstream's connection or only ours to say", async () => {
    const { egress } = await serve((_request, response) => {
      response.writeHead(418, "Short and stout", [
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
        ["X-Upstream", "yes"],
        ["Alt-Svc", 'h3=":443"'],
        ["X-Bottle-Denied", "host-not-allowed"],
        ["Keep-Alive", "timeout=7"],
      ]);
      response.end("tea");
    });
    const { stdout } = await curl(egress, version, "-i", "--suppress-connect-headers", `https://${HOST}/`);
    const head = stdout.toLowerCase();
    expect(head).toContain(" 418");
    expect(head).toContain("set-cookie: a=1\r\nset-cookie: b=2\r\n");
    expect(head).toContain("x-upstream: yes");
    expect(head).not.toMatch(/alt-svc|x-bottle|keep-alive: timeout/);
    expect(stdout.endsWith("tea")).toBe(true);
  });

  it("answers an Expect: 100-continue itself, because it wants the body first; what the upstream says comes after", async () => {
    const { egress, upstream, heads } = await serve((request, response) => {
      if (request.url === "/no") response.writeHead(413).end("too large");
      else echo(request, response);
    });
    const asked: boolean[] = [];
    upstream.server.on("checkContinue", () => asked.push(true));
    const expect100 = ["-H", "Expect: 100-continue", "--expect100-timeout", "20", "-d", "hello"];
    const yes = await curl(egress, version, "-v", ...expect100, `https://${HOST}/yes`);
    expect(yes.stderr).toMatch(/^< HTTP\/(2|1.1) 100/m);
    expect(echoed(yes.stdout)).toMatchObject({ size: 5 });
    expect(valuesOf(heads[0], "expect")).toEqual([]);
    const no = await curl(egress, version, "-w", " %{http_code}", ...expect100, `https://${HOST}/no`);
    expect(no.stdout).toBe("too large 413");
    const refused = await curl(egress, version, "-v", ...expect100, "https://evil.example.test/");
    expect(refused.stdout).toContain("host-not-allowed");
    expect(refused.stderr).not.toMatch(/^< HTTP\/(2|1.1) 100/m);
    expect(asked).toEqual([]);
    expect(heads).toHaveLength(2);
  });
});

describe("absolute form", () => {
  it("reaches a plain upstream over http, with the same rules", async () => {
    const upstream = await httpUpstream(echo);
    const connectTo = { host: "127.0.0.1", port: upstream.port };
    const matches = [{ methods: ["GET"] }];
    const egress = await testEgress({ routes: [route({ host: HOST, connectTo, matches })] });
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const got = echoed((await curl(egress, `http://${HOST}/p?q`)).stdout);
    expect(got).toMatchObject({ url: "/p?q" });
    expect(got.header("proxy-connection")).toEqual([]);
    expect((await curl(egress, "-d", "x", `http://${HOST}/p`)).stdout).toContain("method-not-allowed");
  });

  it("reaches it through CONNECT to port 80 too, as some clients do, with the same rules", async () => {
    const upstream = await httpUpstream(echo);
    const connectTo = { host: "127.0.0.1", port: upstream.port };
    const matches = [{ methods: ["GET"] }];
    const egress = await testEgress({ routes: [route({ host: HOST, connectTo, matches })] });
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const tunnelled = ["--proxytunnel", `http://${HOST}/p`];
    const got = await curl(egress, ...tunnelled, `http://${HOST}/q`);
    expect(got.stdout).toContain('"url":"/p"');
    expect(got.stdout).toContain('"url":"/q"');
    expect((await curl(egress, "-d", "x", ...tunnelled)).stdout).toContain("method-not-allowed");
    expect((await curl(egress, "-H", "Host: evil.test", ...tunnelled)).stdout).toContain("host-mismatch");
    const socket = await dialProxy(egress.port);
    closing.push(() => socket.destroy());
    // Together with CONNECT, and then what is no HTTP.
    socket.write(`CONNECT ${HOST}:80 HTTP/1.1\r\n\r\nGET /early HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    expect(await readHead(socket)).toContain("200 Connection Established");
    expect(await readHead(socket)).toContain("200 OK");
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.resume();
    await until(() => text.includes('"/early"'));
    socket.write(Buffer.from("\x16\x03\x01\x02\x00", "latin1"));
    await until(() => text.includes("request-malformed"));
  });

  it("never carries a credential over http, but to this machine itself", async () => {
    const credentials: unknown[] = [];
    const upstream = await httpUpstream((request, response) => {
      credentials.push(request.headers.authorization);
      response.end();
    });
    const inject = [{ header: "authorization", value: ["to", "ken"].join("") }];
    const egress = await testEgress(
      {
        routes: [
          route({ host: HOST, inject, connectTo: { host: "elsewhere.test", port: upstream.port } }),
          route({ host: "here.test", inject, connectTo: { host: "127.0.0.1", port: upstream.port } }),
        ],
      },
      { resolve: () => Promise.reject(new Error("nothing may be resolved")) },
    );
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    expect((await curl(egress, `http://${HOST}/`)).stdout).toContain("plaintext-credential");
    expect(upstream.accepted()).toBe(0);
    await curl(egress, "http://here.test/");
    expect(credentials).toEqual(["token"]);
  });
});

describe("HTTP/2 from the guest", () => {
  it("becomes proper HTTP/1.1: pseudo headers gone, cookies in one header, many streams at once", async () => {
    const { egress, upstream } = await serve(echo);
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    expect(socket.alpnProtocol).toBe("h2");
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    const one = async (path: string): Promise<string> => {
      const stream = session.request({ ":path": path, cookie: ["a=1", "b=2"], te: "trailers", "x-one": "1" });
      let text = "";
      for await (const chunk of stream) text += String(chunk);
      return text;
    };
    const paths = Array.from({ length: 20 }, (_, i) => `/stream/${i}`);
    const answers = (await Promise.all(paths.map(one))).map(echoed);
    expect(answers.map((answer) => answer.url)).toEqual(paths);
    for (const answer of answers) {
      expect(answer.header("cookie")).toEqual(["a=1; b=2"]);
      expect(answer.header("te")).toEqual([]);
      expect(answer.header("host")).toEqual([HOST]);
      expect(answer.rawHeaders.some((name) => name.startsWith(":"))).toBe(false);
    }
    expect(upstream.accepted()).toBeLessThanOrEqual(20);
    expect(await egress.waitFor("egress.allowed", 20)).toHaveLength(20);
  });

  it("gets an answer in which a header is there twice, although HTTP/2 has room for one", async () => {
    const { egress } = await serve((_request, response) => {
      response.writeHead(200, [
        ["X-Content-Type-Options", "nosniff"],
        ["X-Content-Type-Options", "nosniff"],
        ["Content-Type", "text/plain"],
        ["Content-Type", "text/html"],
        ["Set-Cookie", "a"],
        ["Set-Cookie", "a"],
        ["Vary", "one"],
        ["Vary", "two"],
      ]);
      response.end("ok");
    });
    const { stdout } = await curl(egress, "--http2", "-i", "--suppress-connect-headers", `https://${HOST}/`);
    expect(stdout).toMatch(/^HTTP\/2 200/);
    expect(stdout.match(/x-content-type-options/g)).toHaveLength(1);
    expect(stdout).toContain("content-type: text/plain\r\n");
    expect(stdout.match(/set-cookie: a/g)).toHaveLength(2);
    expect(stdout.endsWith("ok")).toBe(true);
  });

  it("cannot name another host in :authority or Host, use another scheme or method spelling", async () => {
    const { egress, upstream } = await serve(echo);
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    const ask = async (headers: Record<string, string>): Promise<unknown> => {
      const stream = session.request({ ":path": "/", ...headers });
      stream.resume();
      return once(stream, "response").then(
        ([head]: Record<string, unknown>[]) => head?.["x-bottle-denied"] ?? head?.[":status"],
        (error: Error) => error.message,
      );
    };
    expect(await ask({ ":authority": "evil.test" })).toBe("host-mismatch");
    expect(await ask({ ":authority": HOST, host: "evil.test" })).toBe("host-mismatch");
    expect(await ask({ ":authority": `${HOST}:8443` })).toBe("host-mismatch");
    expect(await ask({ ":authority": `${HOST}:443` })).toBe(200);
    expect(await ask({ ":method": "trace" })).toBe("method-refused");
    expect(await ask({ ":method": "get" })).toBe("method-refused");
    expect(await ask({ ":path": "https://evil.test/" })).toContain("PROTOCOL_ERROR");
    expect(upstream.accepted()).toBe(1);
  });
});

describe("streaming", () => {
  it.each(["http/1.1", "h2"])("delivers server-sent events one by one over %s", async (alpn) => {
    let send: (text: string) => void = () => {};
    const { egress } = await serve((_request, response) => {
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.flushHeaders();
      send = (text) => void response.write(text);
    });
    const socket = await openTunnel(egress, HOST, { alpn: [alpn] });
    closing.push(() => socket.destroy());
    let seen = "";
    if (alpn === "h2") {
      const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
      const stream = session.request({ ":path": "/events" });
      // The head must come although there is no event yet.
      const [head] = (await once(stream, "response")) as [Record<string, unknown>];
      expect(head[":status"]).toBe(200);
      stream.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
      });
    } else {
      socket.write(`GET /events HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
      expect(await readHead(socket)).toContain("200 OK");
      socket.on("data", (chunk: Buffer) => {
        seen += chunk.toString();
      });
      socket.resume();
    }
    for (const event of ["data: one\n\n", "data: two\n\n", "data: three\n\n"]) {
      send(event);
      await until(() => seen.includes(event));
    }
  });

  it.each(VERSIONS)("moves hundreds of megabytes in bounded memory (%s)", async (version) => {
    // Text: it is looked into on its way.
    const block = Buffer.alloc(1024 * 1024, '{"id": 4711, "text": "what it says", "ok": true},\n');
    const blocks = 200;
    const { egress } = await serve((request, response) => {
      request.resume();
      response.writeHead(200, { "Content-Length": blocks * block.length });
      let left = blocks;
      const push = (): void => {
        while (left > 0) {
          left -= 1;
          if (!response.write(block)) {
            response.once("drain", push);
            return;
          }
        }
        response.end();
      };
      push();
    });
    let most = 0;
    const before = process.memoryUsage().rss;
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss - before);
    }, 20);
    // A slow reader: what it does not take must stay upstream.
    const result = await curl(
      egress,
      version,
      "--max-time",
      "55",
      "--limit-rate",
      "150M",
      "-o",
      "/dev/null",
      "-w",
      "%{size_download}",
      `https://${HOST}/`,
    );
    clearInterval(watch);
    expect(result.stdout).toBe(String(blocks * block.length));
    // Egress, upstream and test share this process; holding the body would take at least its size.
    expect(most).toBeLessThan(150 * 1024 * 1024);
  });

  it("stops reading from the upstream while the guest does not read", async () => {
    let written = 0;
    const { egress } = await serve((_request, response) => {
      const block = Buffer.alloc(64 * 1024);
      const push = (): void => {
        while (written < 256 * 1024 * 1024) {
          written += block.length;
          if (!response.write(block)) {
            response.once("drain", push);
            return;
          }
        }
      };
      push();
    });
    const socket = await openTunnel(egress, HOST);
    socket.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await readHead(socket);
    let before = -1;
    await until(() => {
      const still = before === written && written > 0;
      before = written;
      return still;
    });
    expect(written).toBeLessThan(64 * 1024 * 1024);
    socket.destroy();
    const [event] = await egress.waitFor("egress.allowed");
    expect(event).toMatchObject({ complete: false });
  });

  it("passes an answer's trailers on", async () => {
    const { egress } = await serve((_request, response) => {
      response.writeHead(200, { Trailer: "X-Sum" });
      response.write("body");
      response.addTrailers({ "X-Sum": "42", "X-Bottle-Denied": "host-not-allowed" });
      response.end();
    });
    const plain = await openTunnel(egress, HOST);
    plain.write(`GET / HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`);
    let text = "";
    for await (const chunk of plain) text += String(chunk);
    expect(text).toContain("0\r\nX-Sum: 42\r\n\r\n");
    expect(text.toLowerCase()).not.toContain("x-bottle-denied");
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    const stream = session.request({ ":path": "/" });
    const trailers = once(stream, "trailers");
    stream.resume();
    expect((await trailers)[0]).toMatchObject({ "x-sum": "42" });
  });

  it("regression: passes of a trailer that HTTP/2 cannot say twice the first on, and serves on", async () => {
    const { egress } = await serve((_request, response) => {
      response.writeHead(200, { Trailer: "ETag" });
      response.write("body");
      response.addTrailers([
        ["ETag", "a"],
        ["ETag", "b"],
      ] as never);
      response.end();
    });
    const socket = await openTunnel(egress, HOST, { alpn: ["h2"] });
    const session = connectHttp2(`https://${HOST}`, { createConnection: () => socket });
    closing.push(() => session.destroy());
    for (let i = 0; i < 2; i++) {
      const stream = session.request({ ":path": "/" });
      const trailers = once(stream, "trailers");
      stream.resume();
      expect((await trailers)[0]).toMatchObject({ etag: "a" });
    }
  });
});

describe("connections", () => {
  it("to an upstream are kept and used again", async () => {
    const { egress, upstream } = await serve(echo);
    for (let i = 0; i < 3; i++) await curl(egress, `https://${HOST}/${i}`);
    expect(upstream.accepted()).toBe(1);
  });

  it("are never shared between two credentials, or with none", async () => {
    const upstream = await httpsUpstream(own, (request, response) => {
      response.end(JSON.stringify([request.socket.remotePort, request.headers.authorization ?? null]));
    });
    const at = { connectTo: { host: "127.0.0.1", port: upstream.port } };
    const as = (path: string, value?: string) =>
      route({
        host: HOST,
        ...at,
        matches: [{ paths: [{ type: "exact", value: path }] }],
        inject: value === undefined ? [] : [{ header: "authorization", value }],
      });
    const egress = await testEgress({
      routes: [as("/one", "1"), as("/two", "2"), as("/none"), as("/one-again", "1")],
      upstreamCa: [root.certificate],
    });
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const ask = async (path: string) =>
      JSON.parse((await curl(egress, `https://${HOST}${path}`)).stdout) as [number, string | null];
    const one = await ask("/one");
    const two = await ask("/two");
    const none = await ask("/none");
    const again = await ask("/one-again");
    expect([one[1], two[1], none[1], again[1]]).toEqual(["1", "2", null, "1"]);
    expect(new Set([one[0], two[0], none[0]]).size).toBe(3);
    expect(again[0]).toBe(one[0]);
  });

  it("that an upstream closed while they were idle are not a client's problem", async () => {
    const { egress, upstream } = await serve(({ socket }, response) => {
      response.end("ok");
      // Right after the answer, and without saying so before.
      response.on("finish", () => setImmediate(() => socket.destroy()));
    });
    for (let i = 0; i < 5; i++) {
      expect((await curl(egress, `https://${HOST}/${i}`)).stdout).toBe("ok");
    }
    expect(upstream.accepted()).toBe(5);
  });

  it("at once for one new host have one certificate between them", async () => {
    const { egress } = await serve(echo);
    const sockets = await Promise.all(Array.from({ length: 8 }, () => openTunnel(egress, HOST)));
    const serials = new Set(sockets.map((socket) => socket.getPeerCertificate().serialNumber));
    for (const socket of sockets) socket.destroy();
    expect(serials.size).toBe(1);
  });

  it("from a client serve many requests, one after the other and pipelined", async () => {
    const { egress } = await serve(echo);
    const socket = await openTunnel(egress, HOST);
    closing.push(() => socket.destroy());
    const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`;
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.write(request("/1"));
    await until(() => text.includes('"/1"'));
    socket.write(request("/2") + request("/3") + request("/4"));
    await until(() => text.includes('"/4"'));
    const order = [...text.matchAll(/"url":"(\/\d)"/g)].map((match) => match[1]);
    expect(order).toEqual(["/1", "/2", "/3", "/4"]);
  });

  it("to an IP literal work when a route names exactly that address", async () => {
    const upstream = await httpsUpstream(await root.issue(["127.0.0.1"]), echo);
    const egress = await testEgress({
      routes: [route({ host: "127.0.0.1", connectTo: { host: "127.0.0.1", port: upstream.port } })],
      upstreamCa: [root.certificate],
    });
    closing.push(
      () => upstream.close(),
      () => egress.stop(),
    );
    const got = await curl(egress, "--noproxy", "none", "https://127.0.0.1/x");
    expect(echoed(got.stdout).header("host")).toEqual(["127.0.0.1"]);
  });

  it("are opened by a client that sends its hello together with CONNECT, or byte by byte", async () => {
    const { egress } = await serve(echo);
    const { Duplex } = await import("node:stream");
    const { connect } = await import("node:tls");
    const raw = await dialProxy(egress.port);
    closing.push(() => raw.destroy());
    let established = false;
    let text = "";
    const slow = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        if (!established) {
          // Before the answer to CONNECT is there.
          established = true;
          raw.write(
            Buffer.concat([Buffer.from(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`), chunk.subarray(0, 50)]),
          );
          for (const byte of chunk.subarray(50)) raw.write(Buffer.from([byte]));
        } else raw.write(chunk);
        done();
      },
    });
    raw.once("data", (first: Buffer) => {
      const end = first.indexOf("\r\n\r\n") + 4;
      expect(first.subarray(0, end).toString()).toMatch(/^HTTP\/1\.1 200 /);
      if (first.length > end) slow.push(first.subarray(end));
      raw.on("data", (chunk: Buffer) => slow.push(chunk));
    });
    const tls = connect({ socket: slow, servername: HOST, ca: egress.ca.certificate });
    tls.on("error", () => {});
    await once(tls, "secureConnect");
    tls.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    tls.write(`GET /slow HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    await until(() => text.includes('"/slow"'));
  });
});
