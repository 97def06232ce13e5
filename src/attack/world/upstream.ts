/**
 * A site that answers whatever it is asked, well-formed or not, with the world's word and with what it heard: to hear
 * the word is to have reached it. It keeps every byte, so that afterwards it can be looked for what should not have come.
 */
import { createHash } from "node:crypto";
import { appendFileSync } from "node:fs";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { ServerIdentity } from "../../../demo/upstreams/certificate-authority.ts";

export interface Upstream {
  readonly tlsPort: number;
  readonly plainPort: number;
  close(): Promise<void>;
}

export interface UpstreamOptions {
  readonly tls: ServerIdentity;
  readonly word: string;
  readonly host: string;
  /** Everything that came is written there, as it came. */
  readonly received: string;
  /** Said to have come with each request: what egress puts on it, where there is no egress. */
  readonly adds?: string;
}

/** Of what was heard as much is said back. */
const MAX_ECHO_BYTES = 64 * 1024;
/** Who sends more without a line's end is not asking for anything. */
const MAX_HEAD_BYTES = 256 * 1024;
const WEBSOCKET_SALT = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export async function startUpstream(options: UpstreamOptions): Promise<Upstream> {
  const serve = (socket: Socket): void => answer(socket, options);
  const sockets = new Set<Socket>();
  const plain = createServer(serve);
  const secure = createTlsServer(
    { key: options.tls.key, cert: options.tls.certificate, ALPNProtocols: ["http/1.1"] },
    serve,
  );
  secure.on("tlsClientError", () => {});
  for (const server of [plain, secure]) {
    server.on("connection", (socket: Socket) => {
      socket.on("error", () => {});
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, options.host, resolve);
    });
  }
  return {
    tlsPort: portOf(secure),
    plainPort: portOf(plain),
    async close() {
      for (const server of [plain, secure]) server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

function answer(socket: Socket, { word, received, adds = "" }: UpstreamOptions): void {
  let heard = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    appendFileSync(received, chunk);
    heard = Buffer.concat([heard, chunk]);
    const text = heard.toString("latin1");
    if (!/^[A-Z]+ /.test(text)) {
      socket.end(`${word}\r\n`);
      return;
    }
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) {
      if (heard.length > MAX_HEAD_BYTES) socket.destroy();
      return;
    }
    const head = text.slice(0, end);
    const key = /^sec-websocket-key: *(\S+)/im.exec(head)?.[1];
    if (key !== undefined) {
      heard = Buffer.alloc(0);
      socket.write(upgraded(key, word));
      return;
    }
    if (!isWhole(head, text.slice(end + 4))) return;
    heard = Buffer.alloc(0);
    const said = Buffer.from(`${adds}${text}`, "latin1");
    const forms = /^\S+ \/echo/.test(head) ? (["latin1", "hex", "base64"] as const) : (["latin1"] as const);
    const repeated = forms.map((form) => said.toString(form)).join("\n");
    const body = Buffer.from(`${word}\n${repeated}`.slice(0, MAX_ECHO_BYTES), "latin1");
    socket.write(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-World: ${word}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    socket.write(body);
  });
}

function isWhole(head: string, body: string): boolean {
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  // Who names two lengths gets his answer at once: he is to be shown what he is after.
  if (/^transfer-encoding:.*chunked/im.test(head)) return length !== undefined || body.includes("0\r\n");
  return length === undefined || body.length >= Number(length);
}

/** The handshake, and one message with the word. */
function upgraded(key: string, word: string): Buffer {
  const accept = createHash("sha1").update(`${key}${WEBSOCKET_SALT}`).digest("base64");
  const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from([0x81, word.length]), Buffer.from(word)]);
}
