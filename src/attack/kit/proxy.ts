/** Requests through the bottle's proxy: those that a client makes, and those that no honest one does. */
import { spawnSync } from "node:child_process";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { judgeHttp } from "./answer.ts";
import { SILENCE_MS } from "./reach.ts";
import { cannot, env, got, refused } from "./verdict.ts";

/** curl, through the proxy of the environment. */
export function curl(...args: readonly string[]): never {
  const from = performance.now();
  const { error, status, stdout, stderr } = spawnSync(
    "curl",
    ["-sS", "-i", "--path-as-is", "--max-time", "8", ...args],
    { encoding: "latin1", maxBuffer: 64 * 1024 * 1024 },
  );
  if (error !== undefined && (error as NodeJS.ErrnoException).code === "ENOENT") cannot("curl is not here");
  const ms = performance.now() - from;
  // Of a refused CONNECT curl shows the head, and not the body with the reasons.
  return judgeHttp(stdout === "" ? stderr : stdout, { ms, otherwise: `curl-${status ?? "killed"}` });
}

/** Where the proxy is, and what it wants to be shown. */
export function proxy(): { readonly host: string; readonly port: number; readonly header: string } {
  const { hostname, port, username, password } = new URL(env["HTTPS_PROXY"] ?? "");
  const credential = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString(
    "base64",
  );
  return {
    host: hostname,
    port: Number(port),
    header: username === "" ? "" : `Proxy-Authorization: Basic ${credential}\r\n`,
  };
}

function readAll(socket: Socket, until = env["WORD"] ?? ""): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.includes(until)) socket.destroy();
    });
    socket.on("close", () => resolve(text));
  });
}

/** Sends these very bytes to the proxy, or to another port of the loopback. `PROXY-AUTH` stands for what it wants to be shown. */
export async function raw(bytes: string | Buffer, port?: number | string): Promise<never> {
  const { host, port: usual, header } = proxy();
  const from = performance.now();
  const socket = connectTcp({ host, port: Number(port ?? usual) });
  socket.on("error", (error: NodeJS.ErrnoException) => refused(error.code ?? error.message));
  socket.write(
    typeof bytes === "string" ? Buffer.from(bytes.replace("PROXY-AUTH\r\n", header), "latin1") : bytes,
  );
  const text = await readAll(socket);
  return judgeHttp(text, { ms: performance.now() - from });
}

/** Reads so far and no further. @returns nothing, or why there is no more. */
function heard(socket: Socket, until: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const read = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (!text.includes(until)) return;
      socket.off("data", read);
      resolve("");
    };
    socket.on("data", read);
    socket.once("close", () => resolve("closed"));
    setTimeout(() => resolve("silence"), SILENCE_MS).unref();
  });
}

export interface TunnelOptions {
  /** What CONNECT names. */
  readonly to: string;
  /** What is said in it, in TLS unless `plain`. */
  readonly say: string;
  readonly sni?: string;
  readonly plain?: boolean;
  readonly alpn?: readonly string[];
  /** Said before, to whoever is allowed; its answer ends so. */
  readonly before?: { readonly say: string; readonly until: string };
  /** What has to come back, where the word alone says nothing. */
  readonly wanted?: string;
}

/** CONNECT, then TLS with any SNI, then any bytes: what no honest client does. */
export async function tunnel(options: TunnelOptions): Promise<never> {
  const { to, say: bytes, sni, plain = false, alpn, before, wanted } = options;
  const { host, port, header } = proxy();
  const from = performance.now();
  const socket = connectTcp({ host, port });
  socket.on("error", (error: NodeJS.ErrnoException) => refused(error.code ?? error.message));
  socket.write(`CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n${header}\r\n`, "latin1");
  const head = await new Promise<string>((resolve) => {
    let text = "";
    const read = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      if (!text.includes("\r\n\r\n") || (!/^HTTP\/1.1 200/.test(text) && text.endsWith("\r\n\r\n"))) return;
      socket.off("data", read);
      resolve(text);
    };
    socket.on("data", read);
    socket.once("close", () => resolve(text));
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
  });
  if (!/^HTTP\/1.1 200/.test(head)) return judgeHttp(head, { ms: performance.now() - from });
  if (plain) {
    socket.write(bytes, "latin1");
    const text = await readAll(socket);
    return judgeHttp(text, { ms: performance.now() - from });
  }
  const tls = connectTls({
    socket,
    servername: sni ?? to.replace(/:\d+$/, ""),
    rejectUnauthorized: false,
    ...(alpn && { ALPNProtocols: [...alpn] }),
  });
  const broken = new Promise<string>((resolve) =>
    tls.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? "tls-refused")),
  );
  if (before !== undefined) {
    tls.write(before.say, "latin1");
    if ((await Promise.race([heard(tls, before.until), broken])) !== "")
      cannot("what is allowed was not answered");
  }
  tls.write(bytes, "latin1");
  const text = await Promise.race([readAll(tls, wanted), broken]);
  if (wanted !== undefined && text.includes(env["WORD"] ?? ""))
    return text.includes(wanted) ? got("it came back") : refused("left-out");
  return judgeHttp(text, { ms: performance.now() - from, otherwise: text === "" ? "closed" : text });
}
