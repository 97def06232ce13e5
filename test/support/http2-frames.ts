/** HTTP/2 by hand, for what no client of it would send. */
import type { Duplex } from "node:stream";

export type Field = readonly [name: string, value: string];

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA = 0;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const GOAWAY = 7;
const END_STREAM = 0x1;
const END_HEADERS = 0x4;

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HPACK, without indexing and without Huffman: the bytes as they are. */
export function literal([name, value]: Field): Buffer {
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** A length in 7 bits, or as many more as it needs (RFC 7541, section 5.1). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  if (bytes.length < 127) return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  const length = [127];
  let rest = bytes.length - 127;
  for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([...length, rest]), bytes]);
}

/** A connection's beginning and one request on stream 1. */
export function requestBytes(fields: readonly Field[], body?: string): Buffer {
  const head = Buffer.concat(fields.map(literal));
  const parts = [
    Buffer.from(PREFACE),
    frame(SETTINGS, 0, 0, Buffer.alloc(0)),
    frame(HEADERS, body === undefined ? END_HEADERS | END_STREAM : END_HEADERS, 1, head),
  ];
  if (body !== undefined) parts.push(frame(DATA, END_STREAM, 1, Buffer.from(body, "latin1")));
  return Buffer.concat(parts);
}

/**
 * Sends `bytes` and waits for what becomes of stream 1: its body when it was answered, `reset` or `goaway`
 * when not, `closed` when the connection ended.
 */
export function outcomeOf(socket: Duplex, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    let all = Buffer.alloc(0);
    let body = "";
    socket.on("error", () => {});
    socket.once("close", () => resolve("closed"));
    socket.on("data", (chunk: Buffer) => {
      all = Buffer.concat([all, chunk]);
      while (all.length >= 9 && all.length >= 9 + all.readUIntBE(0, 3)) {
        const end = 9 + all.readUIntBE(0, 3);
        const [type, flags = 0, stream] = [all[3], all[4], all.readUInt32BE(5)];
        const payload = all.subarray(9, end);
        if (type === GOAWAY) resolve("goaway");
        if (stream === 1 && type === RST_STREAM) resolve("reset");
        if (stream === 1 && type === DATA) body += payload.toString("latin1");
        if (stream === 1 && (type === DATA || type === HEADERS) && (flags & END_STREAM) !== 0) resolve(body);
        all = all.subarray(end);
      }
    });
    socket.write(bytes);
  });
}
