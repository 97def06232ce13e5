/**
 * Egress that inspects, before a real TLS upstream that keeps every byte that arrives: tests look at what left, and at
 * all that egress ever said, for values that may be in neither.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import type { TLSSocket } from "node:tls";
import { afterEach, beforeAll } from "vitest";
import {
  type CertificateAuthority,
  makeCertificateAuthority,
  type ServerIdentity,
} from "../../demo/upstreams/certificate-authority.ts";
import { INSPECTED, type RouteInspection } from "../../src/contract/policy.ts";
import type { Denial, EgressPolicy } from "../../src/contract/sidecar.ts";
import type { Limits } from "../../src/sidecars/egress/limits.ts";
import {
  denialIn,
  openTunnel,
  policyOf,
  type RouteOptions,
  readAll,
  route,
  type TestEgress,
  testEgress,
} from "./egress.ts";
import { checksummed } from "./secret-examples/checksummed.ts";
import { tlsUpstream, type Upstream } from "./tls-upstream.ts";

export const HOST = "api.example.test";
/** Below a route for `*.wild.test`. */
export const WILD = "one.wild.test";
export const OTHER = "other.example.test";

/** Only its own form gives it away. */
export const PATTERN = checksummed("ghp_", 30);
/** No form gives it away: the operator said that it is one. */
export const KNOWN = ["tr4ffic", "Lamp", "9Kd2", "WinDow", "77xQ"].join("-");
export const CANARY = `${"q8ZtV1"}${"mYc4RwKb7"}${"PfJ2sXh5"}${"NdGa9LeUo3"}`;
/** Known, and bound to HOST. */
export const BOUND = checksummed("gho_", 30);

export const SECRETS = [
  { kind: "pattern", value: PATTERN, code: "secret-found", detector: "github-token" },
  { kind: "known", value: KNOWN, code: "secret-found", detector: "DEPLOY_KEY" },
  { kind: "canary", value: CANARY, code: "canary-found", detector: "decoy" },
] as const;

export const KNOWN_VALUES: EgressPolicy["known"] = [
  { name: "DEPLOY_KEY", kind: "known", value: KNOWN, to: [] },
  { name: "BOUND_TOKEN", kind: "known", value: BOUND, to: [HOST] },
  { name: "decoy", kind: "canary", value: CANARY, to: [] },
];

export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly trailers: readonly string[];
  readonly body: Buffer;
  header(name: string): string | undefined;
}

export interface InspectedSite {
  readonly egress: TestEgress;
  readonly upstream: Upstream;
  /** Whole requests. */
  readonly arrived: readonly Arrived[];
  /** Requests of which at least the head arrived. */
  readonly begun: number;
  /** All bytes that reached the upstream inside of TLS. */
  wire(): Buffer;
  readonly resolved: readonly string[];
  readonly http: Server;
  /** For a reload with something changed. */
  readonly policy: EgressPolicy;
}

export interface SiteOptions {
  readonly inspection?: Partial<RouteInspection>;
  readonly route?: Partial<RouteOptions>;
  readonly policy?: Partial<EgressPolicy>;
  readonly limits?: Partial<Limits>;
  /** Once the body is there. Default: `reached`. */
  readonly answer?: (response: ServerResponse, request: Arrived) => void;
  /** Instead, at the head. */
  readonly listener?: (request: IncomingMessage, response: ServerResponse) => void;
}

