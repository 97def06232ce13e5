/**
 * Hostile bytes against the HTTP front, in tunnels and outside, HTTP/1 and HTTP/2 and TLS, while an honest
 * client goes on working. Whatever is sent: no request that the rules do not allow reaches the upstream, no
 * credential but ours does, and egress does not fall over.
 *
 * Replay with FUZZ_SEED=<the seed it printed>.
 */
import type { Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeCertificateAuthority } from "../../demo/upstreams/certificate-authority.ts";
import {
  curl,
  dialProxy,
  openTunnel,
  readHead,
  route,
  type TestEgress,
  testEgress,
} from "../support/egress.ts";
import { fuzzRun, LONGER_SUITE_MS } from "../support/fuzz-run.ts";
import { dice } from "../support/random.ts";
import { httpsUpstream, type Upstream } from "../support/tls-upstream.ts";

const HOST = "api.example.test";
const TOKEN = ["Bearer", "the-real-one"].join(" ");
const { seed, milliseconds, timeout } = fuzzRun("egress", LONGER_SUITE_MS);
/** How long one hostile connection may take before the next begins. */
const PATIENCE_MS = 25;

const { random, below, pick, mostly } = dice(seed, 0.75);

const HOSTS = [
  HOST,
  HOST.toUpperCase(),
  `${HOST}.`,
  `${HOST}:443`,
  `${HOST}:80`,
  "evil.test",
  "127.0.0.1",
  "",
  `${HOST},evil.test`,
  `a@${HOST}`,
];
const PATHS = [
  "/public/x",
  "/public",
  "/public/../admin",
  "/public/%2e%2e/admin",
  "/public/..%2fadmin",
  "/public//admin",
  "/public;/admin",
  "/admin",
  "/PUBLIC",
  "*",
  "",
  "//public",
  "/public/\\..\\admin",
  "/public/x?..",
  "/public#/../admin",
];
const METHODS = ["GET", "HEAD", "POST", "CONNECT", "TRACE", "PRI", "get", "G\tET", "OPTIONS"];
const VERSIONS = ["HTTP/1.1", "HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "http/1.1", ""];
const HEADERS = [
  "Authorization: fake",
  "X_Api_Key: fake",
  "Proxy-Authorization: fake",
  "Content-Length: 5",
  "Content-Length: 50",
  "Content-Length: -1",
  "Content-Length: 5, 5",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding : chunked",
  "Transfer_Encoding: chunked",
  "Connection: close",
  "Connection: upgrade, authorization",
  "Connection: keep-alive, host",
  "Upgrade: websocket",
  "Upgrade: h2c",
  "Expect: 100-continue",
  "Expect: something",
  "X-HTTP-Method-Override: DELETE",
  "X-Original-URL: /admin",
  " folded",
  "\tfolded: too",
  "X: \0",
  "X: \r",
  ": nameless",
  "é: é",
  `X: ${"y".repeat(9_000)}`,
];
const BODIES = [
  "",
  "hello",
  "5\r\nhello\r\n0\r\n\r\n",
  "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: evil.test\r\n\r\n",
  "ffffffffff\r\n",
  "-1\r\n",
  "0;x=y\r\nA: b\r\n\r\n",
];
const EOLS = ["\r\n", "\n", "\r", "\r\r\n"];

function http1(absolute: boolean): Buffer {
  let text = "";
  for (let requests = 1 + below(3); requests > 0; requests--) {
    const host = mostly(HOSTS);
    const prefix = absolute
      ? mostly([`http://${host}`, `https://${host}`, ""])
      : pick(["", "", `https://${host}`]);
    const eol = mostly(EOLS);
    text += `${mostly(METHODS)} ${prefix}${mostly(PATHS)} ${mostly(VERSIONS)}${eol}`;
    text += `${mostly(["Host", "host", "HOST", "X"])}: ${mostly(HOSTS)}${eol}`;
    for (let headers = below(5); headers > 0; headers--) text += `${pick(HEADERS)}${eol}`;
    text += eol + mostly(BODIES);
  }
  const bytes = Buffer.from(text, "latin1");
  return random() < 0.5 ? bytes : mutated(bytes);
}

/** A frame of HTTP/2 with any type, flags and stream. */
function frame(): Buffer {
  const payload = Buffer.from(Array.from({ length: below(60) }, () => below(256)));
  const head = Buffer.alloc(9);
  head.writeUIntBE(random() < 0.9 ? payload.length : below(2 ** 24), 0, 3);
  head[3] = below(12);
  head[4] = below(256);
  head.writeUInt32BE(pick([0, 1, 1, 3, 5, 2, 2 ** 31 - 1]), 5);
  return Buffer.concat([head, payload]);
}

/** Headers in HPACK without indexing. */
function headersFrame(stream: number): Buffer {
  const literal = (name: string, value: string): Buffer => {
    const bytes = [
      0,
      name.length,
      ...Buffer.from(name, "latin1"),
      Math.min(value.length, 126),
      ...Buffer.from(value, "latin1").subarray(0, 126),
    ];
    return Buffer.from(bytes);
  };
  const block = Buffer.concat([
    literal(":method", mostly(METHODS)),
    literal(":scheme", mostly(["https", "http", "x"])),
    literal(":authority", mostly(HOSTS)),
    literal(":path", mostly(PATHS)),
    ...HEADERS.filter(() => random() < 0.04).map((header) => {
      const [name = "", value = ""] = header.split(/: ?/);
      return literal(name.toLowerCase(), value);
    }),
  ]);
  const head = Buffer.alloc(9);
  head.writeUIntBE(block.length, 0, 3);
  head[3] = 1;
  head[4] = mostly([0x5, 0x4, 0x0]);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, block]);
}

