/**
 * The doors: one for CONNECT and absolute-form requests, two for programs that know no proxy. Node's strict HTTP/1 parser reads what comes
 * in; its own timers are off, because the clock that looks at every connection bounds all waiting.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { codeOf } from "../../../lib/errors.ts";
import { printable } from "../../../lib/printable.ts";
import { Http1Client, responseOn } from "../client/http1.ts";
import { Http2Client } from "../client/http2.ts";
import { fieldLeftOut, type Refusal, refuse, type Subject } from "../denial.ts";
import { Exchange, type Upgrade } from "../exchange.ts";
import type { Limits } from "../limits.ts";
import type { Services } from "../services.ts";
import type { Connection } from "./connection.ts";
import { openDirect } from "./direct.ts";
import { answerRaw } from "./raw-answer.ts";
import type { SentFields } from "./sent-fields.ts";
import { openTunnel } from "./tunnel.ts";

/** Each takes over a socket that was just accepted. */
export interface Front {
  /** From a program that was told of the proxy. */
  readonly main: (raw: Socket) => void;
  /** From one that was not, and took the guest's loopback for the host it wants: by TLS, or in plain HTTP. */
  readonly tls: (raw: Socket) => void;
  readonly http: (raw: Socket) => void;
}

export function createFront(services: Services): Front {
  /** By the socket that HTTP/1 runs on: the accepted one, or the TLS in a tunnel. */
  const connections = new WeakMap<Duplex, Connection>();

  /** Sockets on which nothing can be understood any more. */
  const unreadable = new WeakSet<Duplex>();

  function connectionOf(socket: Duplex): Connection {
    const connection = connections.get(socket);
    if (connection === undefined) throw new Error("a request on a socket that was not accepted");
    return connection;
  }

  function onRequest(request: IncomingMessage, response: ServerResponse, upgrade?: Upgrade): void {
    const connection = connectionOf(request.socket);
    new Exchange(services, connection, new Http1Client(connection, request, response), upgrade).run();
  }

  /** Node hands over the bare socket although an earlier request's answer may still be under way on it. */
  function interrupts(socket: Duplex): boolean {
    const connection = connectionOf(socket);
    socket.on("error", () => connection.raw.destroy());
    if (connection.activities.size === 0) return false;
    connection.reset();
    return true;
  }

  function onUpgrade(request: IncomingMessage, duplex: Duplex, rest: Buffer): void {
    if (interrupts(duplex)) return;
    const socket = duplex as Socket;
    connectionOf(socket).enter("closing");
    const response = responseOn(socket, request);
    onRequest(request, response, { socket, rest, detach: () => response.detachSocket(socket) });
  }

  function onSession(connection: Connection, session: ServerHttp2Session, sent: SentFields): void {
    let takenBack = 0;
    const tellRefused = (): void => void tellUnreadable(connection, badStream());
    connection.onSweep = () => {
      if (sent.hasUntold && sent.passed(session.state.lastProcStreamID ?? 0)) tellRefused();
    };
    session.on("error", (error) => {
      connection.onSweep?.();
      if (isOfTheProtocol(error)) tellUnreadable(connection, badSession(codeOf(error) ?? ""));
    });
    session.on(
      "stream",
      (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: readonly string[]) => {
        stream.on("error", () => {});
        const id = stream.id ?? 0;
        if (sent.passed(id - 1)) tellRefused();
        const client = new Http2Client(stream, headers, raw, sent.came(id, raw.length / 2));
        const exchange = new Exchange(services, connection, client);
        let trailers = 0;
        stream.on("trailers", (_trailers: unknown, _flags: unknown, flat: readonly string[]) => {
          trailers = flat.length / 2;
        });
        // Before anybody takes the request for complete.
        stream.once("end", () => {
          if (!sent.ended(id, trailers)) exchange.unfit(fieldLeftOut());
        });
        stream.once("close", () => sent.forget(id));
        // Who takes requests back in the same breath shall not have had a certificate checked for each.
        setImmediate(() => {
          if (!stream.closed) exchange.run();
          else if (++takenBack > services.limits.takenBack) connection.raw.destroy();
        });
      },
    );
  }

  /** No request came of it, so there is no more to say than where it was. */
  function tellUnreadable(connection: Connection, refusal: Refusal): Subject {
    const subject = services.current.inspection.hush.subject({
      method: "?",
      ...(connection.tunnel && { scheme: connection.tunnel.scheme, host: connection.tunnel.host }),
    });
    services.report.denied(refusal, subject);
    return subject;
  }

  function onUnreadable(error: Error, duplex: Duplex): void {
    const socket = duplex as Socket;
    const connection = connectionOf(socket);
    // Node says it again for each piece of what follows.
    if (unreadable.has(socket)) return;
    unreadable.add(socket);
    if (!socket.writable || codeOf(error) === "ECONNRESET") {
      socket.destroy();
      return;
    }
    const [activity, ...others] = connection.activities;
    if (activity !== undefined) {
      // In the middle of an answer there is no place for another.
      if (others.length > 0 || activity.spoiled?.(badBody()) !== true) {
        socket.destroy();
        return;
      }
      connection.enter("closing");
      // What is still sent is read and dropped, so that the answer arrives and not a reset.
      socket.removeAllListeners("data").resume();
      return;
    }
    const refusal = badHead(codeOf(error) ?? "");
    connection.enter("closing");
    answerRaw(socket, refusal, tellUnreadable(connection, refusal));
  }

  function http1Server(): Server {
    const server = strictServer(services.limits);
    server.on("request", onRequest);
    // With an Expect: the upstream is asked, and only its 100 is passed on.
    server.on("checkContinue", onRequest);
    // Left to itself, node would answer, and what stands behind the request would find the socket taken.
    server.on("checkExpectation", onRequest);
    server.on("upgrade", onUpgrade);
    server.on("clientError", onUnreadable);
    return server;
  }

  const inside = http1Server();
  inside.on("connect", (request: IncomingMessage, socket: Duplex) => {
    if (interrupts(socket)) return;
    connectionOf(socket).enter("closing");
    onRequest(request, responseOn(socket as Socket, request));
  });

  const secured = (connection: Connection) => ({
    http1(socket: Duplex): void {
      connections.set(socket, connection);
      inside.emit("connection", socket);
    },
    http2: (session: ServerHttp2Session, sent: SentFields): void => onSession(connection, session, sent),
  });

  const outside = http1Server();
  outside.on("connect", (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    if (interrupts(socket)) return;
    const connection = connectionOf(socket);
    openTunnel({ services, connection, early, secured: secured(connection) }, request);
  });

  function taken(raw: Socket, direct: boolean): Connection | undefined {
    raw.on("error", () => {});
    raw.setNoDelay(true);
    // Each direction of a tunnel ends on its own.
    raw.allowHalfOpen = true;
    const connection = services.connections.open(raw, direct);
    if (connection !== undefined) connections.set(raw, connection);
    return connection;
  }

  return {
    main(raw) {
      if (taken(raw, false) !== undefined) outside.emit("connection", raw);
    },
    tls(raw) {
      const connection = taken(raw, true);
      if (connection === undefined) return;
      openDirect({ services, connection, early: Buffer.alloc(0), secured: secured(connection) });
    },
    http(raw) {
      if (taken(raw, true) !== undefined) inside.emit("connection", raw);
    },
  };
}

