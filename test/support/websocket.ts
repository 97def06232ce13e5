/** Both ends of a WebSocket (RFC 6455) as strict as the standard, and as rude as a test makes them. */
import { createHash, randomBytes } from "node:crypto";
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { readHead, until } from "./egress.ts";

/** RFC 6455, section 1.3. */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export interface FrameOptions {
  readonly opcode?: number;
  readonly fin?: boolean;
  readonly masked?: boolean;
  /** Bits of the first byte besides: reserved ones. */
  readonly reserved?: number;
  /** Says another length than the payload has. */
  readonly length?: number;
}

/** One frame's bytes, right or wrong. */
export function frame(payload: string | Buffer, options: FrameOptions = {}): Buffer {
  const { opcode = TEXT, fin = true, masked = false, reserved = 0 } = options;
  const bytes = Buffer.from(payload);
  const length = options.length ?? bytes.length;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const head = Buffer.alloc(2 + extended);
  head[0] = (fin ? 0x80 : 0) | reserved | opcode;
  head[1] = (masked ? 0x80 : 0) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) head.writeUInt16BE(length, 2);
  if (extended === 8) head.writeBigUInt64BE(BigInt(length), 2);
  if (!masked) return Buffer.concat([head, bytes]);
  const key = randomBytes(4);
  return Buffer.concat([head, key, xored(bytes, key)]);
}

function xored(bytes: Buffer, key: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ (key[i % 4] ?? 0)));
}

export interface Received {
  readonly opcode: number;
  readonly fin: boolean;
  readonly payload: Buffer;
}

/** One end of an open WebSocket. */
export class Peer {
  readonly socket: Duplex;
  /** Every frame that came. */
  readonly frames: Received[] = [];
  /** What broke the standard, of what came. */
  readonly faults: string[] = [];
  ended = false;
  readonly #isClient: boolean;
  #rest: Buffer = Buffer.alloc(0);
  #open = false;

  constructor(socket: Duplex, isClient: boolean) {
    this.socket = socket;
    this.#isClient = isClient;
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.once("end", () => socket.end());
    socket.once("close", () => {
      this.ended = true;
    });
    socket.resume();
  }

  /** Data messages, their fragments joined. */
  get messages(): readonly { readonly opcode: number; readonly payload: Buffer }[] {
    const messages: { opcode: number; parts: Buffer[] }[] = [];
    for (const { opcode, payload } of this.frames) {
      if (opcode >= 8) continue;
      if (opcode !== 0) messages.push({ opcode, parts: [payload] });
      else messages.at(-1)?.parts.push(payload);
    }
    return messages.map(({ opcode, parts }) => ({ opcode, payload: Buffer.concat(parts) }));
  }

  get texts(): readonly string[] {
    return this.messages.map(({ payload }) => payload.toString());
  }

  /** What the other end said in its close frame. */
  get closing(): { readonly code: number; readonly reason: string } | undefined {
    const payload = this.frames.find(({ opcode }) => opcode === CLOSE)?.payload;
    return payload && { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
  }

  of(opcode: number): readonly string[] {
    return this.frames.filter((each) => each.opcode === opcode).map(({ payload }) => payload.toString());
  }

  send(payload: string | Buffer, options: FrameOptions = {}): void {
    this.socket.write(frame(payload, { masked: this.#isClient, ...options }));
  }

  /** In one message of so many frames. */
  sendParts(parts: readonly (string | Buffer)[], opcode = TEXT): void {
    for (const [i, part] of parts.entries())
      this.send(part, { opcode: i === 0 ? opcode : 0, fin: i === parts.length - 1 });
  }

  close(code: number, reason = ""): void {
    const payload = Buffer.concat([Buffer.from([code >> 8, code & 0xff]), Buffer.from(reason)]);
    this.send(payload, { opcode: CLOSE });
  }

  async receive(count: number): Promise<readonly string[]> {
    await until(() => this.messages.length >= count && !this.#open);
    return this.texts;
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const [first = 0, second = 0] = this.#rest;
      const short = second & 0x7f;
      const extended = short === 126 ? 2 : short === 127 ? 8 : 0;
      const masked = (second & 0x80) !== 0;
      const head = 2 + extended + (masked ? 4 : 0);
      if (this.#rest.length < head) return;
      const length =
        extended === 2
          ? this.#rest.readUInt16BE(2)
          : extended === 8
            ? Number(this.#rest.readBigUInt64BE(2))
            : short;
      if (this.#rest.length < head + length) return;
      const body = this.#rest.subarray(head, head + length);
      const payload = masked ? xored(body, this.#rest.subarray(head - 4, head)) : Buffer.from(body);
      this.#rest = this.#rest.subarray(head + length);
      this.#add({ opcode: first & 0x0f, fin: (first & 0x80) !== 0, payload }, first, masked);
    }
  }

  #add(received: Received, first: number, masked: boolean): void {
    const { opcode, fin, payload } = received;
    if ((first & 0x70) !== 0) this.faults.push("a reserved bit");
    if (masked === this.#isClient) this.faults.push("masked by the wrong side");
    if (opcode >= 8) {
      if (!fin || payload.length > 125) this.faults.push("a control frame in parts, or too long");
    } else {
      if ((opcode === 0) !== this.#open) this.faults.push("frames out of order");
      this.#open = !fin;
    }
    this.frames.push(received);
  }
}

/** Consents to every upgrade that asks properly; `onOpen` gets this end. */
export function acceptWebSockets(
  server: Server,
  onOpen: (peer: Peer, request: IncomingMessage) => void,
  options: { readonly headers?: string; readonly first?: string } = {},
): void {
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, early: Buffer) => {
    const key = String(request.headers["sec-websocket-key"]);
    const accept = createHash("sha1").update(`${key}${GUID}`).digest("base64");
    const head = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${options.headers ?? ""}\r\n`;
    // The first frame right behind the head, in one packet.
    const first = options.first === undefined ? Buffer.alloc(0) : frame(options.first);
    socket.write(Buffer.concat([Buffer.from(head, "latin1"), first]));
    if (early.length > 0) socket.unshift(early);
    onOpen(new Peer(socket, false), request);
  });
}

export interface Handshake {
  readonly host: string;
  /** A path, or a whole URL. */
  readonly target: string;
  /** Lines, each with its end. */
  readonly headers?: string;
}

export function handshake({ host, target, headers = "" }: Handshake): string {
  const key = randomBytes(16).toString("base64");
  return `GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${headers}\r\n`;
}

/** @throws Error with the answer's head when it is no consent. */
export async function openWebSocket(
  socket: Duplex,
  asked: Handshake,
): Promise<{ readonly peer: Peer; readonly head: string }> {
  const text = handshake(asked);
  socket.write(text);
  const head = await readHead(socket);
  const key = /^Sec-WebSocket-Key: (.*)$/m.exec(text)?.[1]?.trim() ?? "";
  const accept = createHash("sha1").update(`${key}${GUID}`).digest("base64");
  if (!head.startsWith("HTTP/1.1 101 ") || !head.includes(`Sec-WebSocket-Accept: ${accept}\r\n`))
    throw new Error(head);
  return { peer: new Peer(socket, true), head };
}
