/**
 * A socket whose every byte from the other side is heard, before whoever reads it has it. What is written goes to the socket itself, not
 * through a second queue: downloads would be copied once more, and each piece of them waited for.
 */
import { Duplex } from "node:stream";

type Written = (error?: Error | null) => void;

export function overheard(socket: Duplex, hear: (chunk: Buffer) => void): Duplex {
  const heard = new Overheard(socket);
  socket.on("data", (chunk: Buffer) => {
    hear(chunk);
    if (!heard.push(chunk)) socket.pause();
  });
  socket.on("end", () => heard.push(null));
  socket.on("close", () => heard.destroy());
  socket.on("drain", () => heard.emit("drain"));
  heard.on("error", () => {});
  return heard;
}

class Overheard extends Duplex {
  readonly #socket: Duplex;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
  }

  override write(chunk: unknown, encoding?: BufferEncoding | Written, done?: Written): boolean {
    return typeof encoding === "function"
      ? this.#socket.write(chunk, encoding)
      : this.#socket.write(chunk, encoding ?? "utf8", done);
  }

  override cork(): void {
    this.#socket.cork();
  }

  override uncork(): void {
    this.#socket.uncork();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _final(done: Written): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: Written): void {
    this.#socket.destroy();
    done(error);
  }
}