function strictServer(limits: Limits): Server {
  const server = createServer({
    maxHeaderSize: limits.requestHeadBytes,
    insecureHTTPParser: false,
    // A missing Host gets our own answer.
    requireHostHeader: false,
    keepAliveTimeout: 0,
    headersTimeout: 0,
    requestTimeout: 0,
  });
  // Node would leave out, without a word, what exceeds its count; ours refuses the request.
  server.maxHeadersCount = 0;
  return server;
}

/** The request before it is over, and what should go on with it does not. */
function badBody(): Refusal {
  return refuse(
    "framing-refused",
    "the body is not properly cut into chunks, or ends in trailers that no body may have",
    "Transfer-Encoding: chunked, strictly read",
  );
}

function badHead(code: string): Refusal {
  return code === "HPE_HEADER_OVERFLOW"
    ? refuse("head-too-large", "the request line and headers are too long", "size of a request's head")
    : refuse("request-malformed", "this is not a proper HTTP/1.1 request", "HTTP/1.1, strictly read");
}

/** A client that is gone, or says that it goes, sent nothing that could be wrong: of it there are errors too. */
export function isOfTheProtocol(error: Error): boolean {
  const code = codeOf(error) ?? "";
  return code.startsWith("ERR_HTTP2_") && code !== "ERR_HTTP2_SESSION_ERROR";
}

/** All that the client sees of it is the reset. */
function badStream(): Refusal {
  const rule = "HTTP/2, strictly read: the stream was reset";
  return refuse("request-malformed", "a request's fields are not what HTTP/2 allows", rule);
}

function badSession(code: string): Refusal {
  return refuse(
    "request-malformed",
    "what was sent is not proper HTTP/2",
    `HTTP/2, strictly read: the connection was closed (${printable(code)})`,
  );
}
