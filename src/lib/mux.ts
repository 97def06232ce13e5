/**
 * Many streams over one pair of pipes, for peers between whom nothing else runs. Each stream has its own window, so one
 * that nobody reads stops itself and no other. The peer may be hostile: what it sends beyond its window, in a frame that
 * is too long, or to open a stream where it may not, ends everything.
 *
 * A frame is type (1 byte), stream (4), length (4), and that many bytes. Lengths are big-endian.
 */
import { Duplex, type Readable, type Writable } from "node:stream";

const TYPES = { open: 0, data: 1, end: 2, reset: 3, credit: 4 } as const;
const HEADER_BYTES = 9;
/** Of one frame: small enough that another stream's is never behind much. */
const MAX_FRAME_BYTES = 64 * 1024;
/** Sent and not yet read, for each stream: some pipe buffers' worth, so that a busy reader is not waited for. */
const WINDOW_BYTES = 1024 * 1024;
/** Told at once, so that whoever sends a byte at a time and reads nothing has not a frame for each piled up here. */
const CREDIT_BYTES = WINDOW_BYTES / 2;
/** More than a keeper ever has open at once. */
const MAX_STREAMS = 4_096;

export interface Mux {
  /** Destroyed from the beginning when the other side is gone. */
  open(options?: { readonly allowHalfOpen?: boolean }): Duplex;
  /** Resolves once the pipes are closed, for whatever reason; all streams are then destroyed. */
  readonly ended: Promise<void>;
  destroy(): void;
}

/** @param accept takes what the other side opens. Without it, it may open nothing. */
export function createMux(input: Readable, output: Writable, accept?: (stream: Duplex) => void): Mux {
  const streams = new Map<number, MuxStream>();
  let next = 0;
  let gone = false;
  let announceEnd = (): void => {};
  const ended = new Promise<void>((resolve) => {
    announceEnd = resolve;
  });

  const destroy = (): void => {
    if (gone) return;
    gone = true;
    for (const stream of streams.values()) stream.lose();
    streams.clear();
    input.destroy();
    output.destroy();
    announceEnd();
  };

  const send = (type: number, id: number, payload: Buffer, done: () => void = () => {}): void => {
    if (gone) {
      done();
      return;
    }
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt8(type, 0);
    header.writeUInt32BE(id, 1);
    header.writeUInt32BE(payload.length, 5);
    output.cork();
    output.write(header);
    output.write(payload, () => done());
    output.uncork();
  };

  const add = (id: number, allowHalfOpen = true): MuxStream => {
    const stream = new MuxStream(allowHalfOpen, (type, payload, done) =>
      send(TYPES[type], id, payload, done),
    );
    stream.once("close", () => streams.delete(id));
    streams.set(id, stream);
    return stream;
  };

  /** False for what an honest peer never sends. */
  const take = (type: number, id: number, payload: Buffer): boolean => {
    if (type === TYPES.open) {
      if (accept === undefined || streams.has(id) || streams.size >= MAX_STREAMS) return false;
      accept(add(id));
      return true;
    }
    const stream = streams.get(id);
    switch (type) {
      case TYPES.data:
        // Of a stream that was closed here, something may still be on its way.
        return stream === undefined || stream.receive(payload);
      case TYPES.end:
        stream?.finish();
        return true;
      case TYPES.reset:
        stream?.reset();
        return true;
      case TYPES.credit:
        if (payload.length !== 4) return false;
        return stream === undefined || stream.credit(payload.readUInt32BE(0));
      default:
        return false;
    }
  };

  let held: Buffer = Buffer.alloc(0);
  input.on("data", (chunk: Buffer) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    while (held.length >= HEADER_BYTES) {
      const length = held.readUInt32BE(5);
      if (length > MAX_FRAME_BYTES) return destroy();
      if (held.length < HEADER_BYTES + length) return;
      const payload = held.subarray(HEADER_BYTES, HEADER_BYTES + length);
      if (!take(held.readUInt8(0), held.readUInt32BE(1), payload)) return destroy();
      held = held.subarray(HEADER_BYTES + length);
    }
  });
  for (const pipe of [input, output]) pipe.on("error", destroy).on("close", destroy);
  input.on("end", destroy);

  return {
    ended,
    destroy,
    open({ allowHalfOpen = true } = {}) {
      next = (next + 1) >>> 0;
      send(TYPES.open, next, Buffer.alloc(0));
      const stream = add(next, allowHalfOpen);
      if (gone) stream.lose();
      return stream;
    },
  };
}

type Send = (type: keyof typeof TYPES, payload: Buffer, done?: () => void) => void;

class MuxStream extends Duplex {
  readonly #send: Send;
  #allowance = WINDOW_BYTES;
  /** Of what it may still receive. */
  #window = WINDOW_BYTES;
  /** Read, and not told so. */
  #owed = 0;
  #waiting: (() => void) | undefined;
  #lost = false;

  constructor(allowHalfOpen: boolean, send: Send) {
    super({ allowHalfOpen });
    this.#send = send;
    this.on("error", () => {});
  }

  receive(payload: Buffer): boolean {
    if (payload.length > this.#window) return false;
    this.#window -= payload.length;
    this.#owed += payload.length;
    // A copy: the chunk that it lies in may be large, and must not stay for a few bytes of it.
    if (!this.destroyed && !this.readableEnded) this.push(Buffer.from(payload));
    return true;
  }

  credit(bytes: number): boolean {
    this.#allowance += bytes;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.();
    return this.#allowance <= WINDOW_BYTES;
  }

  finish(): void {
    if (!this.destroyed) this.push(null);
  }

  /** The other end was closed. What came before that can still be read; what is written now is for nobody. */
  reset(): void {
    this.#lost = true;
    if (this.readableLength === 0) {
      this.destroy();
      return;
    }
    this.push(null);
    this.credit(0);
    this.end();
  }

  lose(): void {
    this.#lost = true;
    this.destroy();
  }

  override _read(): void {
    if (this.#owed < CREDIT_BYTES) return;
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeUInt32BE(this.#owed);
    this.#window += this.#owed;
    this.#owed = 0;
    this.#send("credit", bytes);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#lost) {
      done();
      return;
    }
    const length = Math.min(chunk.length, this.#allowance, MAX_FRAME_BYTES);
    if (length === 0 && chunk.length > 0) {
      this.#waiting = () => this._write(chunk, _encoding, done);
      return;
    }
    this.#allowance -= length;
    const rest = chunk.subarray(length);
    this.#send("data", chunk.subarray(0, length), () => {
      if (rest.length === 0 || this.destroyed) done();
      else this._write(rest, _encoding, done);
    });
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#lost) {
      done();
      return;
    }
    this.#send("end", Buffer.alloc(0), () => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const whole = this.readableEnded && this.writableFinished;
    if (!this.#lost && !whole) this.#send("reset", Buffer.alloc(0));
    done(error);
  }
}
