/** Egress for tests: a bottle's CA, routes, a running instance in this process, and clients of it. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { type TLSSocket, connect as tlsConnect } from "node:tls";
import { type CertificateAuthority, mintAuthority } from "../../src/bundle/certificate-authority.ts";
import { INSPECTED } from "../../src/contract/policy.ts";
import type {
  Denial,
  EgressConfig,
  EgressPolicy,
  EgressRoute,
  FromSidecar,
} from "../../src/contract/sidecar.ts";
import { type Egress, type EgressOptions, startEgress } from "../../src/sidecars/egress/egress.ts";

export type RouteOptions = Partial<EgressRoute> & { readonly host: string };

export function route(options: RouteOptions): EgressRoute {
  return {
    matches: [],
    inject: [],
    credentialHeaders: [],
    tls: "terminate",
    allowAddresses: [],
    inspection: { ...INSPECTED },
    ...options,
  };
}

export function policyOf(policy: Partial<EgressPolicy>): EgressPolicy {
  return { routes: [], known: [], rules: [], upstreamCa: [], ...policy };
}

export function config(
  ca: CertificateAuthority,
  policy: Partial<EgressPolicy>,
  more: Partial<EgressConfig> = {},
): EgressConfig {
  return {
    bottle: "test-00000",
    ca: { certificate: ca.certificate, privateKey: ca.privateKey },
    listen: { kind: "tcp", host: "127.0.0.1", port: 0 },
    policy: policyOf(policy),
    findingsKey: "00".repeat(32),
    ...more,
  };
}

export interface TestEgress extends Egress {
  readonly port: number;
  readonly ca: CertificateAuthority;
  readonly messages: readonly FromSidecar[];
  /** Data of the events of this name so far. */
  events(name: string): Record<string, unknown>[];
  /** Waits until `count` events of this name have come. */
  waitFor(name: string, count?: number): Promise<Record<string, unknown>[]>;
}

let sharedCa: Promise<CertificateAuthority> | undefined;

export async function testEgress(
  policy: Partial<EgressPolicy>,
  options: Partial<EgressOptions> & { readonly config?: Partial<EgressConfig> } = {},
): Promise<TestEgress> {
  sharedCa ??= mintAuthority("bottle test-00000");
  const ca = await sharedCa;
  const messages: FromSidecar[] = [];
  const emit = (message: FromSidecar): void => void messages.push(message);
  const record = async (event: string, data: object): Promise<void> =>
    emit({ type: "event", event, data: { ...data } });
  const egress = await startEgress(config(ca, policy, options.config), { emit, record, ...options });
  const events = (name: string): Record<string, unknown>[] =>
    messages.flatMap((message) => (message.type === "event" && message.event === name ? [message.data] : []));
  return {
    ...egress,
    port: Number(/:(\d+)$/.exec(egress.listening[0] ?? "")?.[1]),
    ca,
    messages,
    events,
    async waitFor(name, count = 1) {
      await until(() => events(name).length >= count);
      return events(name);
    },
  };
}

/** Polls; throws after `ms`. */
export async function until(holds: () => boolean, ms = 60_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error("what was waited for did not happen");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface ClientResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Reached {
  readonly port: number;
  readonly ca: CertificateAuthority;
}

/** The real curl, through the proxy, trusting the bottle's CA and nothing else. */
export function curl(egress: Reached, ...args: readonly string[]): Promise<ClientResult> {
  return runClient(egress, "curl", (caFile, proxy) => ({
    args: ["-sS", "--max-time", "30", "--cacert", caFile, "--proxy", proxy, ...args],
    env: {},
  }));
}

/** The real git, likewise. */
export function git(egress: Reached, ...args: readonly string[]): Promise<ClientResult> {
  return runClient(egress, "git", (caFile, proxy) => ({
    args: ["-c", `http.proxy=${proxy}`, "-c", `http.sslCAInfo=${caFile}`, ...args],
    env: { GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1", GIT_TERMINAL_PROMPT: "0" },
  }));
}

async function runClient(
  egress: Reached,
  program: string,
  call: (
    caFile: string,
    proxy: string,
  ) => { readonly args: readonly string[]; readonly env: Readonly<Record<string, string>> },
): Promise<ClientResult> {
  const dir = await mkdtemp(join(tmpdir(), "egress-test-"));
  try {
    const caFile = join(dir, "ca.pem");
    await writeFile(caFile, egress.ca.certificate);
    const { args, env } = call(caFile, `http://127.0.0.1:${egress.port}`);
    return await new Promise((resolve) => {
      const options = { env: { PATH: process.env["PATH"], ...env }, maxBuffer: 256 * 1024 * 1024 };
      execFile(program, [...args], options, (error, stdout, stderr) => {
        const exitCode = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
        resolve({ exitCode, stdout, stderr });
      });
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

export function denialIn(text: string): Denial["denied"] {
  return (JSON.parse(text) as Denial).denied;
}

/** A raw connection to the proxy. */
export function dialProxy(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

/** All bytes until the other side ends or resets. */
export function readAll(socket: Socket): Promise<{ readonly text: string; readonly reset: boolean }> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let reset = false;
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      reset = error.code === "ECONNRESET";
    });
    socket.once("end", () => socket.end());
    socket.resume();
    socket.once("close", () => resolve({ text: Buffer.concat(chunks).toString("latin1"), reset }));
  });
}

/** Sends `text` over a fresh connection to the proxy and returns all of the answer. */
export async function exchangeRaw(port: number, text: string | Buffer): Promise<string> {
  const socket = await dialProxy(port);
  const answer = readAll(socket);
  socket.write(text);
  return (await answer).text;
}

/** Reads up to the empty line that ends a head. */
export function readHead(socket: Duplex): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1");
      const end = text.indexOf("\r\n\r\n");
      if (end < 0) return;
      socket.off("data", onData);
      socket.pause();
      const rest = text.slice(end + 4);
      if (rest !== "") socket.unshift(Buffer.from(rest, "latin1"));
      resolve(text.slice(0, end + 4));
    };
    socket.on("data", onData);
    socket.resume();
    socket.once("close", () => reject(new Error(`closed after ${JSON.stringify(text)}`)));
  });
}

export interface TunnelOptions {
  /** SNI; default the host. Null for none. */
  readonly serverName?: string | null;
  readonly alpn?: readonly string[];
  readonly headers?: string;
}

/** CONNECT, then TLS. */
export async function openTunnel(
  egress: { port: number; ca: CertificateAuthority },
  host: string,
  options: TunnelOptions = {},
): Promise<TLSSocket> {
  const socket = await dialProxy(egress.port);
  socket.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n${options.headers ?? ""}\r\n`);
  const head = await readHead(socket);
  if (!head.startsWith("HTTP/1.1 200 ")) throw new Error(head);
  const serverName = options.serverName === undefined ? host : options.serverName;
  return new Promise((resolve, reject) => {
    const tls = tlsConnect({
      socket,
      ca: egress.ca.certificate,
      ALPNProtocols: [...(options.alpn ?? ["http/1.1"])],
      ...(serverName === null ? { checkServerIdentity: () => undefined } : { servername: serverName }),
    });
    tls.on("error", reject);
    tls.once("secureConnect", () => {
      tls.off("error", reject);
      tls.on("error", () => {});
      resolve(tls);
    });
  });
}