/** Call it in a test file; what it starts ends with each test. */
export function inspectedSites(): {
  serve(options?: SiteOptions): Promise<InspectedSite>;
  onEnd(close: () => unknown): void;
} {
  let root: CertificateAuthority;
  let own: ServerIdentity;
  const closing: (() => unknown)[] = [];
  beforeAll(async () => {
    root = await makeCertificateAuthority("test root");
    own = await root.issue([HOST, OTHER, "*.wild.test", "*.deep.wild.test"]);
  });
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });
  return {
    onEnd: (close) => void closing.push(close),
    async serve(options = {}) {
      const wire: Buffer[] = [];
      const arrived: Arrived[] = [];
      const resolved: string[] = [];
      let begun = 0;
      const http = createServer({ maxHeaderSize: 256 * 1024 }, (request, response) => {
        begun += 1;
        request.on("error", () => {});
        if (options.listener !== undefined) {
          options.listener(request, response);
          return;
        }
        const chunks: Buffer[] = [];
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.on("end", () => {
          const { method = "", url = "", rawHeaders, rawTrailers: trailers } = request;
          const header = (name: string): string | undefined => request.headers[name]?.toString();
          const one = { method, url, rawHeaders, trailers, body: Buffer.concat(chunks), header };
          arrived.push(one);
          if (options.answer === undefined) response.end("reached");
          else options.answer(response, one);
        });
      });
      http.maxHeadersCount = 0;
      const upstream = await tlsUpstream(own, (socket: TLSSocket) => {
        http.emit("connection", socket);
        // Now, because it would take the bytes from under a listener that was there before.
        socket.on("data", (chunk: Buffer) => wire.push(Buffer.from(chunk)));
      });
      const connectTo = { host: "127.0.0.1", port: upstream.port };
      const inspection = { ...INSPECTED, ...options.inspection };
      const to = (host: string) => route({ host, connectTo, inspection, ...options.route });
      // No connect_to: what is not stopped before is asked for here.
      const wild = route({ host: "*.wild.test", inspection, ...options.route });
      const policy = policyOf({
        routes: [to(HOST), to(OTHER), wild],
        known: KNOWN_VALUES,
        upstreamCa: [root.certificate],
        ...options.policy,
      });
      const egress = await testEgress(policy, {
        resolve: (host) => {
          resolved.push(host);
          return Promise.reject(new Error("nothing is resolved here"));
        },
        ...(options.limits && { limits: options.limits }),
      });
      closing.push(
        () => upstream.close(),
        () => egress.stop(),
      );
      return {
        ...{ egress, upstream, arrived, resolved, http, policy },
        get begun() {
          return begun;
        },
        wire: () => Buffer.concat(wire),
      };
    },
  };
}

export interface RawRequest {
  readonly method?: string;
  readonly host?: string;
  readonly path?: string;
  /** Lines without their ends. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** Without it the body's length is stated. */
  readonly chunks?: readonly (string | Buffer)[];
  /** Behind the last chunk; lines without their ends. */
  readonly trailers?: readonly string[];
}

export function requestBytes(asked: RawRequest): Buffer {
  const { method = "POST", host = HOST, path = "/", headers = [], body, chunks, trailers = [] } = asked;
  const framing =
    chunks !== undefined
      ? ["Transfer-Encoding: chunked"]
      : body === undefined
        ? []
        : [`Content-Length: ${Buffer.byteLength(body)}`];
  const head = [`${method} ${path} HTTP/1.1`, `Host: ${host}`, "Connection: close", ...headers, ...framing];
  const parts: Buffer[] = [Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1")];
  if (body !== undefined) parts.push(Buffer.from(body));
  if (chunks !== undefined) {
    for (const chunk of chunks) {
      const bytes = Buffer.from(chunk);
      parts.push(Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n"));
    }
    parts.push(Buffer.from(`0\r\n${trailers.map((line) => `${line}\r\n`).join("")}\r\n`, "latin1"));
  }
  return Buffer.concat(parts);
}

export interface Answer {
  readonly status: number;
  readonly head: string;
  /** Chunks undone. */
  readonly body: Buffer;
  readonly trailers: string;
  /** Broken off before its end. */
  readonly broken: boolean;
  readonly denied: Denial["denied"] | undefined;
  header(name: string): string | undefined;
}

/** One request over a tunnel of its own, byte for byte. */
export async function ask(site: Pick<InspectedSite, "egress">, asked: RawRequest | Buffer): Promise<Answer> {
  const host = Buffer.isBuffer(asked) ? HOST : (asked.host ?? HOST);
  const tls = await openTunnel(site.egress, host.toLowerCase());
  const all = readAll(tls);
  tls.write(Buffer.isBuffer(asked) ? asked : requestBytes(asked));
  return parseAnswer(Buffer.from((await all).text, "latin1"));
}

export function parseAnswer(bytes: Buffer): Answer {
  let at = bytes.indexOf("\r\n\r\n");
  let head = bytes.subarray(0, Math.max(at, 0)).toString("latin1");
  while (/^HTTP\/1\.1 1\d\d/.test(head)) {
    const from = at + 4;
    at = bytes.indexOf("\r\n\r\n", from);
    head = bytes.subarray(from, Math.max(at, from)).toString("latin1");
  }
  const header = (name: string): string | undefined =>
    new RegExp(`^${name}: (.*)$`, "im").exec(head)?.[1]?.trim();
  let body = at < 0 ? Buffer.alloc(0) : bytes.subarray(at + 4);
  let trailers = "";
  let broken = at < 0;
  if (header("transfer-encoding") === "chunked") ({ body, trailers, broken } = unchunked(body));
  else if (header("content-length") !== undefined) broken = Number(header("content-length")) !== body.length;
  const denied = header("x-bottle-denied") === undefined ? undefined : denialIn(body.toString());
  return { status: Number(head.split(" ")[1]), head, body, trailers, broken, denied, header };
}

function unchunked(bytes: Buffer): { body: Buffer; trailers: string; broken: boolean } {
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.subarray(at, end).toString("latin1"), 16);
    if (end < 0 || Number.isNaN(size)) return { body: Buffer.concat(parts), trailers: "", broken: true };
    if (size === 0) {
      const trailers = bytes.subarray(end + 2).toString("latin1");
      return { body: Buffer.concat(parts), trailers, broken: !trailers.endsWith("\r\n") };
    }
    parts.push(bytes.subarray(end + 2, end + 2 + size));
    at = end + 2 + size + 2;
  }
}

