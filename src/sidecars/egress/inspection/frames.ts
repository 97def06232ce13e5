/**
 * WebSocket frames (RFC 6455, section 5), read strictly and put together to messages: no extension was agreed
 * on, so no reserved bit is set; a client masks and a server does not. Lengths are bounded before anything is kept, and
 * what is kept holds on to nothing else: a byte of a chunk would keep all of it.
 */

export interface Frame {
  readonly opcode: number;
  readonly fin: boolean;
  /** As it came. */
  readonly head: Buffer;
  readonly key: Buffer | undefined;
  /** Unmasked. */
  readonly payload: Buffer;
}

/** One control frame, or all frames of a message. */
export interface Message {
  readonly frames: readonly Frame[];
  readonly payload: Buffer;
}

export class FrameFault extends Error {
  override readonly name = "FrameFault";
}

const CONTINUATION = 0x0;
const LAST_DATA = 0x2;
const FIRST_CONTROL = 0x8;
const LAST_CONTROL = 0xa;
/** RFC 6455, section 5.5. */
const MAX_CONTROL_BYTES = 125;
/** A message may come in any number of empty frames. */
const MAX_FRAMES = 16_384;
/** Bytes that the objects around a chunk, and around a kept frame, take besides what is in them: roughly. */
const CHUNK_COST = 512;
const FRAME_COST = 1024;

export class MessageReader {
  readonly #masked: boolean;
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #parts: Frame[] = [];
  #partBytes = 0;

  /** Bytes of memory that what is not whole yet takes. */
  get held(): number {
    const frames = this.#partBytes + this.#parts.length * FRAME_COST;
    return this.#bytes + this.#chunks.length * CHUNK_COST + frames;
  }

  /** Nothing more is read. */
  forget(): void {
    this.#chunks = [];
    this.#bytes = 0;
    this.#parts = [];
    this.#partBytes = 0;
  }

  constructor(options: { readonly masked: boolean; readonly maxBytes: number }) {
    this.#masked = options.masked;
    this.#maxBytes = options.maxBytes;
  }

  /** @throws FrameFault when this is no WebSocket, or too large. */
  read(chunk: Buffer): Message[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: Message[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) {
      const message = this.#add(frame);
      if (message !== undefined) messages.push(message);
    }
    return messages;
  }

  #add(frame: Frame): Message | undefined {
    if (frame.opcode >= FIRST_CONTROL) return { frames: [frame], payload: frame.payload };
    if ((frame.opcode === CONTINUATION) === (this.#parts.length === 0))
      throw new FrameFault("frames out of order");
    this.#parts.push(frame.fin ? frame : kept(frame));
    this.#partBytes += frame.payload.length;
    if (this.#parts.length > MAX_FRAMES) throw new FrameFault("a message in too many frames");
    if (!frame.fin) return undefined;
    const frames = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    const payload = frames.length === 1 ? frame.payload : Buffer.concat(frames.map((each) => each.payload));
    return { frames, payload };
  }

  #next(): Frame | undefined {
    const start = this.#peek(2);
    if (start === undefined) return undefined;
    const [first = 0, second = 0] = start;
    if ((first & 0x70) !== 0) throw new FrameFault("a reserved bit is set");
    if (((second & 0x80) !== 0) !== this.#masked) throw new FrameFault("masked by the wrong side");
    const opcode = first & 0x0f;
    const fin = (first & 0x80) !== 0;
    const short = second & 0x7f;
    const isControl = opcode >= FIRST_CONTROL;
    if (isControl && (!fin || short > MAX_CONTROL_BYTES)) throw new FrameFault("a control frame too large");
    if (isControl ? opcode > LAST_CONTROL : opcode > LAST_DATA)
      throw new FrameFault("an unknown kind of frame");
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0;
    const headBytes = 2 + lengthBytes + (this.#masked ? 4 : 0);
    const head = this.#peek(headBytes);
    if (head === undefined) return undefined;
    const length =
      lengthBytes === 2 ? head.readUInt16BE(2) : lengthBytes === 8 ? Number(head.readBigUInt64BE(2)) : short;
    if (length + (isControl ? 0 : this.#partBytes) > this.#maxBytes)
      throw new FrameFault("a message too large");
    if (this.#bytes < headBytes + length) return undefined;
    const whole = this.#take(headBytes + length);
    const key = this.#masked ? whole.subarray(headBytes - 4, headBytes) : undefined;
    const payload = whole.subarray(headBytes);
    return {
      ...{ opcode, fin, key },
      head: whole.subarray(0, headBytes),
      payload: key === undefined ? payload : masked(payload, key),
    };
  }

  #peek(count: number): Buffer | undefined {
    if (this.#bytes < count) return undefined;
    const [first] = this.#chunks;
    if (first !== undefined && first.length >= count) return first.subarray(0, count);
    return this.#joined().subarray(0, count);
  }

  #take(count: number): Buffer {
    const all = this.#joined();
    const rest = all.subarray(count);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#bytes -= count;
    return all.subarray(0, count);
  }

  #joined(): Buffer {
    const [only, ...more] = this.#chunks;
    if (only !== undefined && more.length === 0) return only;
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}

/** The same in memory of its own, and of no pool's: what else lies in that is not ours to keep. */
function kept({ opcode, fin, head, key, payload }: Frame): Frame {
  const own = Buffer.allocUnsafeSlow(head.length + payload.length);
  head.copy(own);
  payload.copy(own, head.length);
  const ownHead = own.subarray(0, head.length);
  return {
    ...{ opcode, fin, head: ownHead, payload: own.subarray(head.length) },
    key: key === undefined ? undefined : ownHead.subarray(-key.length),
  };
}

/** The frames of a message as they are sent on, with another payload of the same length. */
export function framesWith({ frames }: Message, payload: Buffer): Buffer[] {
  let at = 0;
  return frames.flatMap(({ head, key, payload: own }) => {
    const part = payload.subarray(at, at + own.length);
    at += own.length;
    return [head, key === undefined ? part : masked(part, key)];
  });
}

/** A close frame. @param key a client's is masked. */
export function closeFrame(code: number, reason: string, key?: Buffer): Buffer {
  const payload = Buffer.alloc(2 + Math.min(Buffer.byteLength(reason), MAX_CONTROL_BYTES - 2));
  payload.writeUInt16BE(code, 0);
  payload.write(reason, 2);
  const head = Buffer.from([0x88, payload.length | (key === undefined ? 0 : 0x80)]);
  return Buffer.concat(key === undefined ? [head, payload] : [head, key, masked(payload, key)]);
}

function masked(bytes: Buffer, key: Buffer): Buffer {
  const out = Buffer.allocUnsafe(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = (bytes[i] ?? 0) ^ (key[i & 3] ?? 0);
  return out;
}
