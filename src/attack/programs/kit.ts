/**
 * What probes in Node have at hand, inside of a guest and outside alike: each function tries one thing, says what came
 * of it in one line, and ends the program. Built to one file that needs nothing, because that is what a guest has.
 */
import { spawnSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { connect as connectTcp, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";

/** Silence is told as such after this; nobody who is there takes so long. */
const SILENCE_MS = 2_000;
const MAX_WORDS = 200;

/** The world's variables. Reading one that is not there ends the program: a probe with a hole in it proves nothing. */
export const env: Readonly<Record<string, string>> = new Proxy(
  {},
  { get: (_, name) => process.env[String(name)] ?? cannot(`there is no ${String(name)}`) },
);

interface More {
  readonly words?: string;
  readonly ms?: number;
  readonly explained?: boolean;
}

function say(seen: string, code: string, { words = "", ms, explained }: More): never {
  const line = JSON.stringify({ seen, code, words: words.slice(0, MAX_WORDS), ms, explained });
  // Node writes to a pipe before it goes on.
  process.stdout.write(`\n@@${line}\n`);
  process.exit(0);
}

/** The attack succeeded. */
export function got(words: string): never {
  return say("got", "", { words });
}

export function refused(code: string, more: More = {}): never {
  return say("refused", code, more);
}

/** The program itself cannot be run here. */
export function cannot(words: string): never {
  return say("not-run", "", { words });
}

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

/** An HTTP answer, or several: what egress, git-gate, supervise or an upstream said. */
export function judgeHttp(
  text: string,
  more: { readonly ms?: number; readonly otherwise?: string } = {},
): never {
  const { ms, otherwise = "closed" } = more;
  const code = /^x-bottle-denied: *([a-z-]+)/im.exec(text)?.[1];
  const timing = ms === undefined ? {} : { ms };
  if (code !== undefined)
    return refused(code, { ...timing, explained: isExplained(text, code), words: lastLine(text) });
  if (text.includes(env["WORD"] ?? "")) return got(lastLine(text));
  const status = [...text.matchAll(/^HTTP\/[\d.]+ (\d{3})/gm)].at(-1)?.[1];
  return refused(status === undefined ? otherwise : `http-${status}`, { ...timing, words: lastLine(text) });
}

/** What, why, and how to ask (I10). */
function isExplained(text: string, code: string): boolean {
  const start = text.indexOf('{"denied"');
  if (start < 0)
    return text.includes(`denied: ${code}: `) && text.includes("\nrule: ") && text.includes("\nask: ");
  try {
    const { denied } = JSON.parse(text.slice(start, text.lastIndexOf("}") + 1)) as {
      denied: Readonly<Record<string, unknown>> & { ask?: { tool?: unknown; arguments?: unknown } };
    };
    const said = ["reason", "target", "rule"].every(
      (key) => typeof denied[key] === "string" && denied[key] !== "",
    );
    return (
      denied["code"] === code &&
      said &&
      typeof denied.ask?.tool === "string" &&
      typeof denied.ask.arguments === "object"
    );
  } catch {
    return false;
  }
}

function lastLine(text: string): string {
  return (
    text
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/[^\x20-\x7e]/g, "?") ?? ""
  );
}

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

function readAll(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    socket.setTimeout(SILENCE_MS, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.includes(env["WORD"] ?? "")) socket.destroy();
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

export interface TunnelOptions {
  /** What CONNECT names. */
  readonly to: string;
  /** What is said in it, in TLS unless `plain`. */
  readonly say: string;
  readonly sni?: string;
  readonly plain?: boolean;
  readonly alpn?: readonly string[];
}

/** CONNECT, then TLS with any SNI, then any bytes: what no honest client does. */
export async function tunnel({ to, say: bytes, sni, plain = false, alpn }: TunnelOptions): Promise<never> {
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
  tls.write(bytes, "latin1");
  const text = await Promise.race([readAll(tls), broken.then((code) => code)]);
  return judgeHttp(text, { ms: performance.now() - from, otherwise: text === "" ? "closed" : text });
}

/** git, as it is set up; refused when the gate says so. */
export function git(...args: readonly string[]): never {
  const from = performance.now();
  const { error, status, stdout, stderr } = spawnSync("git", args, { encoding: "utf8", timeout: 20_000 });
  if (error !== undefined && (error as NodeJS.ErrnoException).code === "ENOENT") cannot("git is not here");
  if (status === 0) got(`git ${args.slice(0, 3).join(" ")} was done: ${stdout}${stderr}`);
  const text = stderr.replace(/^remote: ?/gm, "");
  const code = /denied: ([a-z-]+):? /.exec(text)?.[1] ?? gitCode(text);
  const explained = /^rule: .* /m.test(text) && /^ask: \w/m.test(text);
  return refused(code, { ms: performance.now() - from, explained, words: text.trim().split("\n")[0] ?? "" });
}

/** git's own words for what its kernel or its server said. */
function gitCode(text: string): string {
  const known: readonly (readonly [RegExp, string])[] = [
    [/Network is unreachable/, "ENETUNREACH"],
    [/Connection refused|Couldn't connect to server/, "ECONNREFUSED"],
    [/Could not resolve/, "ENOTFOUND"],
    [/Temporary failure in name resolution/, "ENOTFOUND"],
    [/error: 401|Authentication failed|could not read Username/, "http-401"],
    [/error: 403/, "http-403"],
    [/error: 404|not found/, "http-404"],
  ];
  return known.find(([pattern]) => pattern.test(text))?.[1] ?? "git-failed";
}

/** Runs what must succeed for the attack to be one. */
export function must(command: string, ...args: readonly string[]): string {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error !== undefined || status !== 0)
    cannot(`${command} ${args.join(" ").slice(0, 60)}: ${error?.message ?? stderr}`);
  return stdout.trim();
}

/** A file's, a folder's or a system call's error, told as what it is. */
export function attempt(what: () => string): never {
  const from = performance.now();
  try {
    return got(what());
  } catch (error) {
    const { code = "error", message } = error as NodeJS.ErrnoException;
    return refused(code, { words: message, ms: performance.now() - from });
  }
}

/** A call of the bottle's MCP server. @returns its answer's HTTP text. */
export async function mcp(
  tool: string,
  args: object,
  headers: Readonly<Record<string, string | undefined>> = {},
  path?: string,
): Promise<{ readonly status: number; readonly text: string; readonly ms: number }> {
  const { readFileSync } = await import("node:fs");
  const { request } = await import("node:http");
  const { url, headers: own } = (
    JSON.parse(readFileSync(env["BOTTLE_MCP_CONFIG"] ?? "", "utf8")) as {
      mcpServers: { bottle: { url: string; headers?: Record<string, string> } };
    }
  ).mcpServers.bottle;
  const merged: Record<string, string | undefined> = {
    ...own,
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-protocol-version": "2025-06-18",
    ...headers,
  };
  const given = Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const body = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: tool, arguments: args },
  });
  const from = performance.now();
  return new Promise((resolve) => {
    const sent = request(
      path === undefined ? url : new URL(path, url),
      { method: "POST", headers: Object.fromEntries(given) },
      (response) => {
        let text = Object.entries(response.headers)
          .map(([name, value]) => `${name}: ${value}`)
          .join("\n");
        text = `HTTP/1.1 ${response.statusCode}\n${text}\n\n`;
        response.on("data", (chunk) => {
          text += String(chunk);
        });
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, text, ms: performance.now() - from }),
        );
      },
    );
    sent.setTimeout(8_000, () => sent.destroy(new Error("silence")));
    sent.on("error", (error: NodeJS.ErrnoException) => refused(error.code ?? error.message));
    sent.end(body);
  });
}

/** A folder for what a program has to write: outside it is the run's own. */
export const scratch: string = process.env["TRIES"] ?? "/tmp";