/** An HTTP/2 session through the proxy. */
export async function openHttp2(site: InspectedSite, host = HOST): Promise<ClientHttp2Session> {
  const socket = await openTunnel(site.egress, host, { alpn: ["h2"] });
  const session = connectHttp2(`https://${host}`, { createConnection: () => socket });
  session.on("error", () => {});
  return session;
}

export interface Http2Answer {
  readonly status: number;
  readonly denied: Denial["denied"] | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
}

export async function askHttp2(
  session: ClientHttp2Session,
  headers: Readonly<Record<string, string | string[]>>,
  body?: string | Buffer,
): Promise<Http2Answer> {
  const stream = session.request({ ":path": "/", ...headers }, { endStream: body === undefined });
  let head: Record<string, unknown> = {};
  const chunks: Buffer[] = [];
  stream.on("response", (given) => {
    head = given as Record<string, unknown>;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  const ended = new Promise<void>((resolve) => {
    stream.once("close", resolve);
    stream.on("error", () => resolve());
  });
  if (body !== undefined) stream.end(body);
  await ended;
  const bytes = Buffer.concat(chunks);
  const denied = head["x-bottle-denied"] === undefined ? undefined : denialIn(bytes.toString());
  return { status: Number(head[":status"]), denied, headers: head, body: bytes };
}

/** What people do to a value first, for the encodings that matter at every surface. */
export const DISGUISES: readonly { readonly name: string; readonly of: (value: string) => string }[] = [
  { name: "plain", of: (value) => value },
  { name: "base64", of: (value) => Buffer.from(value).toString("base64url") },
  { name: "hex", of: (value) => Buffer.from(value).toString("hex") },
  { name: "percent", of: (value) => percent(value) },
  {
    name: "hex in base64, percent-encoded",
    of: (value) => percent(Buffer.from(Buffer.from(value).toString("hex")).toString("base64url")),
  },
];

export function percent(value: string): string {
  return [...Buffer.from(value)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join("");
}

/** All forms of a value that a test looks for where none may be. */
export function formsOf(value: string): readonly string[] {
  const bytes = Buffer.from(value);
  return [
    ...DISGUISES.map(({ of }) => of(value)),
    bytes.toString("base64"),
    encodeURIComponent(value),
    // A piece: half of it is a leak too.
    value.slice(0, Math.ceil(value.length / 2)),
    value.slice(Math.floor(value.length / 2)),
  ];
}

/** Which forms of which secrets stand in `text`. */
export function leaksIn(text: string | Buffer): readonly string[] {
  const all = Buffer.isBuffer(text) ? text.toString("latin1") : text;
  const lower = all.toLowerCase();
  return SECRETS.flatMap(({ kind, value }) =>
    formsOf(value).flatMap((form) =>
      all.includes(form) || (form === value && lower.includes(value.toLowerCase()))
        ? [`${kind}: ${form}`]
        : [],
    ),
  );
}

/** Everything that egress said of itself. */
export function told(site: InspectedSite): string {
  return JSON.stringify(site.egress.messages);
}

/** Harmless text of a stated size. */
export function prose(bytes: number): Buffer {
  return Buffer.alloc(bytes, '{"id": 4711, "text": "what it says", "ok": true},\n');
}
