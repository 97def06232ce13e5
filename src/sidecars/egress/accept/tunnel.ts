/**
 * CONNECT. The tunnel's host is held against the SNI before the TLS in it is answered, under a certificate of
 * ours; in a tunnel to port 80 there is plain HTTP. Also one to a host that is not allowed, or whose SNI is wrong,
 * is opened, and gets nowhere: each request in it is refused where its sender can read why, and how to ask for
 * just that (I10); of a CONNECT that is refused, clients show a number at most.
 */
import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import { routesOf } from "../allow-list/allow-list.ts";
import { type Refusal, refuse, type Subject, type Verdict } from "../denial.ts";
import type { Services } from "../services.ts";
import { canonicalHost } from "../target/authority.ts";
import { connectTarget, subjectOf, type TunnelTarget } from "../target/target.ts";
import { type Hello, readHello } from "../tls/client-hello.ts";
import { type Secured, terminate } from "../tls/terminate.ts";
import { passThrough } from "../tunnel/passthrough.ts";
import type { Connection } from "./connection.ts";
import { answerRaw } from "./raw-answer.ts";

export type Greeting = Extract<Hello, { kind: "hello" }>;

const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

/** A connection in which TLS is to begin. */
export interface Asked {
  readonly services: Services;
  readonly connection: Connection;
  /** What has come of it already. */
  readonly early: Buffer;
  readonly secured: Secured;
}

export function openTunnel(asked: Asked, request: IncomingMessage): void {
  asked.connection.enter("handshake");
  const wanted = wantedTunnel(asked.services, request);
  if (!wanted.allow) {
    turnAway(asked, wanted, subjectOf("CONNECT", request.url ?? ""));
    return;
  }
  const { scheme, host } = wanted.value;
  const { current } = asked.services;
  const routes = routesOf(current.policy, host);
  // Said here too: a client that trusts no certificate of ours will never get to a request.
  if (!routes.allow) tellDenied(asked.services, routes, { method: "CONNECT", scheme, host });
  const [route] = routes.allow && routes.value.tls === "passthrough" ? routes.value.routes : [];
  if (scheme === "http") {
    openPlain(asked, host);
  } else if (route !== undefined) {
    passThrough(asked.services, asked.connection, host, route, {
      refused: (refusal) => turnAway(asked, refusal, { method: "CONNECT", host }),
      connected: (tunnel) =>
        greet(asked, { opening: ESTABLISHED, method: "CONNECT", host }, (hello, bytes) => {
          const wrong = sniRefusal(host, hello.serverName) ?? hiddenHost(host, hello);
          if (wrong === undefined) {
            tunnel.begin(bytes);
          } else {
            tunnel.abandon();
            lookInside(asked, host, hello, bytes, wrong);
          }
        }),
    });
  } else {
    greet(asked, { opening: ESTABLISHED, method: "CONNECT", host }, (hello, bytes) => {
      lookInside(asked, host, hello, bytes, sniRefusal(host, hello.serverName));
    });
  }
}

function wantedTunnel(services: Services, request: IncomingMessage): Verdict<TunnelTarget> {
  const stranger = services.checkBearer(request.headers["proxy-authorization"]);
  if (stranger !== undefined) return stranger;
  const target = connectTarget(request.url ?? "");
  if (!target.allow) return target;
  return services.stopping ? refuse("stopping", "egress is being stopped", "try again") : target;
}

/** What is in it is HTTP as it would be outside, but for the host in its request lines. */
function openPlain({ connection, early, secured }: Asked, host: string): void {
  const { raw } = connection;
  connection.tunnel = { scheme: "http", host, refusal: undefined };
  connection.enter("head");
  raw.write(ESTABLISHED);
  if (early.length > 0) raw.unshift(early);
  secured.http1(raw);
}

/** Says `opening`, and waits for TLS to begin. */
export function greet(
  asked: Asked,
  { opening, method, host }: { readonly opening: string; readonly method: string; readonly host: string },
  then: (hello: Greeting, bytes: Buffer) => void,
): void {
  const { raw } = asked.connection;
  let bytes = asked.early;
  const look = (): void => {
    const hello = readHello(bytes);
    if (hello.kind === "incomplete" && bytes.length <= asked.services.limits.clientHelloBytes) return;
    raw.off("data", onData);
    raw.off("end", onEnd);
    raw.pause();
    if (hello.kind === "hello") then(hello, bytes);
    else turnAway(asked, notTls(), { method, scheme: "https", host });
  };
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
    look();
  };
  // Whoever hangs up now has nothing more to say, and nothing to wait for.
  const onEnd = (): void => void raw.destroy();
  if (opening !== "") raw.write(opening);
  raw.on("data", onData);
  raw.on("end", onEnd);
  look();
}

export function lookInside(
  { services, connection, secured }: Asked,
  host: string,
  { serverName }: Greeting,
  bytes: Buffer,
  refusal: Refusal | undefined,
): void {
  connection.tunnel = { scheme: "https", host, refusal };
  const method = connection.direct ? "TLS" : "CONNECT";
  if (refusal !== undefined) tellDenied(services, refusal, { method, scheme: "https", host });
  // To be read at all, a refusal must come from whom the client wanted.
  const name = refusal === undefined ? host : (canonicalHost(serverName ?? host) ?? host);
  services.leaves.contextFor(name).then(
    (context) => {
      if (connection.raw.destroyed) return;
      terminate(connection, { bytes, serverName }, context, services.limits, secured);
    },
    () => connection.raw.destroy(),
  );
}

function turnAway({ services, connection }: Asked, refusal: Refusal, subject: Subject): void {
  const said = tellDenied(services, refusal, subject);
  connection.enter("closing");
  answerRaw(connection.raw, said.refusal, said.subject);
}

function tellDenied(
  { report, current }: Services,
  refusal: Refusal,
  subject: Subject,
): { readonly refusal: Refusal; readonly subject: Subject } {
  const { hush } = current.inspection;
  const said = { refusal: hush.refusal(refusal, subject), subject: hush.subject(subject) };
  report.denied(said.refusal, said.subject);
  return said;
}

function sniRefusal(host: string, serverName: string | undefined): Refusal | undefined {
  const named = serverName === undefined ? undefined : canonicalHost(serverName);
  // TLS has no server name for an address, though some clients send one.
  if (named === host || (serverName === undefined && isIP(host) !== 0)) return undefined;
  return refuse(
    "sni-mismatch",
    serverName === undefined
      ? "the TLS in this tunnel names no host, so it cannot be held to the one of CONNECT"
      : "the TLS in this tunnel is for another host than the one of CONNECT",
    `CONNECT, SNI and Host agree: here on ${host}`,
  );
}

export function hiddenHost(host: string, hello: Greeting): Refusal | undefined {
  if (!hello.encrypted) return undefined;
  return refuse(
    "ech-refused",
    "the TLS in this tunnel carries an encrypted hello, which may name another host",
    `route ${host}: passed through unopened, so its SNI must be all there is; switch ECH off`,
  );
}

function notTls(): Refusal {
  const rule = "CONNECT to port 443 carries TLS and nothing else";
  return refuse("not-tls", "what follows CONNECT is not the beginning of TLS", rule);
}
