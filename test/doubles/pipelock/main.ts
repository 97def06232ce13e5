/**
 * A stand-in for pipelock: `pipelock run --config FILE`. It refuses a configuration that the real one would, lets through
 * what is on its allow-list, opens TLS in the name of its own CA and looks into requests. Its blocks are worded, and
 * labelled, as the real one's. Names that it resolves are made up: whoever installs it says where each leads.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from "node:http";
import { request as requestHttps } from "node:https";
import { BlockList, connect, isIP, type Socket } from "node:net";
import { rootCertificates, TLSSocket } from "node:tls";
import { type Leaves, loadAuthority } from "./leaves.ts";
import { hasSecret, matchesHost } from "./scan.ts";
import { readSettings, type Settings } from "./settings.ts";

/** By `host:port`: where it leads, on this machine unless said, and the address that the name is said to have. */
export type Names = Readonly<Record<string, Place>>;

interface Place {
  readonly at?: string;
  readonly port: number;
  readonly address: string;
}

declare const PIPELOCK_NAMES: Names;

const PRIVATE = new BlockList();
for (const [net, bits] of [
  ["10.0.0.0", 8],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.168.0.0", 16],
] as const)
  PRIVATE.addSubnet(net, bits, "ipv4");

const [command, flag, file] = process.argv.slice(2);
if (command !== "run" || flag !== "--config" || file === undefined) {
  process.stderr.write("Usage: pipelock run --config FILE\n");
  process.exit(2);
}
main(file).catch((error: unknown) => {
  process.stderr.write(`Error: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});

async function main(path: string): Promise<void> {
  const settings = readSettings(path);
  const { ca_cert, ca_key } = settings.tls_interception;
  const leaves = await loadAuthority(ca_cert, ca_key);
  const [host = "", port = ""] = settings.fetch_proxy.listen.split(":");
  const server = createServer((request, response) => {
    if (request.url === "/health") response.end('{"status":"healthy"}');
    else void serve(settings, absolute(request), request, response);
  });
  server.on("connect", (request: IncomingMessage, client: Socket, early: Buffer) => {
    client.on("error", () => {});
    if (early.length > 0) client.unshift(early);
    void tunnel(settings, leaves, request, client);
  });
  server.on("error", (error) => {
    process.stderr.write(`Error: listening on ${settings.fetch_proxy.listen}: ${error.message}\n`);
    process.exit(1);
  });
  server.listen(Number(port), host);
}

type Blocked = { readonly reason: string; readonly words: string };
interface Target {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
}

function absolute(request: IncomingMessage): Target {
  const url = URL.canParse(request.url ?? "") ? new URL(request.url ?? "") : undefined;
  return { scheme: "http", host: url?.hostname ?? "", port: Number(url?.port || 80) };
}

/** Where it leads, or why it may not go there. */
function placeOf(settings: Settings, { host, port }: Target): Place | Blocked {
  if (settings.mode === "strict" && !matchesHost(settings.api_allowlist, host))
    return { reason: "domain_blocklist", words: `domain not in allowlist: ${host}` };
  const place = PIPELOCK_NAMES[`${host}:${port}`] ?? (isIP(host) === 0 ? undefined : { port, address: host });
  if (place === undefined) return { reason: "timeout", words: `no such host: ${host}` };
  if (PRIVATE.check(place.address) && !inRanges(settings.ssrf.ip_allowlist, place.address))
    return { reason: "ssrf_private_ip", words: `SSRF blocked: ${host} resolves to a private address` };
  return place;
}

function inRanges(ranges: readonly string[], address: string): boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [net = "", bits = "32"] = range.split("/");
    if (isIP(net) === 4) list.addSubnet(net, Number(bits), "ipv4");
  }
  return list.check(address);
}

function labels({ reason }: Blocked): Record<string, string> {
  return {
    "content-type": "text/plain",
    "x-pipelock-block-reason": reason,
    "x-pipelock-block-reason-version": "1",
    "x-pipelock-block-reason-severity": "critical",
    "x-pipelock-block-reason-retry": "none",
  };
}

function say(settings: Settings, blocked: Blocked, host: string): void {
  if (!settings.logging.include_blocked) return;
  process.stdout.write(`${JSON.stringify({ level: "warn", event: "blocked", host, ...blocked })}\n`);
}

async function tunnel(
  settings: Settings,
  leaves: Leaves,
  request: IncomingMessage,
  client: Socket,
): Promise<void> {
  const [host = "", port = ""] = (request.url ?? "").split(":");
  const target: Target = { scheme: "https", host, port: Number(port) };
  const place = placeOf(settings, target);
  if ("reason" in place) {
    say(settings, place, host);
    const head = Object.entries(labels(place)).map(([name, value]) => `${name}: ${value}\r\n`);
    client.end(`HTTP/1.1 403 Forbidden\r\n${head.join("")}\r\nblocked: ${place.words}\n`);
    return;
  }
  client.write("HTTP/1.1 200 Connection Established\r\n\r\n");
  if (matchesHost(settings.tls_interception.passthrough_domains, host)) {
    const upstream = connect(place.port, place.at ?? "127.0.0.1");
    upstream.on("error", () => client.destroy());
    client.once("close", () => upstream.destroy());
    client.pipe(upstream).pipe(client);
    return;
  }
  const inside = createServer((inner, response) => void serve(settings, target, inner, response));
  const context = await leaves(host);
  const secure = new TLSSocket(client, {
    isServer: true,
    secureContext: context,
    SNICallback: (name, done) => {
      const fits = !settings.forward_proxy.sni_verification || name.toLowerCase() === host.toLowerCase();
      done(fits ? null : new Error("SNI is not the CONNECT target"), fits ? context : undefined);
    },
  });
  secure.on("error", () => client.destroy());
  inside.emit("connection", secure);
}

async function serve(
  settings: Settings,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const block = (blocked: Blocked): void => {
    say(settings, blocked, target.host);
    response.writeHead(403, labels(blocked)).end(`blocked: ${blocked.words}\n`);
  };
  const place = placeOf(settings, target);
  if ("reason" in place) return block(place);
  const named = (request.headers.host ?? "").split(":")[0]?.toLowerCase();
  if (named !== target.host.toLowerCase())
    return block({ reason: "authority_mismatch", words: "Host is not the CONNECT target" });
  const { request_body_scanning: scanning, tls_interception: tls } = settings;
  const path = target.scheme === "http" ? new URL(request.url ?? "").pathname : (request.url ?? "/");
  if (path.length > settings.fetch_proxy.monitoring.max_url_length)
    return block({ reason: "url_length", words: "URL too long" });
  if (hasSecret(decodeURIComponent(path))) return block(found("URL"));
  if (scanning.scan_headers) {
    const ignored = new Set(scanning.ignore_headers.map((name) => name.toLowerCase()));
    for (const [name, value] of Object.entries(request.headers)) {
      if (!ignored.has(name) && hasSecret(String(value))) return block(found("header"));
    }
  }
  const body = await bytesOf(request, scanning.max_body_bytes);
  if (body === undefined) return block({ reason: "parse_error", words: "request body too large" });
  const packed = request.headers["content-encoding"] ?? "identity";
  if (body.length > 0 && packed !== "identity")
    return block({ reason: "parse_error", words: "compressed request body" });
  if (scanning.enabled && hasSecret(body.toString("latin1"))) return block(found("body"));
  const ask = target.scheme === "http" ? requestHttp : requestHttps;
  const upstream = ask({
    host: place.at ?? "127.0.0.1",
    port: place.port,
    servername: isIP(target.host) === 0 ? target.host : "",
    ca: roots(),
    agent: false,
    method: request.method,
    path,
    headers: request.headers,
  });
  upstream.on("error", () => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end("upstream error\n");
  });
  upstream.on("response", (answer) => void pass(answer));
  upstream.end(body);

  async function pass(answer: IncomingMessage): Promise<void> {
    if ((answer.headers["content-encoding"] ?? "identity") !== "identity")
      return block({ reason: "compressed_response", words: "compressed response" });
    const whole = await bytesOf(answer, tls.max_response_bytes);
    if (whole === undefined) return block({ reason: "parse_error", words: "response too large" });
    response.writeHead(answer.statusCode ?? 502, answer.headers).end(whole);
  }
}

function found(where: string): Blocked {
  return { reason: "dlp_match", words: `request ${where} contains secret` };
}

/** Undefined when there are more than `most`. */
async function bytesOf(stream: IncomingMessage, most: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** As Go's crypto/x509 does. */
function roots(): string[] {
  const own = process.env["SSL_CERT_FILE"];
  return [...rootCertificates, ...(own === undefined ? [] : [readFileSync(own, "utf8")])];
}
