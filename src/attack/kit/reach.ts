/** Whether anybody is there: by TCP, UDP and Unix sockets. */
import { createSocket } from "node:dgram";
import { connect as connectTcp, type Socket } from "node:net";
import { env, got, refused } from "./verdict.ts";

/** Silence is told as such after this; nobody who is there takes so long. */
export const SILENCE_MS = 2_000;

/** What one attempt came to. */
export interface Attempt {
  readonly heard?: string;
  readonly code?: string;
  readonly ms: number;
}

/** Whoever answers with the world's word is one of its own: a connection alone could be to anybody, the guest itself too. */
function listen(socket: Socket, greeting: string | Buffer): Promise<Attempt> {
  const from = performance.now();
  return new Promise((resolve) => {
    let text = "";
    const end = (code: string): void => {
      socket.destroy();
      const ms = performance.now() - from;
      resolve(text.includes(env["WORD"] ?? "") ? { heard: text, ms } : { code, ms });
    };
    socket.setTimeout(SILENCE_MS, () => end(socket.connecting ? "timeout" : "silence"));
    socket.on("error", (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
    socket.on("close", () => end("closed"));
    socket.on("connect", () => socket.write(greeting));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.includes(env["WORD"] ?? "")) end("");
    });
  });
}

export function tryTcp(
  host: string,
  port: number | string,
  greeting: string | Buffer = "hello\r\n",
): Promise<Attempt> {
  return listen(connectTcp({ host, port: Number(port) }), greeting);
}

/** A path, or a name after `@` for the abstract ones. */
export function tryUnix(path: string): Promise<Attempt> {
  return listen(connectTcp({ path: path.replace(/^@/, "\0") }), "hello\r\n");
}

export function tryUdp(
  host: string,
  port: number | string,
  message: string | Buffer = "hello",
): Promise<Attempt> {
  const from = performance.now();
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    let settled = false;
    const end = (attempt: { readonly heard?: string; readonly code?: string }): void => {
      // A refusal can be heard twice, and closing twice throws.
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      socket.close();
      resolve({ ...attempt, ms: performance.now() - from });
    };
    const timer = setTimeout(() => end({ code: "silence" }), SILENCE_MS);
    socket.on("error", (error: NodeJS.ErrnoException) => end({ code: error.code ?? error.message }));
    socket.on("message", (heard) => end({ heard: heard.toString("latin1") }));
    socket.connect(Number(port), host, (error?: Error) => {
      if (error) end({ code: (error as NodeJS.ErrnoException).code ?? error.message });
      else socket.send(message);
    });
  });
}

/** Ends with `got` when one of them was heard, and else with every code there was. */
export async function first(attempts: readonly (readonly [string, Promise<Attempt>])[]): Promise<never> {
  const codes = new Set<string>();
  const words: string[] = [];
  let ms = 0;
  for (const [name, attempt] of attempts) {
    const { heard, code = "closed", ms: took } = await attempt;
    if (heard !== undefined) got(`${name} answered`);
    codes.add(code);
    words.push(`${name} ${code}`);
    ms = Math.max(ms, took);
  }
  return refused([...codes].join("+"), { words: words.join(", "), ms });
}

export async function hear(host: string, ...ports: readonly (number | string)[]): Promise<never> {
  return first(ports.map((port) => [`${host}:${port}`, tryTcp(host, port)] as const));
}

export async function hearUdp(
  host: string,
  port: number | string,
  message?: string | Buffer,
): Promise<never> {
  return first([[`${host}:${port}`, tryUdp(host, port, message)]]);
}

export async function hearUnix(...paths: readonly string[]): Promise<never> {
  return first(paths.map((path) => [path, tryUnix(path)] as const));
}

/** A DNS question for an address of `name`. */
export function question(name: string): Buffer {
  const labels = name.split(".").flatMap((label) => [Buffer.from([label.length]), Buffer.from(label)]);
  const head = Buffer.from([0x0b, 0x07, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([head, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}