function http2(): Buffer {
  const parts: Buffer[] = [
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ];
  for (let n = 1 + below(6), stream = 1; n > 0; n--) {
    if (random() < 0.6) {
      parts.push(headersFrame(stream));
      stream += 2;
    } else parts.push(frame());
  }
  const bytes = Buffer.concat(parts);
  return random() < 0.5 ? bytes : mutated(bytes);
}

function mutated(bytes: Buffer): Buffer {
  let result: Buffer = bytes;
  for (let changes = below(4); changes > 0; changes--) {
    const at = below(result.length);
    const to = at + below(12);
    const rest = result.subarray(to);
    const middle = pick<Buffer>([
      Buffer.alloc(0),
      Buffer.from([below(256)]),
      Buffer.from(Array.from({ length: below(20) }, () => below(256))),
      result.subarray(at, to + below(40)),
    ]);
    result = Buffer.concat([result.subarray(0, at), middle, rest]);
  }
  return result;
}

/** However it is read. */
function isPublic(path: string): boolean {
  return /^\/public(?:\/|$)/.test(path) && !/\/\.{1,2}(?:\/|$)|\/\/|[;\\]|%2[ef5]|%5c|%00/i.test(path);
}

function isCredential(name: string): boolean {
  return ["authorization", "x-api-key", "proxy-authorization"].includes(
    name.toLowerCase().replace(/[^a-z]/g, "-"),
  );
}

let egress: TestEgress;
let upstream: Upstream;
const violations: string[] = [];
let reached = 0;

beforeAll(async () => {
  const root = await makeCertificateAuthority("test root");
  upstream = await httpsUpstream(await root.issue([HOST]), (request, response) => {
    const { method = "", url = "", headers, rawHeaders } = request;
    reached += 1;
    const path = url.split("?")[0] ?? "";
    if (!["GET", "HEAD"].includes(method) || !isPublic(path)) violations.push(`${method} ${url}`);
    if (headers.host !== HOST) violations.push(`Host: ${headers.host}`);
    if (headers.authorization !== TOKEN) violations.push(`Authorization: ${headers.authorization}`);
    const forged = rawHeaders.filter((text, i) => text === "fake" && isCredential(rawHeaders[i - 1] ?? ""));
    if (forged.length > 0) violations.push(`fake in ${JSON.stringify(rawHeaders)}`);
    request.resume();
    response.end("fine");
  });
  egress = await testEgress({
    routes: [
      route({
        host: HOST,
        connectTo: { host: "127.0.0.1", port: upstream.port },
        matches: [{ methods: ["GET", "HEAD"], paths: [{ type: "prefix", value: "/public" }] }],
        credentialHeaders: ["x-api-key"],
        inject: [{ header: "authorization", value: TOKEN }],
      }),
    ],
    upstreamCa: [root.certificate],
  });
});

afterAll(async () => {
  egress.stop();
  await upstream.close();
});

/** Sends in pieces, reads a while, hangs up in one way or the other. */
async function throwAt(socket: Socket, bytes: Buffer): Promise<void> {
  socket.on("error", () => {});
  socket.resume();
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  for (let at = 0; at < bytes.length && !socket.destroyed; ) {
    const size = random() < 0.7 ? bytes.length : 1 + below(40);
    socket.write(bytes.subarray(at, at + size));
    at += size;
    if (random() < 0.2) await new Promise((resolve) => setImmediate(resolve));
  }
  if (random() < 0.5) socket.end();
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
  if (random() < 0.3 && !("encrypted" in socket)) socket.resetAndDestroy();
  else socket.destroy();
}

async function hostile(): Promise<void> {
  switch (below(5)) {
    case 0:
      return throwAt(await dialProxy(egress.port), http1(true));
    case 1: {
      const socket = await dialProxy(egress.port);
      const target = mostly([`${HOST}:443`, ...HOSTS]);
      return throwAt(
        socket,
        Buffer.concat([Buffer.from(`CONNECT ${target} HTTP/1.1\r\n\r\n`), pick([http1(false), http2()])]),
      );
    }
    case 2: {
      const socket = await dialProxy(egress.port);
      socket.write(`CONNECT ${HOST}:443 HTTP/1.1\r\n\r\n`);
      await readHead(socket);
      const record = Buffer.from([
        22,
        3,
        1,
        0,
        60,
        1,
        0,
        0,
        56,
        3,
        3,
        ...Array.from({ length: 54 }, () => below(256)),
      ]);
      return throwAt(socket, mutated(record));
    }
    case 3:
      return throwAt(await openTunnel(egress, HOST), http1(false));
    default:
      return throwAt(await openTunnel(egress, HOST, { alpn: ["h2"] }), http2());
  }
}

describe("hostile bytes", () => {
  it(
    "reach nothing, and an honest client goes on working",
    async () => {
      const deadline = Date.now() + milliseconds;
      let rounds = 0;
      while (Date.now() < deadline) {
        await Promise.all(Array.from({ length: 6 }, hostile));
        rounds += 6;
        if (rounds % 120 === 0) {
          const version = pick(["--http1.1", "--http2"]);
          const honest = await curl(egress, version, `https://${HOST}/public/honest`);
          expect(honest).toMatchObject({ stdout: "fine", exitCode: 0 });
        }
        expect(violations, `seed ${seed}, ${rounds} rounds`).toEqual([]);
      }
      // Some must have got through, or nothing was tried.
      expect(reached).toBeGreaterThan(0);
      expect(egress.events("egress.denied").length).toBeGreaterThan(0);
      console.log(`${rounds} hostile connections, ${reached} requests reached the upstream`);
    },
    timeout,
  );
});
