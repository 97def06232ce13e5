/** A client that costs next to nothing, as a process of its own: raw sockets, and it knows how an answer ends. */
import { once } from "node:events";
import { connect as connectTcp } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";

/** Through which proxy, to where. */
export interface Way {
  readonly proxy: number;
  readonly host: string;
  readonly port: number;
  /** PEM of the root that signs what the client is shown. */
  readonly ca: string;
}

export type Load =
  /** One request after the other on each connection. */
  | { readonly kind: "keep-alive"; readonly bytes: number; readonly connections: number; readonly ms: number }
  /** A connection for each request. */
  | { readonly kind: "connect"; readonly connections: number; readonly ms: number }
  | { readonly kind: "events"; readonly times: number }
  | { readonly kind: "download" | "upload"; readonly bytes: number }
  /** One request with this body. */
  | { readonly kind: "post"; readonly body: string };

export interface LoadResult {
  readonly perSecond: number;
  /** Microseconds: of each request, or from the request to the first event. */
  readonly latencies: readonly number[];
  /** Of the last answer. */
  readonly status: number;
}

process.on("message", ({ way, load }: { readonly way: Way; readonly load: Load }) => {
  run(way, load).then(
    (result) => process.send?.(result),
    (error: unknown) => process.send?.({ error: String(error) }),
  );
});
process.send?.({ ready: true });

async function run(way: Way, load: Load): Promise<LoadResult> {
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  const latencies: number[] = [];
  let status = 0;
  switch (load.kind) {
    case "keep-alive": {
      const sockets = await Promise.all(Array.from({ length: load.connections }, () => open(way)));
      const began = performance.now();
      const request = get(way, `/body/${load.bytes}`);
      await Promise.all(
        sockets.map(async (socket) => {
          const answers = new Answers(socket);
          while (performance.now() < began + load.ms) {
            const sentAt = performance.now();
            socket.write(request);
            status = await answers.next();
            latencies.push((performance.now() - sentAt) * 1000);
          }
          socket.destroy();
        }),
      );
      return { perSecond: latencies.length / ((performance.now() - began) / 1000), latencies, status };
    }
    case "connect":
      await Promise.all(
        Array.from({ length: load.connections }, async () => {
          while (performance.now() < started + load.ms) {
            const sentAt = performance.now();
            const socket = await open(way);
            socket.write(get(way, "/body/1024"));
            status = await new Answers(socket).next();
            socket.destroy();
            latencies.push((performance.now() - sentAt) * 1000);
          }
        }),
      );
      return { perSecond: latencies.length / seconds(), latencies, status };
    case "events": {
      const socket = await open(way);
      for (let i = 0; i < load.times; i++) {
        const answers = new Answers(socket);
        const sentAt = performance.now();
        socket.write(get(way, "/events"));
        await answers.until("data: 0");
        latencies.push((performance.now() - sentAt) * 1000);
        await answers.until("0\r\n\r\n");
        answers.done();
      }
      socket.destroy();
      return { perSecond: 0, latencies, status: 200 };
    }
    case "download": {
      const socket = await open(way);
      socket.write(get(way, `/body/${load.bytes}`));
      status = await new Answers(socket).next();
      socket.destroy();
      return { perSecond: load.bytes / seconds(), latencies, status };
    }
    case "upload": {
      const socket = await open(way);
      const answers = new Answers(socket);
      socket.write(post(way, load.bytes));
      for (let left = load.bytes; left > 0; left -= SOURCE.length) {
        if (!socket.write(left < SOURCE.length ? SOURCE.subarray(0, left) : SOURCE))
          await once(socket, "drain");
      }
      status = await answers.next();
      socket.destroy();
      return { perSecond: load.bytes / seconds(), latencies, status };
    }
    case "post": {
      const socket = await open(way);
      socket.write(post(way, Buffer.byteLength(load.body)) + load.body);
      status = await new Answers(socket).next();
      socket.destroy();
      return { perSecond: 0, latencies, status };
    }
  }
}

/** What agents upload: text, each line another. */
const SOURCE = Buffer.from(
  Array.from(
    { length: 1200 },
    (_, i) => `  const value${i} = await read(input[${i * 7}], { depth: ${i % 9} });\n`,
  ).join(""),
);

const authority = ({ host, port }: Way): string => (port === 443 ? host : `${host}:${port}`);

const get = (way: Way, path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${authority(way)}\r\nAccept: */*\r\n\r\n`;

function post(way: Way, length: number): string {
  return `POST /upload HTTP/1.1\r\nHost: ${authority(way)}\r\nContent-Type: text/plain\r\nContent-Length: ${length}\r\n\r\n`;
}

/** The answers on one connection: a stated length, or read by the caller. */
class Answers {
  readonly #socket: TLSSocket;
  #head = "";
  #status = 0;
  #missing = -1;
  #wanted: string | undefined;
  #wake: (() => void) | undefined;
  #fail: ((error: Error) => void) | undefined;
  readonly #onData = (chunk: Buffer): void => this.#read(chunk);
  readonly #onEnd = (): void => this.#fail?.(new Error("the connection ended"));

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on("data", this.#onData).on("error", this.#onEnd).on("close", this.#onEnd);
  }

  /** The status of the next answer, once it is there whole. */
  async next(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#wake = resolve;
      this.#fail = reject;
    });
    return this.#status;
  }

  until(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#wanted = text;
      this.#wake = resolve;
      this.#fail = reject;
      if (this.#head.includes(text)) resolve();
    });
  }

  done(): void {
    this.#socket.off("data", this.#onData).off("error", this.#onEnd).off("close", this.#onEnd);
  }

  #read(chunk: Buffer): void {
    if (this.#wanted !== undefined || this.#missing < 0) this.#head += chunk.toString("latin1");
    if (this.#wanted !== undefined) {
      if (this.#head.includes(this.#wanted)) this.#wake?.();
      return;
    }
    if (this.#missing < 0) {
      const end = this.#head.indexOf("\r\n\r\n");
      if (end < 0) return;
      const length = /\r\ncontent-length: (\d+)/i.exec(this.#head.slice(0, end + 2))?.[1];
      if (length === undefined) return void this.#fail?.(new Error(`no length: ${this.#head.slice(0, 300)}`));
      this.#status = Number(this.#head.slice(9, 12));
      this.#missing = Number(length) - (this.#head.length - end - 4);
    } else {
      this.#missing -= chunk.length;
    }
    if (this.#missing > 0) return;
    this.#head = "";
    this.#missing = -1;
    this.#wake?.();
  }
}

function open({ proxy, host, port, ca }: Way): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const raw = connectTcp({ port: proxy, host: "127.0.0.1", noDelay: true });
    raw.once("error", reject);
    raw.write(`CONNECT ${host}:${port} HTTP/1.1\r\nHost: ${host}:${port}\r\n\r\n`);
    let head = "";
    raw.on("data", function read(chunk: Buffer) {
      head += chunk.toString("latin1");
      if (!head.endsWith("\r\n\r\n")) return;
      raw.off("data", read);
      if (!/^HTTP\/1\.[01] 200/.test(head)) return reject(new Error(head));
      const socket = connectTls({ socket: raw, servername: host, ca });
      socket.once("error", reject);
      socket.once("secureConnect", () => {
        socket.off("error", reject);
        resolve(socket);
      });
    });
  });
}
