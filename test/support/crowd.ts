/**
 * Connections that want nothing good: heads, bodies and greetings that never end, garbage, floods, silence. They are held
 * open, and come again when they are closed.
 */
import { connect as connectTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { connect as connectTls } from "node:tls";
import { frame, literal } from "./http2-frames.ts";

/** Hosts with a route: over TLS, and in plain HTTP. */
export const HOST = "api.example.test";
export const PLAIN = "plain.example.test";

/** How long after it was closed a connection comes again. */
const AGAIN_MS = 2_000;
const DRIP_MS = 500;
const FLOOD_MS = 100;

/** Ports of egress: the proxy's, and those for programs that know none. */
export interface Doors {
  readonly main: number;
  readonly tls: number;
  readonly http: number;
  /** PEM. */
  readonly ca: string;
}

const CONNECT = `CONNECT ${HOST}:443 HTTP/1.1\r\nHost: ${HOST}:443\r\n\r\n`;
/** The first bytes of a ClientHello of 512. */
const HELLO = Buffer.from("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "latin1");
const PREFACE = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(4, 0, 0, Buffer.alloc(0)),
]);

function dial(port: number): Socket {
  const socket = connectTcp({ port, host: "127.0.0.1", allowHalfOpen: true });
  socket.on("error", () => {});
  socket.resume();
  return socket;
}

/** TLS as a guest would begin it: in a tunnel, or with a program that knows no proxy. */
function secured({ main, tls, ca }: Doors, alpn: string, direct = false): Duplex {
  const raw = dial(direct ? tls : main);
  if (!direct) raw.write(CONNECT);
  const options = { servername: HOST, ca, ALPNProtocols: [alpn] };
  if (direct) return quiet(connectTls({ socket: raw, ...options }));
  const inside = new Promise<Duplex>((resolve) => {
    raw.once("data", () => resolve(quiet(connectTls({ socket: raw, ...options }))));
  });
  void inside.then((socket) => then.get(raw)?.(socket));
  return raw;
}

const then = new WeakMap<Duplex, (socket: Duplex) => void>();

function quiet(socket: Duplex): Duplex {
  socket.on("error", () => {});
  socket.resume();
  return socket;
}

/** Says something once TLS stands. */
function saying(doors: Doors, alpn: string, speak: (socket: Duplex) => void, direct = false): Duplex {
  const socket = secured(doors, alpn, direct);
  if (direct) socket.once("secureConnect", () => speak(socket));
  else then.set(socket, (inner) => inner.once("secureConnect", () => speak(inner)));
  return socket;
}

/** A byte now and then. */
function drip(socket: Duplex, byte = "x"): void {
  const timer = setInterval(() => socket.writable && socket.write(byte), DRIP_MS);
  socket.once("close", () => clearInterval(timer));
}

/** The same again whenever the other side has taken it. */
function flood(socket: Duplex, next: () => Buffer): void {
  const timer = setInterval(() => {
    if (socket.writable && socket.writableLength < 65_536) socket.write(next());
  }, FLOOD_MS);
  socket.once("close", () => clearInterval(timer));
}

const PING = Buffer.concat(Array.from({ length: 50 }, () => frame(6, 0, 0, Buffer.alloc(8))));
const SETTINGS = Buffer.concat(Array.from({ length: 50 }, () => frame(4, 0, 0, Buffer.alloc(0))));
const HEAD = Buffer.concat(
  (
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":authority", HOST],
      [":path", "/hang"],
    ] as const
  ).map(literal),
);

/** Each request is taken back at once. */
function resets(): () => Buffer {
  let stream = -1;
  return () =>
    Buffer.concat(
      Array.from({ length: 20 }, () => {
        stream += 2;
        return Buffer.concat([frame(1, 0x5, stream, HEAD), frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))]);
      }),
    );
}

const post = (host: string): string =>
  `POST /up HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1000000\r\n\r\nx`;

const KINDS: Readonly<Record<string, (doors: Doors) => Duplex>> = {
  "a head that never ends": ({ main }) => {
    const socket = dial(main);
    socket.write(`GET http://${PLAIN}/ HTTP/1.1\r\nX-Slow: `);
    drip(socket);
    return socket;
  },
  "a body that never ends": (doors) =>
    saying(doors, "http/1.1", (socket) => {
      socket.write(post(HOST));
      drip(socket);
    }),
  "half a greeting": ({ main }) => {
    const socket = dial(main);
    socket.write(CONNECT);
    socket.once("data", () => socket.write(HELLO));
    return socket;
  },
  garbage: ({ main }) => {
    const socket = dial(main);
    socket.write(Buffer.from(Array.from({ length: 4_000 }, (_, i) => (i * 7919) & 255)));
    drip(socket);
    return socket;
  },
  "a half-closed connection": ({ main }) => {
    const socket = dial(main);
    socket.end("GET http:");
    return socket;
  },
  "a tunnel and nothing in it": ({ main }) => {
    const socket = dial(main);
    socket.write(CONNECT);
    return socket;
  },
  "HTTP/2 and no request": (doors) => saying(doors, "h2", (socket) => socket.write(PREFACE)),
  "a flood of settings": (doors) =>
    saying(doors, "h2", (socket) => {
      socket.write(PREFACE);
      flood(socket, () => SETTINGS);
    }),
  "a flood of pings": (doors) =>
    saying(doors, "h2", (socket) => {
      socket.write(PREFACE);
      flood(socket, () => PING);
    }),
  "a flood of resets": (doors) =>
    saying(doors, "h2", (socket) => {
      socket.write(PREFACE);
      flood(socket, resets());
    }),
  "one request, and silence": (doors) =>
    saying(doors, "http/1.1", (socket) => socket.write(`GET /short HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`)),
  "an answer that is not read": (doors) =>
    saying(doors, "http/1.1", (socket) => {
      socket.pause();
      socket.write(`GET /long HTTP/1.1\r\nHost: ${HOST}\r\n\r\n`);
    }),
  "half a greeting without a proxy": ({ tls }) => {
    const socket = dial(tls);
    socket.write(HELLO);
    return socket;
  },
  "garbage in place of TLS": ({ tls }) => {
    const socket = dial(tls);
    socket.write("\x16\x03\x01garbage garbage");
    drip(socket);
    return socket;
  },
  "HTTP/2 without a proxy, and no request": (doors) =>
    saying(doors, "h2", (socket) => socket.write(PREFACE), true),
  "plain HTTP that never ends": ({ http }) => {
    const socket = dial(http);
    socket.write(`GET / HTTP/1.1\r\nHost: ${PLAIN}\r\nX-Slow: `);
    drip(socket);
    return socket;
  },
  "a plain body that never ends": ({ http }) => {
    const socket = dial(http);
    socket.write(post(PLAIN));
    drip(socket);
    return socket;
  },
};

/** Comes one in three milliseconds, and comes again. @returns how to ask for the number of connections so far. */
export function gather(
  doors: Doors,
  size: number,
  kinds = Object.values(KINDS),
): { readonly opened: () => number } {
  let opened = 0;
  const come = (i: number): void => {
    const socket = kinds[i % kinds.length]?.(doors);
    if (socket === undefined) return;
    opened += 1;
    socket.once("close", () => setTimeout(come, AGAIN_MS, i));
    // Who is told to go, goes.
    socket.once("end", () => socket.destroy());
  };
  for (let i = 0; i < size; i++) setTimeout(come, 3 * i, i);
  return { opened: () => opened };
}
